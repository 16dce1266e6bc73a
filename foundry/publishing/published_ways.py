"""The ways to run a published file that passed, as foundry.json has them."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from foundry.validation import results
from foundry.variants import naming
from foundry.variants.precisions import Device


class Way(TypedDict):
    """A way to run a variant's file."""

    model_kwargs: dict[str, Any]  # of Sentence Transformers
    figures: dict[str, float | None]  # each check's value in this precision
    # Arguments of foundry_runtime that were fastest on `host`, with as many `cores`, by use and length of texts; None
    # where they were not searched.
    settings: dict[str, Any] | None


def figures(checks: Sequence[results.Check]) -> dict[str, float | None]:
    """Each check's value by its name."""
    return {row["check"]: row["value"] for row in checks}


def ways(validation: results.Validation, settings: Mapping[str, dict[str, Any]]) -> dict[str, Way]:
    """The ways to run a variant that passed, as anybody loads them; the first is f32, which holds on every machine.

    `settings` are those of foundry_runtime by precision.
    """
    checks = {"f32": validation["checks"], **_passed(validation["precisions"])}
    variant = validation["variant"]
    return {precision: _way(variant, precision, rows, settings.get(precision)) for precision, rows in checks.items()}


def ways_on_cuda(validation: results.Validation) -> dict[str, Way]:
    """The ways to run a variant on an NVIDIA GPU that passed there."""
    variant, checks = validation["variant"], _passed(validation["cuda"])
    return {precision: _way(variant, precision, rows, None, "cuda") for precision, rows in checks.items()}


def _passed(judged: Mapping[str, results.PrecisionVerdict]) -> dict[str, list[results.Check]]:
    return {precision: row["checks"] for precision, row in judged.items() if row["verdict"] == "passed"}


def _way(
    variant: str,
    precision: str,
    checks: Sequence[results.Check],
    settings: dict[str, Any] | None,
    device: Device = "cpu",
) -> Way:
    return {
        "model_kwargs": naming.model_kwargs(variant, precision, device),
        "figures": figures(checks),
        "settings": settings,
    }
