"""Measure every variant of a model, in rounds that interleave them, each time in a process of its own.

A ratio is to torch in fp32 in the same round; there are rounds until every ratio's interval is narrow enough, or the
time is used up. Speed is that of `encode`, Sentence Transformers' or for some settings foundry_runtime's, tokenization
included.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundry_runtime import machine as runtime_machine

from foundry.benchmarking import (
    by_runtime,
    interleaving,
    measuring,
    records,
    request_rounds,
    search,
    serving,
    setting_trials,
    speeds,
)  # fmt: skip
from foundry.benchmarking.fork_server import ForkServers
from foundry.benchmarking.interleaving import TIMEOUT_SECONDS, TOO_SLOW_RATIO, Rounds
from foundry.benchmarking.measuring import Measured
from foundry.benchmarking.planning import LOSSES, Plan, Row, make_plan, size_mb
from foundry.benchmarking.request_rivals import Competitor
from foundry.benchmarking.request_rounds import RowRounds, Serving
from foundry.benchmarking.search import RowSearch
from foundry.benchmarking.settings import Effort, Requests, Search
from foundry.benchmarking.speeds import BASELINE
from foundry.variants.precisions import Device

CLOSENESS_TEXTS = 16  # of each group, for settings, which have no verdict
# So many texts of a group a GPU is given, the group's own over and over: it computes more at once than a group has.
TEXTS_ON_GPU = 2048
CHILDREN_OF_A_SEARCH = 8  # at least so many processes share its time: of a slow model, each tries less


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
        row, way = plan.rows[name], plan.way(folder, name, chosen.get(name))
        to_embed = list(texts) if name not in embeddings and (row.is_setting or name == BASELINE) else []
        measured: Measured = servers.for_backend(row.server).call(
            measuring.measure, way, dict(plan.groups), give_up, to_embed,
            measuring.SECONDS_OF_TORCH if name == BASELINE else measuring.SECONDS_AT_LEAST,
            seconds=TIMEOUT_SECONDS + 2 * give_up,
        )  # fmt: skip
        if to_embed:
            embeddings[name] = measured.embeddings
        return measured

    rounds = interleaving.run_rounds(plan.measured_names, measure, effort, loss_of=lambda name: plan.rows[name].loss)
    return rounds, embeddings


def measure_requests(
    servers: ForkServers, folder: Path, plan: Plan, rounds: Rounds, effort: Effort, seconds: float
) -> tuple[speeds.RequestLoad | None, dict[str, RowRounds]]:
    """Requests at a load, by torch and the rows that may serve them best."""
    competing = {
        name: Competitor(row.loss, row.runner == "foundry_runtime")
        for name, row in plan.rows.items()
        if name in plan.measured_names and name not in rounds.errors and name not in rounds.slow
        and row.loss < len(LOSSES)  # what nothing validates is never recommended
    }  # fmt: skip

    def measure(name: str, how: Serving, requests: Sequence[serving.Request]) -> serving.Served:
        way = plan.way(folder, name, how.chosen)
        served: serving.Served = servers.for_backend(plan.rows[name].server).call(
            serving.measure, way, requests, how.callers, seconds=TIMEOUT_SECONDS
        )
        return served

    texts = {name: group.texts for name, group in plan.groups.items()}
    return request_rounds.measure_load(
        rounds, competing, texts, effort.requests, measure, runtime_machine.threads(), seconds, effort.busy_share
    )


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
        groups = {name: by_runtime.cycled(texts, max(TEXTS_ON_GPU, len(texts))) for name, texts in groups.items()}
    texts = [text for group in groups.values() for text in group[:CLOSENESS_TEXTS]]
    with ForkServers() as servers, tempfile.TemporaryDirectory() as scratch:
        plan = make_plan(servers, folder, wanted, groups, machine, effort, Path(scratch), device)
        planned = time.perf_counter()
        searches = search_settings(servers, folder, plan, effort)
        chosen = {name: search.chosen(row) for name, row in searches.items()}
        minutes = effort.minutes * (1 - effort.requests.share) - (time.perf_counter() - planned) / 60
        of_rounds = effort.model_copy(update={"minutes": minutes})
        rounds, embeddings = measure_rounds(servers, folder, plan, texts, of_rounds, chosen)
        # The fewest rounds of a slow model may have taken more than their part.
        left = 60 * effort.minutes - (time.perf_counter() - planned)
        kept = 60 * effort.minutes * effort.requests.share
        load, served = measure_requests(servers, folder, plan, rounds, effort, max(left, kept))
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
