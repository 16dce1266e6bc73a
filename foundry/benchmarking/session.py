"""Measure every variant of a model, in rounds that interleave them, each time in a process of its own.

A ratio is to torch in fp32 in the same round; there are rounds until every ratio's interval is narrow enough, or the
time is used up. Speed is that of Sentence Transformers' `encode`, tokenization included.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from foundry.base import files
from foundry.benchmarking import interleaving, measuring, peaks, speeds
from foundry.benchmarking.fork_server import ForkServers
from foundry.benchmarking.interleaving import HOPELESS, PATIENCE_SECONDS
from foundry.benchmarking.measuring import Measured
from foundry.benchmarking.settings import Effort, Setting
from foundry.benchmarking.speeds import BASELINE
from foundry.loading import loader
from foundry.reference.closeness import cosines
from foundry.variants import naming, variant_folder

CLOSENESS_TEXTS = 16  # of each group, for rows that have no verdict
# What torch and OpenVINO call a precision, in one language.
COMPUTES_IN = {"float16": "fp16", "bfloat16": "bf16", "f32": "fp32", "bf16": "bf16", "f16": "fp16"}


@dataclass(frozen=True)
class Row:
    """What is measured under one name."""

    variant: str  # whose file is loaded
    options: loader.Options = field(default_factory=loader.Options)
    same_bytes_as: str | None = None
    computes_in: str | None = None  # of a setting: fp32, fp16 or bf16


def rows(folder: Path, variants: Sequence[str], settings: Mapping[str, Setting]) -> dict[str, Row]:
    """Every variant that is there, files of the same bytes pointing to the first of them; then the settings."""
    found: dict[str, Row] = {}
    seen: dict[tuple[str, ...], str] = {}
    for variant in variants:
        if variant_folder.skipped(folder / variant) is None:
            digest = tuple(files.sha256(path) for path in variant_folder.weights_files(folder / variant, variant))
            first = seen.setdefault((naming.backend(variant), *digest), variant)
            found[variant] = Row(variant, same_bytes_as=None if first == variant else first)
    for name, setting in settings.items():
        if setting.of in found:
            said = setting.dtype or setting.inference_precision or "f32"
            found[name] = Row(setting.of, options_of(setting), computes_in=COMPUTES_IN[said])
    return found


def options_of(setting: Setting) -> loader.Options:
    """What a setting means to Sentence Transformers."""
    arguments: dict[str, Any] = {}
    if setting.dtype:
        arguments["dtype"] = setting.dtype
    if setting.inference_precision:
        arguments["ov_config"] = {"INFERENCE_PRECISION_HINT": setting.inference_precision}
    return {"model_kwargs": arguments, "compile": setting.compile}


def record(row: Row, size_mb: float, seen: Sequence[Measured | None]) -> speeds.VariantBenchmark:
    """What the rounds saw of one row."""
    known = [one for one in seen if one is not None]
    groups = list(dict.fromkeys(group for one in known for group in one.texts_per_second))
    speed: dict[str, dict[str, list[float | None]]] = {}
    for group in groups:
        sizes = dict.fromkeys(size for one in known for size in one.texts_per_second.get(group, {}))
        speed[group] = {
            size: [one.texts_per_second.get(group, {}).get(size) if one else None for one in seen] for size in sizes
        }
    return {
        "setting_of": row.variant if row.options else None,
        "computes_in": row.computes_in,
        "same_bytes_as": row.same_bytes_as,
        "size_mb": size_mb,
        "load_seconds": median(one.load_seconds for one in known) if known else None,
        "memory_mb": max((one.memory_mb for one in known), default=None),
        "texts_per_second": speed,
        "latency": {
            group: latency([value for one in known for value in one.latency_ms.get(group, [])])
            for group in groups
            if any(one.latency_ms.get(group) for one in known)
        },
        "closeness": None,
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


def closeness(own: np.ndarray, torch: np.ndarray) -> speeds.Closeness:
    """Of embeddings (texts, dimensions) to torch's of the same texts."""
    cosine = cosines(np.nan_to_num(own), torch)
    return {"mean_cosine": float(cosine.mean()), "min_cosine": float(cosine.min())}


def size_mb(folder: Path, variant: str) -> float:
    return sum(path.stat().st_size for path in variant_folder.weights_files(folder / variant, variant)) / 1e6


def limits_of_the_machine(servers: ForkServers, backends: Sequence[str], bf16: bool) -> dict[str, dict[str, float]]:
    """The fastest matrix product of each runtime in use, by precision, in billions of operations a second."""
    found: dict[str, dict[str, float]] = {}
    functions = {"torch": peaks.of_torch, "onnx": peaks.of_onnx, "openvino": peaks.of_openvino}
    for backend in backends:
        rates = servers.for_backend(backend).call(functions[backend], bf16, seconds=PATIENCE_SECONDS)
        for precision, gflops in rates.items():
            found.setdefault(precision, {})[backend] = gflops
    return found


def benchmark(
    model: str,
    folder: Path,
    wanted: dict[str, Row],
    groups: dict[str, list[str]],
    machine: dict[str, Any],
    effort_name: str,
    effort: Effort,
) -> speeds.Benchmark:
    """Measure all that is wanted, on groups of texts."""
    began = time.perf_counter()
    backends = list(dict.fromkeys(naming.backend(row.variant) for row in wanted.values()))
    some = [text for group in groups.values() for text in group[:CLOSENESS_TEXTS]]
    with ForkServers() as servers:
        described = servers.for_backend(BASELINE).call(
            measuring.describe, folder / BASELINE, groups, seconds=PATIENCE_SECONDS
        )
        bf16 = any("bf16" in flag for flag in machine["instruction_sets"])
        peak = limits_of_the_machine(servers, backends, bf16)
        plan = {
            name: measuring.plan_group(
                chosen, described["groups"][name]["texts_per_second"], effort.seconds, effort.batch_sizes
            )
            for name, chosen in groups.items()
        }
        embeddings: dict[str, Any] = {}
        unable = [
            name
            for name, row in wanted.items()
            if row.computes_in
            and naming.backend(row.variant) == "openvino"  # torch computes in any, if slowly
            and not servers.for_backend(naming.backend(row.variant)).call(
                measuring.capable, row.computes_in, seconds=PATIENCE_SECONDS
            )
        ]

        def measure(name: str, give_up: float) -> Measured:
            row = wanted[name]
            embed = some if name not in embeddings and (row.options or name == BASELINE) else []
            one: Measured = servers.for_backend(naming.backend(row.variant)).call(
                measuring.measure, folder / row.variant, row.variant, row.options, plan, give_up, embed,
                seconds=PATIENCE_SECONDS + 2 * give_up,
            )  # fmt: skip
            if embed:
                embeddings[name] = one.embeddings
            return one

        names = [name for name, row in wanted.items() if row.same_bytes_as is None and name not in unable]
        seen = interleaving.run_rounds(names, measure, effort)
    records: dict[str, speeds.VariantBenchmark] = {}
    for name, row in wanted.items():
        one = record(row, size_mb(folder, row.variant), seen.measured.get(row.same_bytes_as or name, []))
        if name in embeddings and name != BASELINE:
            one["closeness"] = closeness(embeddings[name], embeddings[BASELINE])
        if name in seen.slow:
            one["note"] = f"takes more than {HOPELESS} times as long as torch: measured once"
        if name in unable:
            one["note"] = f"this processor does not compute in {row.computes_in}"
        one["error"] = seen.errors.get(row.same_bytes_as or name)
        records[name] = one
    return {
        "format": speeds.FORMAT,
        "model": model,
        "host": machine["host"],
        "machine": machine,
        "effort": effort_name,
        "rounds": len(seen.measured[BASELINE]),
        "stopped": "time" if seen.stopped == "time" else "narrow enough",
        "widest_interval": seen.widest,
        "seconds": time.perf_counter() - began,
        "groups": {
            name: {
                "texts": len(plan[name].texts),
                "tokens_per_text": facts["tokens_per_text"],
                "gflop_per_text": facts["gflop_per_text"],
                "tokenization_ms_per_text": facts["tokenization_ms_per_text"],
            }
            for name, facts in described["groups"].items()
        },
        "peak_gflops": peak,
        "torch_threads": described["threads"],
        "variants": records,
    }
