"""Measure every variant of a model, in rounds that interleave them, each time in a process of its own.

A ratio is to torch in fp32 in the same round; there are rounds until every ratio's interval is narrow enough, or the
time is used up. Speed is that of `encode`, Sentence Transformers' or for some settings foundry_runtime's, tokenization
included.
"""

import itertools
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry_runtime import machine as runtime_machine
from foundry_runtime.batches import TOKENS_PER_BATCH

from foundry.base import files
from foundry.benchmarking import (
    by_runtime,
    interleaving,
    measuring,
    peaks,
    records,
    request_rounds,
    search,
    serving,
    setting_trials,
    speeds,
)  # fmt: skip
from foundry.benchmarking.fork_server import ForkServers
from foundry.benchmarking.interleaving import TIMEOUT_SECONDS, TOO_SLOW_RATIO, Rounds
from foundry.benchmarking.measuring import Group, Measured
from foundry.benchmarking.request_rounds import RowRounds, Serving
from foundry.benchmarking.search import RowSearch
from foundry.benchmarking.settings import Effort, Requests, Runner, Search, Setting
from foundry.benchmarking.speeds import BASELINE
from foundry.loading import loader, precisions
from foundry.variants import naming, same_bytes, variant_folder
from foundry.variants.precisions import Device, InferencePrecision, on_cuda

CLOSENESS_TEXTS = 16  # of each group, for settings, which have no verdict
# So many texts of a group a GPU is given, the group's own over and over: it computes more at once than a group has.
TEXTS_ON_GPU = 2048
CHILDREN_OF_A_SEARCH = 8  # at least so many processes share its time: of a slow model, each tries less


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
    device: Device = "cpu"

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
            return int(self.computes_in not in (None, "f32"))
        return LOSSES.index(self.precision_class)

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
    table = {name: Row(name, variants[name], {"device": device}, earlier.get(name), device=device) for name in built}
    for name, setting in settings.items():
        if setting.of in built and setting.device == device:
            options: loader.Options = {"precision": setting.precision, "compile": setting.compile, "device": device}
            kind, precision = variants[setting.of], setting.precision
            table[name] = Row(setting.of, kind, options, computes_in=precision, runner=setting.runner, device=device)
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


def search_settings(servers: ForkServers, folder: Path, plan: Plan, effort: Effort) -> dict[str, RowSearch]:
    """The search for the settings of each row that foundry_runtime runs; nothing where it may take no time."""
    names = [name for name in plan.measured_names if plan.rows[name].runner == "foundry_runtime"]
    seconds = 60 * effort.minutes * effort.search.share
    if not names or not seconds:
        return {}
    texts = {
        name: setting_trials.Texts(group.texts, plan.facts[name]["tokens_per_text"])
        for name, group in plan.groups.items()
    }

    def measure(name: str, trials: Sequence[setting_trials.Trial]) -> list[float | None]:
        row = plan.rows[name]
        rates: list[float | None] = servers.for_backend(row.server).call(
            setting_trials.measure, folder / row.variant, row.variant, row.options.get("precision", "f32"),
            plan.tokenizer, list(trials), texts, seconds / CHILDREN_OF_A_SEARCH, seconds=60 + seconds,
        )  # fmt: skip
        return rates

    by_use = search.candidates(runtime_machine.threads())
    return search.run(names, list(texts), by_use, effort.search.batch_tokens, measure, seconds)


def measure_rounds(
    servers: ForkServers,
    folder: Path,
    plan: Plan,
    texts: Sequence[str],
    effort: Effort,
    chosen: Mapping[str, by_runtime.Chosen],
) -> tuple[Rounds, dict[str, Any]]:
    """All rounds; and the embeddings (texts, dimensions) of torch and of the settings, by name.

    `chosen` are foundry_runtime's settings by the row's name.
    """
    embeddings: dict[str, Any] = {}

    def measure(name: str, give_up: float) -> Measured:
        row = plan.rows[name]
        to_embed = list(texts) if name not in embeddings and (row.is_setting or name == BASELINE) else []
        measured: Measured = servers.for_backend(row.server).call(
            measuring.measure, folder / row.variant, row.variant, row.options, row.runner, plan.tokenizer,
            dict(plan.groups), give_up, to_embed, chosen.get(name), seconds=TIMEOUT_SECONDS + 2 * give_up,
        )  # fmt: skip
        if to_embed:
            embeddings[name] = measured.embeddings
        return measured

    rounds = interleaving.run_rounds(plan.measured_names, measure, effort, loss_of=lambda name: plan.rows[name].loss)
    return rounds, embeddings


def measure_requests(
    servers: ForkServers, folder: Path, plan: Plan, rounds: Rounds, settings: Requests, seconds: float
) -> tuple[speeds.RequestLoad | None, dict[str, RowRounds]]:
    """Requests at a load, by torch and the rows that serve single texts fastest."""
    competing = {
        name: request_rounds.Competitor(row.computes_as, row.runner == "foundry_runtime")
        for name, row in plan.rows.items()
        if name in plan.measured_names and name not in rounds.errors and name not in rounds.slow
    }

    def measure(name: str, way: Serving, requests: Sequence[serving.Request]) -> serving.Served:
        row = plan.rows[name]
        served: serving.Served = servers.for_backend(row.server).call(
            serving.measure, folder / row.variant, row.variant, row.options, row.runner, plan.tokenizer,
            way.chosen, requests, way.callers, seconds=TIMEOUT_SECONDS,
        )  # fmt: skip
        return served

    texts = {name: group.texts for name, group in plan.groups.items()}
    return request_rounds.measure_load(rounds, competing, texts, settings, measure, runtime_machine.threads(), seconds)


def without_search(effort: Effort) -> Effort:
    """An effort of rounds alone: what is searched, and how requests are served, is about a processor's threads."""
    return effort.model_copy(update={"search": Search(share=0), "requests": Requests(share=0)})


def variant_records(
    folder: Path, plan: Plan, rounds: Rounds, embeddings: Mapping[str, Any]
) -> dict[str, speeds.VariantBenchmark]:
    """What is written of each row; one that was not measured itself has the numbers of the row of the same bytes."""
    table: dict[str, speeds.VariantBenchmark] = {}
    for name, row in plan.rows.items():
        record = records.record(
            rounds.measured.get(row.same_bytes_as or name, []),
            size_mb=size_mb(folder, row.variant),
            setting_of=row.variant if row.is_setting else None,
            computes_in=row.computes_in,
            runner=row.runner,
            device=row.device,
            compiled=row.options.get("compile", False),
            same_bytes_as=row.same_bytes_as,
        )
        if name in embeddings and name != BASELINE:
            record["closeness"] = records.closeness(embeddings[name], embeddings[BASELINE])
        if name in rounds.slow:
            record["note"] = f"takes more than {TOO_SLOW_RATIO} times as long as torch: measured once"
        record["settled"] = (row.same_bytes_as or name) in rounds.settled
        if name in plan.incapable:
            record["note"] = f"this processor does not compute in {row.computes_in}"
        record["error"] = rounds.errors.get(row.same_bytes_as or name)
        table[name] = record
    return table


def benchmark(
    model: str,
    folder: Path,
    wanted: dict[str, Row],
    groups: dict[str, list[str]],
    machine: dict[str, Any],
    effort_name: str,
    effort: Effort,
    device: Device = "cpu",
) -> speeds.Benchmark:
    """Measure the rows on every group of texts, as `effort` says; give what is written to the benchmark's file."""
    began = time.perf_counter()
    if device == "cuda":
        effort = without_search(effort)
        groups = {
            name: list(itertools.islice(itertools.cycle(texts), max(TEXTS_ON_GPU, len(texts))))
            for name, texts in groups.items()
        }
    texts = [text for group in groups.values() for text in group[:CLOSENESS_TEXTS]]
    with ForkServers() as servers, tempfile.TemporaryDirectory() as scratch:
        plan = make_plan(servers, folder, wanted, groups, machine, effort, Path(scratch), device)
        planned = time.perf_counter()
        searches = search_settings(servers, folder, plan, effort)
        chosen = {name: search.chosen(row) for name, row in searches.items()}
        minutes = effort.minutes * (1 - effort.requests.share) - (time.perf_counter() - planned) / 60
        of_rounds = effort.model_copy(update={"minutes": minutes})
        rounds, embeddings = measure_rounds(servers, folder, plan, texts, of_rounds, chosen)
        left = 60 * effort.minutes - (time.perf_counter() - planned)
        load, served = measure_requests(servers, folder, plan, rounds, effort.requests, left)
    variants = variant_records(folder, plan, rounds, embeddings)
    for name, row in searches.items():
        variants[name]["search"] = search.record(row, runtime_machine.threads())
    for name, of_row in served.items():
        variants[name]["requests"] = request_rounds.record(of_row)
    return {
        "format": speeds.FORMAT,
        "model": model,
        "host": machine["host"],
        "machine": machine,
        "device": device,
        "effort": effort_name,
        "rounds": len(rounds.measured[BASELINE]),
        "stopped": "time" if rounds.stopped == "time" else "narrow enough",
        "widest_interval": rounds.widest,
        "seconds": time.perf_counter() - began,
        "other_load": rounds.other_load(effort.busy_share),
        "groups": dict(plan.facts),
        "peak_gflops": plan.peak_gflops,
        "torch_threads": plan.torch_threads,
        "requests": load,
        "variants": variants,
    }
