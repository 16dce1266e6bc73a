"""Settings of the download of one checkpoint."""

from typing import Annotated

from foundry_runtime.router import Role
from pydantic import Field, StringConstraints

from foundry.base.settings import Revision, Section
from foundry.data.settings import Source
from foundry.variants.checkpoint_folder import Kind

NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class Download(Section):
    """One checkpoint: where it is, and what it may do."""

    source: Source
    kind: Kind | None = Field(default=None, description="By default what the checkpoint itself says.")
    trust_remote_code: bool = Field(
        default=False, description="Run the Python code that the checkpoint brings along. Read it first."
    )
    adapter: NonEmpty | None = Field(
        default=None,
        description="Where a source ships several adapters (LoRA), each in a folder of its own: that which is merged.",
    )
    side: Role | None = Field(
        default=None,
        description="Of a checkpoint with a Router, the side that is built as a model of its own: what queries go "
        "through, or documents. Each side is a row of its own, with the same source.",
    )
    base: Source | None = Field(
        default=None,
        description="The model that an adapter (LoRA) was trained on, where the source is the adapter alone; merged by "
        "peft.",
    )
    code_revision: Revision | None = Field(
        default=None,
        description="The commit of the other repository that has the checkpoint's code, where auto_map names one.",
    )
