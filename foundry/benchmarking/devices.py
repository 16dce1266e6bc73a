"""On which devices of this machine the benchmark measures."""

from collections.abc import Sequence

from foundry.base.progress import say
from foundry.variants.precisions import Device


def to_measure(gpus: Sequence[str], cuda_effort: str | None) -> list[Device]:
    """The processor, and an NVIDIA GPU where the machine has one, an effort is named for it, and torch can use it.

    Args:
        gpus: Those of the machine's profile.
        cuda_effort: The name of the effort for a GPU.
    """
    if not gpus or cuda_effort is None:
        return ["cpu"]
    from foundry.loading import cuda

    reasons = {backend: reason for backend in ("torch", "onnx") if (reason := cuda.why_not(backend))}
    for reason in reasons.values():
        say(f"{gpus[0]}: ", ("not measured", "yellow"), f" in full: {reason}")
    return ["cpu"] if "torch" in reasons else ["cpu", "cuda"]
