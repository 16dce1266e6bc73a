"""The verdict on a variant's file computed in another precision than f32, where this machine has it, or on a GPU.

A verdict in f32 holds on every machine, because every machine computes f32. One in bf16 or f16 is given by a machine
that computes in it, as its processor and then the loaded model say; any other machine says "not computed". So it is
on an NVIDIA GPU, in f32, too. The checks are those of f32, against torch's embeddings on a processor. The thresholds
are, one by one, the looser of the file's class and of the precision's.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from foundry.loading import loader, precisions
from foundry.loading.variant import LoadedVariant
from foundry.validation import results
from foundry.validation.results import Check, PrecisionVerdict
from foundry.validation.settings import Thresholds
from foundry.variants import naming
from foundry.variants.precisions import Device, FurtherPrecision, InferencePrecision

Judge = Callable[[LoadedVariant, Thresholds, InferencePrecision, Device], list[Check]]


def verdicts(
    folder: Path,
    variant: str,
    limits: Mapping[FurtherPrecision, Thresholds],
    computed_here: Collection[FurtherPrecision],
    judge: Judge,
) -> dict[str, PrecisionVerdict]:
    """A verdict for each precision that has `limits`; `judge` makes the checks of a loaded variant in it."""
    return {
        precision: verdict(folder, variant, precision, thresholds, judge)
        if precision in computed_here
        else not_computed(f"this machine's processor does not compute in {precision}")
        for precision, thresholds in limits.items()
    }


def verdicts_on_cuda(
    folder: Path,
    variant: str,
    limits: Mapping[InferencePrecision, Thresholds],
    computed_here: Mapping[str, Collection[InferencePrecision]],
    judge: Judge,
) -> dict[str, PrecisionVerdict]:
    """A verdict on an NVIDIA GPU for each precision that has `limits`; none on a machine without one.

    `computed_here` is what each backend computes in on this machine's GPU.
    """
    computed = computed_here.get(naming.backend(variant), ())
    return {
        precision: verdict(folder, variant, precision, thresholds, judge, "cuda")
        for precision, thresholds in limits.items()
        if precision in computed
    }


def verdict(
    folder: Path,
    variant: str,
    precision: InferencePrecision,
    limits: Thresholds,
    judge: Judge,
    device: Device = "cpu",
) -> PrecisionVerdict:
    """Load the variant in a precision that the device has, and check it, unless its runtime computes in another or by
    code that is of no use."""
    try:
        loaded = loader.load(folder, variant, {"precision": precision, "device": device})
        if reason := precisions.why_not_computed(loaded, precision):
            return not_computed(reason)
        checks = judge(loaded, limits, precision, device)
    except Exception as error:  # noqa: BLE001  # as in f32: what a variant does is its own verdict
        return {"verdict": "failed", "reason": results.why_not_run(error), "checks": []}
    reason_failed = results.why_failed(checks)
    return {"verdict": "failed" if reason_failed else "passed", "reason": reason_failed, "checks": checks}


def not_computed(reason: str) -> PrecisionVerdict:
    """The verdict of a machine that cannot give one."""
    return {"verdict": "not computed", "reason": reason, "checks": []}
