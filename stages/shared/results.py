"""The shapes of what validation and benchmarks write, for the stages that write and read them."""

from typing import Literal, TypedDict


class Check(TypedDict):
    """One measured value against its threshold."""

    check: str
    value: float | None  # None where it was not a number
    threshold: float
    relation: Literal[">=", "<="]
    passed: bool


class Validation(TypedDict):
    """artifacts/validation/<model>/<variant>.json"""

    variant: str
    precision: str
    verdict: Literal["passed", "failed", "skipped"]
    reason: str | None
    texts: int
    checks: list[Check]
    files: dict[str, str]  # SHA-256 of every file of the folder that was checked


class Speed(TypedDict):
    """Texts of one length through one variant."""

    texts_per_second: float  # median over the rounds
    ratio: float  # median over the rounds of the speed ratio to torch in the same round
    ratio_low: float  # lowest and highest round
    ratio_high: float


class VariantBenchmark(TypedDict):
    """One variant on one machine."""

    size_mb: float
    load_seconds: float
    speed: dict[str, Speed]  # by group of texts
    error: str | None


class Benchmark(TypedDict):
    """artifacts/benchmarks/<model>/<host>.json"""

    model: str
    host: str
    batch_size: int
    rounds: int
    texts: dict[str, int]
    variants: dict[str, VariantBenchmark]


def value_of(validation: Validation, check: str) -> float | None:
    """The value of a check, or None where it was not made."""
    return next((row["value"] for row in validation["checks"] if row["check"] == check), None)


def why_failed(validation: Validation) -> str | None:
    """Each failed check with its value and its threshold, or None where none failed."""
    failed = [
        f"{row['check']} {'not a number' if row['value'] is None else format(row['value'], '.5g')}, "
        f"must be {row['relation']} {row['threshold']:g}"
        for row in validation["checks"]
        if not row["passed"]
    ]
    return "; ".join(failed) or None
