"""Settings of the report."""

from typing import Annotated

from pydantic import Field

from foundry.base.settings import Fraction, Section, Slug


class Report(Section):
    """What the report recommends for."""

    quality_budgets: Annotated[list[Fraction], Field(min_length=1)] = Field(
        description="How much quality may be lost, as shares: 0 is none, 0.01 is 1%."
    )


class ReportAll(Report):
    """What the report is of, as `configure` wrote it."""

    models: list[Slug]
    variants: list[Slug]
