"""Settings of a stage that builds one variant of one model."""

from typing import Generic, TypeVar

from pydantic import Field

from foundry.base.settings import Section

Row = TypeVar("Row", bound=Section)


class Build(Section, Generic[Row]):
    """How one variant of one model is made: its row of a section of params.yaml, and whether the model skips it."""

    skip: bool = Field(default=False, description="Whether the model goes without it, by `models.<model>.skip`.")
    row: Row
