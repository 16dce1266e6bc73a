"""Settings of static int8, and of the search for a budget."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from foundry.base.settings import Fraction, Positive, Section


class Budget(Section):
    """How close to torch a searched variant must be; these replace the thresholds of its precision class."""

    mean_cosine: Fraction | None = None
    min_cosine: Fraction | None = None
    mean_centred_cosine: Fraction | None = None
    recall_at_10: Fraction | None = None
    task_ratio: Positive | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError(f"is empty; it sets one or more of {', '.join(type(self).model_fields)}")
        return self


class SearchLimits(Section):
    """How long the search for a budget may take."""

    trials: Annotated[int, Field(ge=2)] = Field(default=100, description="Graphs that are built and measured.")
    minutes: Positive = Field(default=60, description="After these it ends with the best so far; results then vary.")


class IgnoredScope(Section):
    """Products that stay in floating point."""

    names: list[str] = Field(default=[])
    patterns: list[str] = Field(default=[], description="Regular expressions that match anywhere in a product's name.")


class Calibrate(Section):
    """One static int8 graph."""

    samples: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="How many of the frozen calibration texts; by default all."
    )
    preset: Literal["mixed", "performance"] = Field(
        default="mixed", description="`mixed`: asymmetric activations; `performance`: symmetric ones."
    )
    smooth_quant_alpha: Fraction | None = Field(
        default=None,
        description="By default chosen for each product, by its error on calibration texts that its ranges are not of.",
    )
    outlier_copies: Annotated[int, Field(ge=0)] = Field(
        default=16, description="Channels that are added to each feed-forward layer, for copies of its outliers."
    )
    error_feedback: bool = Field(
        default=True, description="Round each weight so that it makes up for the rounding of others (GPTQ)."
    )
    bias_correction: bool = Field(default=True, description="Take the mean error on the calibration texts back.")
    reduce_range: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Smaller weights, for targets without VNNI, where 8 bits can saturate; `auto`: where they could.",
    )
    int8_embeddings: bool = Field(default=True, description="Store the table of word embeddings in int8, too.")
    ignored_scope: IgnoredScope = IgnoredScope()
    budget: Budget | None = None
    search: SearchLimits = SearchLimits()
