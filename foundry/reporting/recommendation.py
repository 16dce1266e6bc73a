"""Which variant to deploy, from what was measured here: for each use, length of texts and budget of quality.

Only a variant that passed validation and was measured is ever named, or a way to run its file that passed: in another
precision, by foundry_runtime. Of several that are as fast within noise, and seem so too, it is the one whose embedding
is nearest to torch's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from foundry.benchmarking import machine_profile, other_load, speeds
from foundry.benchmarking.settings import Runner
from foundry.benchmarking.speeds import Benchmark
from foundry.benchmarking.timings import FEWEST_ROUNDS, Ratio, same_speed
from foundry.reporting import ways
from foundry.validation.quality import quality_loss
from foundry.validation.results import Validation, changes_with_batch, on_family
from foundry.variants.precisions import Device, InferencePrecision

Use = Literal["latency", "requests", "throughput", "size"]
USES: tuple[Literal["latency", "throughput"], ...] = ("latency", "throughput")  # for each length of texts
SAME_SIZE = 1.03  # a file that is larger by less than this is as small
# Of several that are as fast within noise, a variant whose median is slower by more than this is not recommended for
# its closeness to torch.
SEEMS_SLOWER = 1.05
SEEMS_LATER = 1.1  # the same for the p95 of requests, which differs more between two runs
# What is slower by more was measured in too few rounds for an interval because it is far behind: it is no equal.
FAR_BEHIND = 1.1


class Answer(TypedDict):
    """Which variant to deploy for one use, and how sure that is."""

    use: Use
    texts: str | None  # the group of texts; None for size, and for requests, whose texts are of several
    budget: float  # how much quality may be lost, as a share
    variant: str | None  # or `openvino_fp16 in bf16`; None where nothing that passed is within the budget
    file: str | None  # the variant whose file is loaded
    precision: InferencePrecision  # that it is told to compute in
    runner: Runner  # what is to run it
    device: Device
    settings: dict[str, int]  # that foundry_runtime is to be loaded with: those that were measured
    callers: int | None  # of requests: threads that each answer one at a time
    requests_per_second: float | None  # that arrive
    same_bytes: list[str]  # its other names
    value: float | None
    unit: Literal["ms", "texts/s", "MB"]
    batch_size: int | None  # at which it was fastest; None where batches are cut by tokens
    to_torch: Ratio | None  # its speed; torch's p95 or size as a ratio to its own
    runner_up: str | None  # the best of the others
    to_runner_up: Ratio | None
    same_within_noise: list[str]  # as good as it, and not nearer to torch
    loss: float | None  # of quality, as a share
    lost_in: str | None  # the measure in which it is lost
    warning: str | None
    withheld: str | None  # why nothing is recommended, whatever passed


def on_machine(validations: Mapping[str, Validation], machine: Mapping[str, Any]) -> dict[str, Validation]:
    """The validations as they hold on a machine, by its profile: what fails on its family of processors has failed."""
    family = machine_profile.family(machine)
    return {name: on_family(validation, family) for name, validation in validations.items()}


def candidates(benchmark: Benchmark, validations: Mapping[str, Validation], budget: float) -> list[str]:
    """What passed, was measured, and keeps the budget; of files of the same bytes the first, under its own name."""
    return [
        name
        for name, record in benchmark["variants"].items()
        if name in validations
        and validations[name]["verdict"] == "passed"
        and record["error"] is None
        and record["note"] is None
        and (record["same_bytes_as"] is None or record["same_bytes_as"] not in validations)
        and quality_loss(validations[name]["checks"]).share <= budget
    ]


def by_speed(
    benchmark: Benchmark,
    validations: Mapping[str, Validation],
    use: Literal["latency", "throughput"],
    group: str,
    budget: float,
) -> Answer:
    """The fastest variant for single texts (`latency`) or for many (`throughput`, each at its best batch size).

    None, and `withheld` says so, where the benchmark is of a busy machine.
    """
    of_settings = ways.of_settings(benchmark, validations)
    validations = {**ways.on_device(validations, benchmark["device"]), **of_settings}
    size = speeds.SINGLE if use == "latency" else None
    records = benchmark["variants"]

    def versus(variant: str, other: str) -> Ratio | None:
        return speeds.versus(benchmark, variant, other, group, size)

    def rate(variant: str) -> float | None:
        return speeds.typical(speeds.rounds_of(records[variant], group, size))

    answer = _fastest(benchmark, validations, budget, rate, versus)
    answer |= {"use": use, "texts": group, "unit": "ms" if use == "latency" else "texts/s"}
    if (best := answer["variant"]) is not None:
        latency = records[best]["latency"]
        batch_size = size or speeds.best_batch(records[best], group)
        answer["value"] = latency[group]["median_ms"] if use == "latency" else rate(best)
        answer["batch_size"] = speeds.texts_in(batch_size)
        answer["settings"] = speeds.chosen_settings(records[best], use, group)
    return _with_ways(answer, benchmark)


def by_requests(benchmark: Benchmark, validations: Mapping[str, Validation], budget: float) -> Answer:
    """What answers requests of one text each soonest: by the latency that 95% of them have at most.

    None where no requests were measured. None, and `withheld` says why, by a benchmark of a busy machine, and where
    there were too few rounds to tell rows apart: the p95 of a single round is mostly chance. A row with too few,
    because another outran it, is not recommended.
    """
    validations = {**validations, **ways.of_settings(benchmark, validations)}
    records = benchmark["variants"]

    def versus(variant: str, other: str) -> Ratio | None:
        return speeds.requests_versus(records, variant, other)

    rounds = speeds.rounds_of_requests(records)
    withheld = (
        f"requests were measured in {rounds} of at least {FEWEST_ROUNDS} rounds" if rounds < FEWEST_ROUNDS else None
    )
    load = benchmark["requests"]
    if (taken := load_of(benchmark, for_requests=True)) and taken["busy"]:
        withheld = other_load.NOT_RELIABLE
    rates = speeds.request_speeds(records)
    answer = _fastest(benchmark, validations, budget, rates.get, versus, withheld, SEEMS_LATER)
    answer |= {"use": "requests", "unit": "ms"}
    answer["requests_per_second"] = load["per_second"] if load else None
    if (best := answer["variant"]) is not None and (times := records[best]["requests"]) is not None:
        answer["value"] = speeds.typical(times["p95_ms"])
        answer["callers"] = times["callers"]
        single = times["single_threads"]
        answer["settings"] = {} if single is None else {"single_threads": single}
    return _with_ways(answer, benchmark)


def load_of(benchmark: Benchmark, for_requests: bool) -> other_load.OtherLoad | None:
    """What other jobs took while a recommendation's figures were measured, which are those of requests or of the main
    rounds; of requests, what makes it unreliable."""
    requests = benchmark["requests"] if for_requests else None
    of_requests = requests["other_load"] if requests else None
    return of_requests if of_requests and of_requests["busy"] else benchmark["other_load"]


def _fastest(
    benchmark: Benchmark,
    validations: Mapping[str, Validation],
    budget: float,
    rate: Callable[[str], float | None],
    versus: Callable[[str, str], Ratio | None],
    withheld: str | None = None,
    seems_slower: float = SEEMS_SLOWER,
) -> Answer:
    """What `_answer` says of the candidates by their rates; nothing, and `withheld` says so, on a busy machine or where
    there is another reason to withhold it."""
    rates = {name: value for name in candidates(benchmark, validations, budget) if (value := rate(name)) is not None}
    load = benchmark["other_load"]
    if load is not None and load["busy"]:
        withheld = other_load.NOT_RELIABLE
    names = [] if withheld else sorted(rates, key=lambda name: -rates[name])
    answer = _answer(benchmark, validations, names, versus, _is_same_speed, seems_slower)
    answer |= {"budget": budget, "withheld": withheld}
    return answer


def _is_same_speed(value: Ratio | None) -> bool:
    """Whether nobody can tell two speeds apart, or would care."""
    if value is not None and value["low"] is None and value["median"] > FAR_BEHIND:
        return False
    return same_speed(value)


def by_size(benchmark: Benchmark, validations: Mapping[str, Validation], budget: float) -> Answer:
    """The smallest file; of those that are as small, the nearest to torch."""
    sizes = {name: record["size_mb"] for name, record in benchmark["variants"].items()}
    names = sorted(candidates(benchmark, validations, budget), key=lambda name: sizes[name])

    def versus(variant: str, other: str) -> Ratio:
        value = sizes[other] / sizes[variant]
        return {"median": value, "low": value, "high": value}

    answer = _answer(benchmark, validations, names, versus, lambda value: value is None or value["median"] < SAME_SIZE)
    answer |= {"budget": budget, "value": sizes[answer["variant"]] if answer["variant"] else None}
    return answer


def _answer(
    benchmark: Benchmark,
    validations: Mapping[str, Validation],
    names: Sequence[str],
    versus: Callable[[str, str], Ratio | None],
    is_same: Callable[[Ratio | None], bool],
    seems_slower: float = SEEMS_SLOWER,
) -> Answer:
    """The answer for size; of another use, all but what it is about.

    Args:
        names: The variants to choose from, the fastest or smallest first.
        versus: How many times faster or smaller the first variant is than the second.
        is_same: Whether nobody would care for such a difference. Of the variants that are as good as the first, the
            nearest to torch is recommended; or what is nearer still, and as good as that one.
        seems_slower: Unless its median is slower by more than this.
    """
    losses = {name: quality_loss(validations[name]["checks"]) for name in names}

    def as_good_as(name: str) -> list[str]:
        return [other for other in names if other == name or is_same(versus(name, other))]

    def nearest(name: str) -> str:
        close = [other for other in as_good_as(name) if other == name or _median(versus(name, other)) <= seems_slower]
        return min(close, key=lambda other: (losses[other].share, other != name))

    best, tied = None, []
    if names:
        near = nearest(names[0])
        best = nearest(near)
        # What is as good as the one in between may be certainly behind the first, with which others are tied.
        tied = as_good_as(names[0] if best == near else best)
    loss = losses[best] if best else None
    runner_up = next((name for name in names if name != best), None)
    twins = [name for name, record in benchmark["variants"].items() if best and record["same_bytes_as"] == best]
    return {
        "use": "size",
        "texts": None,
        "budget": 0.0,
        "variant": best,
        "file": best,
        "precision": "f32",
        "runner": "sentence_transformers",
        "device": benchmark["device"],
        "settings": {},
        "callers": None,
        "requests_per_second": None,
        "same_bytes": twins,
        "value": None,
        "unit": "MB",
        "batch_size": None,
        "to_torch": versus(best, speeds.BASELINE) if best else None,
        "runner_up": runner_up,
        "to_runner_up": versus(best, runner_up) if best and runner_up else None,
        "same_within_noise": [name for name in tied if name != best],
        "loss": loss.share if loss else None,
        "lost_in": loss.measure if loss else None,
        "warning": warning(validations[best]) if best else None,
        "withheld": None,
    }


def _with_ways(answer: Answer, benchmark: Benchmark) -> Answer:
    """The answer with rows of the benchmark named as what a reader is to run: the file, its precision, what runs it."""
    records = benchmark["variants"]
    if (name := answer["variant"]) is not None:
        way = ways.of_row(name, records[name])
        answer["file"], answer["precision"], answer["runner"], answer["device"] = way
        answer["variant"] = way.label
    if (name := answer["runner_up"]) is not None:
        answer["runner_up"] = ways.of_row(name, records[name]).label
    answer["same_within_noise"] = [ways.of_row(name, records[name]).label for name in answer["same_within_noise"]]
    return answer


def recommend(benchmark: Benchmark, validations: Mapping[str, Validation], budgets: Sequence[float]) -> list[Answer]:
    """An answer for each use, group of texts and budget, for the machine and device of the benchmark.

    For requests there is one where they were measured.
    A file's size is the same on every device, and is asked of the processor's.
    """
    validations = on_machine(validations, benchmark["machine"])
    return [
        *(by_speed(benchmark, validations, use, group, budget)
          for use in USES for group in benchmark["groups"] for budget in budgets),
        *(by_requests(benchmark, validations, budget) for budget in budgets if benchmark["requests"]),
        *(by_size(benchmark, validations, budget) for budget in budgets if benchmark["device"] == "cpu"),
    ]  # fmt: skip


def batches(answer: Answer) -> str:
    """` in batches of 32`, or ` in batches cut by tokens`; ` at 35 requests/s`; nothing for other uses."""
    if answer["use"] == "requests" and answer["requests_per_second"]:
        return f" at {answer['requests_per_second']:g} requests/s"
    if answer["use"] != "throughput":
        return ""
    size = answer["batch_size"]
    return " in batches cut by tokens" if size is None else f" in batches of {size}"


def budget_label(budget: float) -> str:
    """`no loss`, or `up to 0.4%`."""
    return f"up to {100 * budget:g}%" if budget else "no loss"


def warning(validation: Validation) -> str | None:
    """What a user must know of a variant whose embedding of a text depends on the other texts in its batch."""
    value = changes_with_batch(validation)
    return None if value is None else f"changes with the batch ({value:.4f})"


def _median(value: Ratio | None) -> float:
    """The ratio's median; infinite where there is no ratio."""
    return float("inf") if value is None else value["median"]
