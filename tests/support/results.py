"""Verdicts and benchmarks as the stages write them, constructed: no model is loaded or measured."""

from pathlib import Path
from typing import Any

from foundry.validation.settings import Thresholds
from tests.support.stages import settings_file

LOOSE = Thresholds(
    mean_cosine=0.9, p5_cosine=0.9, p1_cosine=0.9, min_cosine=0.9, max_abs_diff=0.1, hard_min_cosine=0.9,
    mean_centred_cosine=0.9, p5_centred_cosine=0.9, p1_centred_cosine=0.9, min_centred_cosine=0.9,
    consistency_mean_cosine=0.9, consistency_min_cosine=0.9, recall_at_10=0.9, similarity_spearman=0.9, task_ratio=0.9,
    active_dimensions=0.9, passage_order=0.9,
)  # fmt: skip

# What the rounds of a noisy benchmark are multiplied by.
NOISY = [0.8, 1.25, 1.0, 1.2, 0.85]


def validation(variant: str, verdict: str = "passed", mean: float | None = 0.999, **more: Any) -> dict[str, Any]:
    """A verdict on one variant; `more` replaces or adds keys."""
    row = {"check": "mean_cosine", "value": mean, "threshold": 0.99, "relation": ">=", "passed": verdict == "passed"}
    row["interval"] = [0.998, 0.9995]
    centred = {**row, "check": "mean_centred_cosine", "passed": True}
    facts = {
        "kind": "SentenceTransformer",
        "trust_remote_code": False,
        "prompts": {},
        "truncate_dim": None,
        "max_seq_length": 64,
        "modules": [["Pooling", {"pooling_mode": "mean"}], ["Normalize", {}]],
    }
    return {
        "variant": variant, "precision": "fp32", "verdict": verdict, "reason": None, "texts": 48, "facts": facts,
        "vocabulary": "400 of 600", "uncovered_scripts": [], "inputs": None,
        "worst": [{"text": "the <worst>", "cosine": 0.9}], "contexts": {}, "search": None, "runtime": None,
        "precisions": {},
        "cuda": {},
        "built": {"exporter": "optimum (optimum-onnx 0.1.0)", "tried_before": {},
                  "fusions": {"attention": {"found": 5, "expected": 6}}},
        "checks": [] if verdict == "skipped" else [row, centred], "files": {f"onnx/{variant}.onnx": variant}, **more,
    }  # fmt: skip


def record(speed: float, **more: Any) -> dict[str, Any]:
    """A variant that embeds so many times 100 texts a second in each of five rounds; and half as many one by one."""
    rounds = [99.0 * speed, 100.0 * speed, 101.0 * speed, 100.0 * speed, 100.0 * speed]
    rates = {"1": [value / 2 for value in rounds], "8": rounds}
    latency = {"median_ms": 20 / speed, "p95_ms": 25 / speed, "p99_ms": 30 / speed, "samples": 50}
    return {
        "setting_of": None, "computes_in": None, "runner": "sentence_transformers", "device": "cpu", "compiled": False,
        "settled": False, "search": None, "requests": None, "same_bytes_as": None, "size_mb": 12.3,
        "load_seconds": 1.0, "memory_mb": 600.0, "texts_per_second": {"short": rates, "long": rates}, "note": None,
        "error": None, "latency": {"short": latency, "long": latency}, "closeness": None, **more,
    }  # fmt: skip


def benchmark(host: str, variants: dict[str, Any]) -> dict[str, Any]:
    """A benchmark of two groups of texts on one machine."""
    group = {"texts": 16, "tokens_per_text": 10.0, "gflop_per_text": 0.5, "tokenization_ms_per_text": 1.0}
    return {
        "format": 3, "model": "tiny", "host": host, "machine": {}, "device": "cpu", "effort": "quick", "rounds": 5,
        "stopped": "time", "widest_interval": 0.05, "seconds": 90.0, "other_load": None,
        "groups": {"short": group, "long": {**group, "tokens_per_text": 99.0}},
        "peak_gflops": {"fp32": {"torch": 100.0, "onnx": 200.0}, "int8": {"onnx": 400.0}}, "torch_threads": 2,
        "requests": None,
        "variants": variants,
    }  # fmt: skip


def noisy(speed: float) -> dict[str, Any]:
    """As `record`, on short texts alone, in rounds that differ by half."""
    rounds = [100 * speed * factor for factor in NOISY]
    return record(speed) | {"texts_per_second": {"short": {"1": rounds, "8": rounds}}}


def load(share: float, **more: Any) -> dict[str, Any]:
    """What other jobs took of the processor during a benchmark, with a limit of 10%."""
    return {
        "share": share, "others": share, "stolen": 0.0, "throttled": 0.0, "own": 0.5, "rounds": [share] * 3,
        "left_out": [], "limit": 0.1, "busy": share > 0.1, **more,
    }  # fmt: skip


def make_report(root: Path) -> None:
    """The report over what `root` holds: verdicts, benchmarks, a profile; by the params.yaml of the current folder."""
    from stages import report

    names = ("validation", "benchmarks", "host.json", "report", "metrics")
    report.main(settings_file("report"), *(root / name for name in names))
