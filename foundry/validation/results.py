"""The shape of what validation writes, for those that write and read it."""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np

from foundry.reference.closeness import SAME_EMBEDDING, bootstrap_interval
from foundry.variants.facts import Facts
from foundry.variants.search_record import Search
from foundry.variants.variant_folder import HEAD, HeadRecord

Relation = Literal[">=", "<="]


class Check(TypedDict):
    """One measured value against its threshold."""

    check: str
    value: float | None  # None where it was not a number
    threshold: float
    relation: Relation
    passed: bool
    interval: list[float] | None  # of a mean: its 95% bootstrap interval


class WorstText(TypedDict):
    """One of the texts that a variant embeds least like torch does."""

    text: str
    cosine: float


class Context(TypedDict):
    """Cosines of the same texts alone and in one kind of batch."""

    mean: float
    min: float


class PrecisionVerdict(TypedDict):
    """Whether the same file holds when its runtime is told to compute in another precision than f32, or on a GPU."""

    verdict: Literal["passed", "failed", "not computed"]  # not by the machine that validated
    reason: str | None
    checks: list[Check]


class Inputs(TypedDict):
    """What a variant was asked for beside the validation texts. Lengths are in tokens."""

    lengths: list[int]  # of texts embedded alone
    in_equal_batches: list[int]
    in_unequal_batches: list[int]  # each beside a shorter text
    lengths_left_out: list[int]  # of what is tried where there is memory for it
    hard_texts_left_out: list[str]  # the same
    batch_sizes: list[int]
    rows: dict[str, str]  # by torch's name of a table: how many of its rows were compared
    words: str  # how many of the vocabulary's words went through the graph in sequences


Family = Literal["vnni", "avx2"]
# Families of processors whose sums of int8 products differ, and what they are called.
FAMILIES: dict[Family, str] = {"vnni": "with VNNI, AMX or Arm dot product", "avx2": "x86 without VNNI"}


class OnProcessor(TypedDict):
    """The verdict for one family of processors."""

    verdict: Literal["passed", "failed", "unknown"]
    # As it ran on the machine that validated; the same, because no sum saturates; or computed as such a processor does.
    how: Literal["measured", "same", "simulated"]
    checks: list[Check]  # those that were made again; all others are the variant's


class Saturation(TypedDict):
    """What is known of the sums of two int8 products, which saturate in 16 bits without VNNI."""

    products: int  # of integers
    can_saturate: int  # of these, for some tokens
    saturate: int  # of these, within the ranges that each channel has on the validation texts
    largest_sum: int  # within these ranges; 16 bits hold 32,767
    unknown: list[str]  # nodes of which nothing can be said


class RuntimeTrial(TypedDict):
    """What is known of a variant by foundry_runtime beside its checks."""

    refuses: str | None  # why foundry_runtime does not run the model
    error: str | None  # with which the process without torch ended
    tokenizer: dict[str, str]  # SHA-256 of the tokenizer's files that publishing writes anew, by name


class Validation(TypedDict):
    """artifacts/validation/<model>/<variant>.json"""

    variant: str
    precision: str
    verdict: Literal["passed", "failed", "skipped"]  # of f32, which every machine computes
    reason: str | None
    texts: int
    vocabulary: str  # how many of its entries occur in the texts
    inputs: Inputs | None
    uncovered_scripts: list[str]  # that the vocabulary is made for and hardly any text is in, with figures
    checks: list[Check]
    worst: list[WorstText]
    contexts: dict[str, Context]
    precisions: dict[str, PrecisionVerdict]  # by precision beside f32 that the runtime can be told
    cuda: dict[str, PrecisionVerdict]  # on an NVIDIA GPU, by precision
    processors: dict[Family, OnProcessor]  # empty where nothing was checked
    saturation: Saturation | None  # of a variant that multiplies in int8
    runtime: RuntimeTrial | None  # of a graph that loads and runs
    search: Search | None  # of a variant with a budget
    built: dict[str, Any]  # how the variant was made: by which exporter, with how many fusions
    facts: Facts  # of the model, as the reference has them
    files: dict[str, str]  # SHA-256 of every file of the folder that was checked


def at_least(name: str, value: float, threshold: float, values: np.ndarray | None = None) -> Check:
    """A check that passes from the threshold up. With the `values` whose mean it is, it also has their interval."""
    interval = list(bootstrap_interval(values)) if values is not None and np.isfinite(values).all() else None
    return _check(name, value, threshold, ">=", bool(value >= threshold), interval)


def at_most(name: str, value: float, threshold: float) -> Check:
    """A check that passes up to the threshold."""
    return _check(name, value, threshold, "<=", bool(value <= threshold), None)


def why_not_run(error: Exception) -> str:
    """What an error says of a variant that does not load or run, in one line."""
    return f"it does not load or run: {type(error).__name__} {error}".splitlines()[0][:500]


def _check(
    name: str, value: float, threshold: float, relation: Relation, passed: bool, interval: list[float] | None
) -> Check:
    return {
        "check": name,
        "value": float(value) if np.isfinite(value) else None,  # What is not a number never passes.
        "threshold": threshold,
        "relation": relation,
        "passed": passed,
        "interval": interval,
    }


def value_of(validation: Validation, check: str) -> float | None:
    """The value of a check, or None where it was not made."""
    return next((row["value"] for row in validation["checks"] if row["check"] == check), None)


def threshold_of(validation: Validation, check: str) -> float:
    """What a check had to hold."""
    return float(next(row["threshold"] for row in validation["checks"] if row["check"] == check))


def head_output(validation: Validation) -> str | None:
    """The output that the head gives in a variant's graph: `sentence_embedding` and the like; None without one."""
    head: HeadRecord | None = validation["built"].get(HEAD)
    return None if head is None else head["output"]


def changes_with_batch(validation: Validation) -> float | None:
    """The mean cosine between a text embedded alone and in a batch, where the two embeddings differ; else None."""
    value = value_of(validation, "consistency_mean_cosine")
    return value if value is not None and value < SAME_EMBEDDING else None


def left_out(validation: Validation) -> str | None:
    """For which lengths and hard texts there was no memory, or None where there was for all."""
    inputs = validation["inputs"]
    if inputs is None or not (inputs["lengths_left_out"] or inputs["hard_texts_left_out"]):
        return None
    lengths = inputs["lengths_left_out"]
    longer = [f"texts of {lengths[0]} tokens and more"] if lengths else []
    return ", ".join([*longer, *inputs["hard_texts_left_out"]])


def why_failed(checks: Sequence[Check]) -> str | None:
    """Each failed check with its value and its threshold, or None where none failed."""
    failed = [
        f"{row['check']} {'not a number' if row['value'] is None else format(row['value'], '.5g')}, "
        f"must be {row['relation']} {row['threshold']:g}"
        for row in checks
        if not row["passed"]
    ]
    return "; ".join(failed) or None


def with_replaced(checks: Sequence[Check], made_again: Sequence[Check]) -> list[Check]:
    """Checks, with those of the same name in `made_again` in their place."""
    by_name = {check["check"]: check for check in made_again}
    return [by_name.get(check["check"], check) for check in checks]


def on_family(validation: Validation, family: Family | None) -> Validation:
    """A validation as it is on one family of processors; where the family is not known, on the worse one."""
    verdicts = validation.get("processors") or {}
    if not verdicts:
        return validation
    families = (
        [family] if family is not None else sorted(verdicts, key=lambda name: verdicts[name]["verdict"] == "passed")
    )
    own = verdicts[families[0]]
    return {
        **validation,
        "verdict": validation["verdict"] if own["verdict"] == "passed" else "failed",
        "checks": with_replaced(validation["checks"], own["checks"]),
    }


def families_that_fail(validation: Validation) -> dict[Family, str]:
    """The families of processors on which a variant does not hold, and why."""
    verdicts = validation.get("processors") or {}
    return {
        family: "it cannot be told whether sums saturate"
        if own["verdict"] == "unknown"
        else why_failed(on_family(validation, family)["checks"]) or "it failed"
        for family, own in verdicts.items()
        if own["verdict"] != "passed"
    }
