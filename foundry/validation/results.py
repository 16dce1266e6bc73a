"""The shape of what validation writes, for the stages that write and read it."""

from typing import Any, Literal, TypedDict

from foundry.int8.search_record import Search
from foundry.reference.closeness import SAME_EMBEDDING


class Check(TypedDict):
    """One measured value against its threshold."""

    check: str
    value: float | None  # None where it was not a number
    threshold: float
    relation: Literal[">=", "<="]
    passed: bool
    interval: list[float] | None  # of a mean: its 95% bootstrap interval


class WorstText(TypedDict):
    """A text that a variant embeds least like torch does."""

    text: str
    cosine: float


class Context(TypedDict):
    """The same texts alone and in one kind of batch: cosines."""

    mean: float
    min: float


class Validation(TypedDict):
    """artifacts/validation/<model>/<variant>.json"""

    variant: str
    precision: str
    verdict: Literal["passed", "failed", "skipped"]
    reason: str | None
    texts: int
    vocabulary: str  # how many of its entries the texts hold
    checks: list[Check]
    worst: list[WorstText]
    contexts: dict[str, Context]
    search: Search | None  # of a variant with a budget
    built: dict[str, Any]  # how the variant was made: by which exporter, with how many fusions
    facts: dict[str, Any]  # of the model: maximum length, prompts, modules, as the reference has them
    files: dict[str, str]  # SHA-256 of every file of the folder that was checked


def value_of(validation: Validation, check: str) -> float | None:
    """The value of a check, or None where it was not made."""
    return next((row["value"] for row in validation["checks"] if row["check"] == check), None)


def changes_with_batch(validation: Validation) -> float | None:
    """The mean cosine of a text alone with itself in a batch, where it is not the same embedding; else None."""
    value = value_of(validation, "consistency_mean_cosine")
    return value if value is not None and value < SAME_EMBEDDING else None


def why_failed(validation: Validation) -> str | None:
    """Each failed check with its value and its threshold, or None where none failed."""
    failed = [
        f"{row['check']} {'not a number' if row['value'] is None else format(row['value'], '.5g')}, "
        f"must be {row['relation']} {row['threshold']:g}"
        for row in validation["checks"]
        if not row["passed"]
    ]
    return "; ".join(failed) or None
