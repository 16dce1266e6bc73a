"""What a benchmark measures: its rows, the texts of each measurement, and what is known of the machine beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry_runtime.batches import TOKENS_PER_BATCH

from foundry.base import files
from foundry.benchmarking import by_runtime, measuring, peaks, speeds
from foundry.benchmarking.by_runtime import Chosen
from foundry.benchmarking.fork_server import ForkServers
from foundry.benchmarking.interleaving import TIMEOUT_SECONDS
from foundry.benchmarking.measuring import Group, Way
from foundry.benchmarking.settings import Effort, Runner, Setting
from foundry.benchmarking.speeds import BASELINE
from foundry.loading import loader, precisions
from foundry.variants import naming, same_bytes, variant_folder
from foundry.variants.precisions import Device, InferencePrecision, on_cuda

# Classes of files by how much quality they lose; a file in floating point loses some where it is computed in bf16.
LOSSES = ("floats", "floats in bf16", "int8_weights", "int8_static", "int8_dynamic", "int4_weights")


@dataclass(frozen=True)
class Row:
    """What is measured under one name."""

    variant: str  # whose file is loaded
    precision_class: str = "fp32"  # of the file
    options: loader.Options = field(default_factory=loader.Options)
    same_bytes_as: str | None = None
    computes_in: InferencePrecision | None = None  # of a setting
    runner: Runner = "sentence_transformers"

    @property
    def is_setting(self) -> bool:
        """Whether it is another way to run a file than the plain one."""
        return self.computes_in is not None

    @property
    def computes_as(self) -> str:
        """What decides how close to torch it is: the class of the file, and what is computed in."""
        file = "floats" if self.precision_class in ("fp32", "fp16") else self.precision_class
        return f"{file} in {self.computes_in or 'f32'}"

    @property
    def loss(self) -> int:
        """How much quality is lost by how it computes, as a place in an order; the last where nothing validates it."""
        is_plain = self.runner == "sentence_transformers" and self.computes_in == "f32"
        if is_plain or self.options.get("compile"):
            return len(LOSSES)
        if self.precision_class in ("fp32", "fp16"):
            return LOSSES.index("floats" if self.computes_in in (None, "f32") else "floats in bf16")
        return LOSSES.index(self.precision_class)

    @property
    def device(self) -> Device:
        """Where it is measured."""
        return self.options.get("device", "cpu")

    @property
    def server(self) -> str:
        """The fork server whose children measure it: one that has imported what runs it, and nothing else."""
        return f"foundry_runtime.{self.backend}" if self.runner == "foundry_runtime" else self.backend

    @property
    def backend(self) -> str:
        """`torch`, `onnx` or `openvino`."""
        return naming.backend(self.variant)


@dataclass(frozen=True)
class Plan:
    """The rows, the texts of each measurement, and what is known of machine and texts before the first round."""

    rows: Mapping[str, Row]
    groups: Mapping[str, Group]
    facts: Mapping[str, speeds.TextGroup]  # by group of texts
    peak_gflops: dict[str, dict[str, float]]  # by precision and runtime
    torch_threads: int
    incapable: Sequence[str]  # the rows whose precision this processor does not compute in
    tokenizer: dict[str, Path]  # files that foundry_runtime reads in place of the model's own, by name

    def way(self, folder: Path, name: str, chosen: Chosen | None = None) -> Way:
        """How a row is opened; `folder` holds the model's variants, `chosen` are settings of foundry_runtime."""
        row = self.rows[name]
        return Way(folder / row.variant, row.variant, row.options, row.runner, self.tokenizer, chosen)

    @property
    def measured_names(self) -> list[str]:
        """The rows that are measured themselves: not by another row of the same bytes, and not in vain."""
        return [name for name, row in self.rows.items() if row.same_bytes_as is None and name not in self.incapable]


def rows_to_measure(
    folder: Path, variants: Mapping[str, str], settings: Mapping[str, Setting], device: Device = "cpu"
) -> dict[str, Row]:
    """Every variant that was built, files of the same bytes pointing to the first of them; then the device's settings.

    A variant whose stage failed has no folder. On a GPU only what runs there is measured.

    Args:
        variants: Each with its precision class.
    """
    built = [
        name
        for name, kind in variants.items()
        if (folder / name).is_dir()
        and variant_folder.skipped(folder / name) is None
        and (device == "cpu" or on_cuda(name, kind))
    ]
    earlier = same_bytes.twins({name: (naming.backend(name), *weight_hashes(folder, name)) for name in built})
    table = {name: Row(name, variants[name], {"device": device}, earlier.get(name)) for name in built}
    for name, setting in settings.items():
        if setting.of in built and setting.device == device:
            options: loader.Options = {"precision": setting.precision, "compile": setting.compile, "device": device}
            kind, precision = variants[setting.of], setting.precision
            table[name] = Row(setting.of, kind, options, computes_in=precision, runner=setting.runner)
    return table


def weight_hashes(folder: Path, variant: str) -> list[str]:
    """The SHA-256 of each file of a variant's weights."""
    return [files.sha256(path) for path in variant_folder.weights_files(folder / variant, variant)]


def size_mb(folder: Path, variant: str) -> float:
    """The size of a variant's weights."""
    return sum(path.stat().st_size for path in variant_folder.weights_files(folder / variant, variant)) / 1e6


def make_plan(
    servers: ForkServers,
    folder: Path,
    wanted: Mapping[str, Row],
    groups: Mapping[str, list[str]],
    machine: Mapping[str, Any],
    effort: Effort,
    scratch: Path,
    device: Device = "cpu",
) -> Plan:
    """Measure torch once on the groups of texts, and the machine's limits, and plan the measurements by that.

    The tokenizer that foundry_runtime reads is written to `scratch`.
    """
    described = servers.for_backend(BASELINE).call(
        measuring.describe, folder / BASELINE, dict(groups), device, seconds=TIMEOUT_SECONDS
    )
    planned = {
        name: measuring.plan_group(
            texts,
            described["groups"][name]["texts_per_second"],
            effort.seconds,
            effort.batch_sizes,
            described["groups"][name]["tokens_per_text"],
            max(effort.search.batch_tokens) if effort.search.share else TOKENS_PER_BATCH,
            device,
        )
        for name, texts in groups.items()
    }
    facts: dict[str, speeds.TextGroup] = {
        name: {
            "texts": len(planned[name].texts),
            "tokens_per_text": group["tokens_per_text"],
            "gflop_per_text": group["gflop_per_text"],
            "tokenization_ms_per_text": group["tokenization_ms_per_text"],
        }
        for name, group in described["groups"].items()
    }
    bf16 = any("bf16" in flag for flag in machine["instruction_sets"])
    if device == "cuda":
        peak = servers.for_backend("torch").call(peaks.cuda_gflops, seconds=TIMEOUT_SECONDS)
    else:
        peak = peak_gflops(servers, list(dict.fromkeys(row.backend for row in wanted.values())), bf16)
    incapable = [name for name, row in wanted.items() if not is_capable(servers, row)]
    tokenizer: dict[str, Path] = {}
    if any(row.runner == "foundry_runtime" for row in wanted.values()):
        tokenizer = servers.for_backend(BASELINE).call(
            by_runtime.write_tokenizer, folder / BASELINE, scratch, seconds=TIMEOUT_SECONDS
        )
    return Plan(wanted, planned, facts, peak, described["threads"], incapable, tokenizer)


def peak_gflops(servers: ForkServers, backends: Sequence[str], bf16: bool) -> dict[str, dict[str, float]]:
    """The fastest matrix product by precision and runtime, in billions of operations a second."""
    peak: dict[str, dict[str, float]] = {}
    functions = {"torch": peaks.torch_gflops, "onnx": peaks.onnx_gflops, "openvino": peaks.openvino_gflops}
    for backend in backends:
        rates = servers.for_backend(backend).call(functions[backend], bf16, seconds=TIMEOUT_SECONDS)
        for precision, gflops in rates.items():
            peak.setdefault(precision, {})[backend] = gflops
    return peak


def is_capable(servers: ForkServers, row: Row) -> bool:
    """Whether this processor has the precision of a row; torch computes in any, if slowly."""
    if row.computes_in in (None, "f32") or row.backend != "openvino":
        return True
    return row.computes_in in servers.for_backend(row.backend).call(precisions.of_processor, seconds=TIMEOUT_SECONDS)
