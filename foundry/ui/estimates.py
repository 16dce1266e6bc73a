"""About how long stages take, and how much memory and disk a variant needs, before anything is measured here.

The figures are those of docs/large-models.md, of 91 MB of weights on two cores without VNNI, scaled by the size of the
weights. They tell minutes from hours; what a stage took here before is taken instead where it is known.
"""

from pathlib import Path
from typing import NamedTuple

from foundry.params import resolving
from foundry.params.schema import Params
from foundry.variants.checkpoint_folder import TORCH_WEIGHTS

BASE_MB = 91.0
LIBRARIES_MB = 600.0  # of memory, that the libraries take by themselves
# For 91 MB of weights: seconds that grow with the weights, and seconds that do not (processes, imports, timings).
SECONDS: dict[str, tuple[float, float]] = {
    "configure": (0, 2), "host": (0, 4), "download": (2, 8), "sample": (0, 5), "export": (6, 10), "optimize": (2, 4),
    "embed": (3, 8), "quantize": (3, 4), "calibrate_onnx": (24, 5), "calibrate": (24, 5), "compress": (1, 5),
    "validate": (6, 8), "benchmark": (0, 290), "report": (0, 8), "publish": (6, 8),
}  # fmt: skip
# The file of a variant, and the memory that making it takes, as shares of torch's weights, by precision class.
SIZE = {"fp32": 1.0, "fp16": 0.5, "int8_dynamic": 0.26, "int8_static": 0.26, "int8_weights": 0.26, "int4_weights": 0.2}
MEMORY = {"fp32": 4.6, "fp16": 2.1, "int8_dynamic": 2.0, "int8_static": 4.3, "int8_weights": 1.3, "int4_weights": 2.0}
# What each kind of variant is for, in the words of somebody who deploys it.
FOR = {
    "fp32": "the original's embedding, without PyTorch",
    "fp16": "half the size, the same embedding",
    "int8_dynamic": "the smallest and fastest for single texts; a little of the closeness is lost",
    "int8_static": "a quarter of the size, fast in batches, the closest of all int8",
    "int8_weights": "a quarter of the size, close to the original; computed in fp32",
    "int4_weights": "the smallest; look at its verdict",
}


class Cost(NamedTuple):
    """What a variant needs, about."""

    seconds: float
    disk_mb: float
    memory_mb: float


def stage_seconds(kind: str, weights_mb: float | None) -> float:
    """About how long a stage takes for a model of this size."""
    grows, fixed = SECONDS.get(kind, (0, 10))
    return fixed + grows * (weights_mb or BASE_MB) / BASE_MB


def purpose(params: Params, variant: str) -> str:
    """What a variant is for."""
    if variant == "torch":
        return "the original, which all others are compared with"
    where = "OpenVINO" if variant.startswith("openvino") else "ONNX Runtime"
    return f"{where}: {FOR[resolving.precision(params, variant)]}"


def variant_cost(params: Params, variant: str, weights_mb: float) -> Cost:
    """What building and validating a variant takes, and the size of its file."""
    precision = resolving.precision(params, variant)
    kind = (
        "calibrate" if variant in params.calibrate or variant in params.calibrate_onnx
        else "quantize" if variant in params.quantize
        else "optimize" if variant in params.optimize
        else "compress" if variant in params.compress
        else "export" if variant != "torch"
        else "download"
    )  # fmt: skip
    scale = weights_mb / BASE_MB
    seconds = sum(fixed + grows * scale for grows, fixed in (SECONDS[kind], SECONDS["validate"]))
    return Cost(seconds, SIZE[precision] * weights_mb, LIBRARIES_MB + MEMORY[precision] * weights_mb)


def total_cost(params: Params, variants: list[str], weights_mb: float) -> Cost:
    """What all of it takes: stages run one after another, so that times add up and the largest memory counts."""
    costs = [variant_cost(params, variant, weights_mb) for variant in variants]
    once = ("configure", "host", "sample", "embed", "report", "publish")
    fixed = sum(SECONDS[kind][0] * weights_mb / BASE_MB + SECONDS[kind][1] for kind in once)
    effort = params.benchmark.efforts[params.benchmark.effort]
    seconds = sum(cost.seconds for cost in costs) + fixed + effort.minutes * 60
    # DVC's cache holds each file once more where the disk has neither reflinks nor hard links; so does the published.
    disk = 2 * sum(cost.disk_mb for cost in costs)
    return Cost(seconds, disk, max((cost.memory_mb for cost in costs), default=LIBRARIES_MB))


def weights_mb(root: Path, model: str) -> float | None:
    """The size of a model's weights, once it was downloaded."""
    folder = root / "artifacts/models" / model / "torch"
    sizes = {path: path.stat().st_size for form in TORCH_WEIGHTS for path in folder.rglob(form) if path.is_file()}
    return sum(sizes.values()) / 1e6 or None


def duration(seconds: float) -> str:
    """`about 4 minutes`."""
    if seconds < 90:
        return f"about {max(round(seconds / 5) * 5, 5):.0f} seconds"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"
