"""Settings of the reference."""

from typing import Annotated

from pydantic import Field

from foundry.base.settings import Section


class Embed(Section):
    """How torch embeds the validation texts."""

    batch_size: Annotated[int, Field(ge=1)] = 32
