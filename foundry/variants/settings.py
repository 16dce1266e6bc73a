"""Settings of a stage that builds one variant of one model."""

from typing import Generic, TypeVar

from pydantic import Field

from foundry.base.settings import Section

Row = TypeVar("Row", bound=Section)


class Build(Section, Generic[Row]):
    """One variant of one model."""

    skip: bool = Field(default=False, description="Whether the model goes without it, by `models.<model>.skip`.")
    row: Row
