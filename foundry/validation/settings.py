"""Settings of validation: what a variant must hold to pass."""

from typing import Annotated, Literal

from pydantic import Field

from foundry.base.settings import Cosine, Fraction, Positive, Section, Slug
from foundry.variants.precisions import FurtherPrecision, InferencePrecision

Precision = Literal["fp32", "fp16", "int8_dynamic", "int8_static", "int8_weights", "int4_weights"]


class Thresholds(Section):
    """What a variant must hold against torch to pass."""

    mean_cosine: Cosine
    p5_cosine: Cosine = Field(description="5th percentile.")
    p1_cosine: Cosine = Field(description="1st percentile.")
    min_cosine: Cosine
    mean_centred_cosine: Cosine = Field(description="The cosine after torch's mean embedding is taken off both.")
    p5_centred_cosine: Cosine
    p1_centred_cosine: Cosine
    min_centred_cosine: Cosine
    max_abs_diff: Positive = Field(description="The largest difference of any value of any embedding.")
    hard_min_cosine: Cosine = Field(description="The lowest centred cosine on the fixed set of hard texts.")
    consistency_mean_cosine: Cosine = Field(
        description="Centred cosine of a text alone and in a batch, the mean over texts, in the worst kind of batch."
    )
    consistency_min_cosine: Cosine = Field(description="The same, for the worst text.")
    recall_at_10: Fraction = Field(description="Of torch's ten nearest neighbours of each text, the share found.")
    similarity_spearman: Fraction = Field(description="Rank correlation of all similarities with torch's.")
    task_ratio: Positive = Field(description="The lowest score on a task, as a ratio to torch's.")
    active_dimensions: Fraction = Field(
        description="Of a SparseEncoder: the dimensions that are active in both, of those that are in either; the mean."
    )
    passage_order: Fraction = Field(
        description="Of a CrossEncoder: any two passages of a query in torch's order, weighted by their distance."
    )


class ThresholdOverrides(Section):
    """Thresholds that differ for one variant; what is left out is its precision class's."""

    mean_cosine: Cosine | None = None
    p5_cosine: Cosine | None = None
    p1_cosine: Cosine | None = None
    min_cosine: Cosine | None = None
    mean_centred_cosine: Cosine | None = None
    p5_centred_cosine: Cosine | None = None
    p1_centred_cosine: Cosine | None = None
    min_centred_cosine: Cosine | None = None
    max_abs_diff: Positive | None = None
    hard_min_cosine: Cosine | None = None
    consistency_mean_cosine: Cosine | None = None
    consistency_min_cosine: Cosine | None = None
    recall_at_10: Fraction | None = None
    similarity_spearman: Fraction | None = None
    task_ratio: Positive | None = None
    active_dimensions: Fraction | None = None
    passage_order: Fraction | None = None


# A variant passes below these, and above all others.
UPPER_LIMITS = frozenset({"max_abs_diff"})


def looser(first: Thresholds, second: Thresholds) -> Thresholds:
    """Of each threshold, the one that is easier to hold: for a file of one class that is computed in another.

    int8 computed in bf16 moves an embedding by both, and by int8 far the more: it may be as far off as int8 may be.
    """
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in Thresholds.model_fields}
    return Thresholds(**{name: (max if name in UPPER_LIMITS else min)(pair) for name, pair in pairs.items()})


class ThresholdsByPrecision(Section):
    """One set of thresholds per precision class: of what a file holds, and `bf16` of what it is computed in."""

    fp32: Thresholds
    fp16: Thresholds
    int8_dynamic: Thresholds
    int8_static: Thresholds
    int8_weights: Thresholds
    int4_weights: Thresholds
    bf16: Thresholds


class Validate(Section):
    """What a variant must hold against torch to pass."""

    batch_size: Annotated[int, Field(ge=1)] = 32
    on_failure: Literal["exclude", "stop"] = Field(
        default="exclude", description="A failed variant is left out of what is published, or stops the pipeline."
    )
    precisions: list[FurtherPrecision] = Field(
        default=["bf16", "f16"],
        description="In which precisions beside f32 a file is validated, on a machine that computes in them, where its "
        "runtime can be told to.",
    )
    cuda: list[InferencePrecision] = Field(
        default=["f32", "tf32", "bf16", "f16"],
        description="In which precisions a file is validated on an NVIDIA GPU, on a machine that has one.",
    )
    thresholds: ThresholdsByPrecision
    overrides: dict[Slug, ThresholdOverrides] = Field(default={})


class ValidateVariant(Section):
    """What holds for one variant of one model, as `configure` resolved it."""

    batch_size: Annotated[int, Field(ge=1)]
    on_failure: Literal["exclude", "stop"]
    precision: Precision
    thresholds: Thresholds
    precisions: dict[FurtherPrecision, Thresholds] = Field(default={})
    cuda: dict[InferencePrecision, Thresholds] = Field(default={})  # on an NVIDIA GPU
