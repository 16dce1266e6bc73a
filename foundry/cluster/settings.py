"""Settings of a run on several machines."""

from pydantic import Field

from foundry.base.settings import Positive, Section


class Cluster(Section):
    """On which machines `foundry cluster` runs stages; patterns are of their names in DVC, such as `benchmark@*`."""

    placement: dict[str, dict[str, Positive]] = Field(
        default={}, description="What the machine of a stage must offer: Ray resources, by pattern."
    )
    alone: list[str] = Field(default=["benchmark@*"], description="Stages that share their machine with no other.")
