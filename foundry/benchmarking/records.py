"""What the rounds of a benchmark say of each variant, as it is written to the benchmark's file."""

from collections.abc import Sequence
from statistics import median

import numpy as np

from foundry.benchmarking import speeds
from foundry.benchmarking.measuring import Measured
from foundry.benchmarking.settings import Runner
from foundry.reference.closeness import cosines
from foundry.variants.precisions import Device, InferencePrecision


def record(
    measurements: Sequence[Measured | None],
    *,
    size_mb: float,
    setting_of: str | None = None,
    computes_in: InferencePrecision | None = None,
    runner: Runner = "sentence_transformers",
    device: Device = "cpu",
    compiled: bool = False,
    same_bytes_as: str | None = None,
) -> speeds.VariantBenchmark:
    """What was measured of one variant, or of one way to load it: a measurement a round, None where there was none."""
    known = [measured for measured in measurements if measured is not None]
    groups = list(dict.fromkeys(group for measured in known for group in measured.texts_per_second))
    texts_per_second: dict[str, dict[str, list[float | None]]] = {}
    for group in groups:
        sizes = dict.fromkeys(size for measured in known for size in measured.texts_per_second.get(group, {}))
        texts_per_second[group] = {
            size: [
                measured.texts_per_second.get(group, {}).get(size) if measured else None for measured in measurements
            ]
            for size in sizes
        }
    return {
        "setting_of": setting_of,
        "computes_in": computes_in,
        "runner": runner,
        "device": device,
        "compiled": compiled,
        "same_bytes_as": same_bytes_as,
        "size_mb": size_mb,
        "load_seconds": median(measured.load_seconds for measured in known) if known else None,
        "memory_mb": max((measured.memory_mb for measured in known), default=None),
        "gpu_memory_mb": max((row.gpu_memory_mb for row in known if row.gpu_memory_mb is not None), default=None),
        "texts_per_second": texts_per_second,
        "latency": {
            group: latency([value for measured in known for value in measured.latency_ms.get(group, [])])
            for group in groups
            if any(measured.latency_ms.get(group) for measured in known)
        },
        "closeness": None,
        "search": None,
        "requests": None,
        "settled": False,
        "note": None,
        "error": None,
    }


def latency(milliseconds: Sequence[float]) -> speeds.Latency:
    """Percentiles over all single texts of all rounds."""
    p95, p99 = np.percentile(milliseconds, [95, 99])
    return {
        "median_ms": median(milliseconds),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "samples": len(milliseconds),
    }


def closeness(embeddings: np.ndarray, torch_embeddings: np.ndarray) -> speeds.Closeness:
    """How close embeddings (texts, dimensions) are to torch's of the same texts."""
    cosine = cosines(np.nan_to_num(embeddings), torch_embeddings)
    return {"mean_cosine": float(cosine.mean()), "min_cosine": float(cosine.min())}
