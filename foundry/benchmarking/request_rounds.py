"""Rounds of requests at a load: torch, and the rows that may serve them best. All of a round have the same arrivals."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import numpy as np

from foundry.base.progress import say
from foundry.benchmarking import speeds
from foundry.benchmarking.fork_server import MeasurementFailed
from foundry.benchmarking.interleaving import Rounds
from foundry.benchmarking.serving import Request, Served, arrivals
from foundry.benchmarking.settings import Requests
from foundry.benchmarking.speeds import BASELINE, SINGLE
from foundry.benchmarking.timings import FEWEST_ROUNDS

GROUPS = ("short", "medium")  # whose texts arrive; where there are no such groups, the first two
RIVALS = 3  # rows beside torch
REQUESTS = 80  # in a measurement, if that takes neither less nor more time than this:
SHORTEST_SECONDS, LONGEST_SECONDS = 0.5, 10.0


class Serving(NamedTuple):
    """How requests are served."""

    callers: int  # threads that each answer one request at a time
    single_threads: int | None  # of one answer by foundry_runtime; None by Sentence Transformers, whose own they are

    @property
    def chosen(self) -> dict[str, dict[str, dict[str, int]]] | None:
        """The settings of foundry_runtime, in the form of those that were searched."""
        return None if self.single_threads is None else {"latency": {"any": {"single_threads": self.single_threads}}}


class Competitor(NamedTuple):
    """A row that may be measured."""

    computes_as: str  # how close to torch it computes: of each, the fastest is measured
    by_runtime: bool


@dataclass
class RowRounds:
    """What was measured of one row: in each round, by each way to serve that was tried."""

    tried: list[Serving]
    served: dict[Serving, list[Served | None]] = field(default_factory=dict)

    def note(self, serving: Serving, number: int, served: Served) -> None:
        """Keep what was seen in the round of this number."""
        series = self.served.setdefault(serving, [])
        series += [None] * (number - len(series)) + [served]

    def decide(self) -> None:
        """Go on with the way to serve that had the lowest p95."""
        known = {
            way: median(percentile(served, 95) for served in series if served) for way, series in self.served.items()
        }
        self.tried = [min(known, key=lambda way: known[way])] if known else []


Measure = Callable[[str, Serving, Sequence[Request]], Served]  # takes a row's name


def percentile(served: Served, percent: float) -> float:
    """The latency in milliseconds that so many of a hundred requests had at most."""
    return float(np.percentile(served.latency_ms, percent))


def groups_of(groups: Sequence[str]) -> list[str]:
    """The groups whose texts arrive."""
    return list(GROUPS) if set(GROUPS) <= set(groups) else list(groups)[:2]


def service_seconds(rounds: Rounds, name: str, groups: Sequence[str]) -> float | None:
    """How long a row takes for a text of these groups alone, the mean over the groups; None where it is not known."""
    rates = [speeds.typical(rounds.series(name, group, SINGLE)) for group in groups]
    known = [rate for rate in rates if rate]
    return sum(1 / rate for rate in known) / len(known) if len(known) == len(groups) else None


def rate(settings: Requests, torch_seconds: float) -> float:
    """Requests a second: as the settings say, or a share of what torch serves one after another, in two digits."""
    return settings.per_second or float(f"{settings.torch_share / torch_seconds:.2g}")


def duration(per_second: float) -> float:
    """For how many seconds requests arrive in a measurement."""
    return min(max(REQUESTS / per_second, SHORTEST_SECONDS), LONGEST_SECONDS)


def rivals(rounds: Rounds, competing: Mapping[str, Competitor], groups: Sequence[str]) -> list[str]:
    """The fastest rows for single texts, one of each class, `RIVALS` of them; one without loss is always there."""
    seconds = {
        name: value
        for name in competing
        if name != BASELINE and (value := service_seconds(rounds, name, groups)) is not None
    }
    fastest: dict[str, str] = {}
    for name in sorted(seconds, key=lambda name: seconds[name]):
        fastest.setdefault(competing[name].computes_as, name)
    exact = fastest.pop(competing[BASELINE].computes_as, None)
    return list(fastest.values())[: RIVALS - (exact is not None)] + ([exact] if exact else [])


def ways_to_serve(by_runtime: bool, cores: int) -> list[Serving]:
    """One caller by all threads, and a caller for each core; by foundry_runtime with one thread for each answer, or in
    between as many as share the cores."""
    if not by_runtime:
        return [Serving(callers, None) for callers in dict.fromkeys((1, cores))]
    counts = dict.fromkeys((1, *([4] if cores >= 16 else []), cores))
    return [Serving(callers, max(cores // callers, 1)) for callers in counts]


def run(
    ways: Mapping[str, Sequence[Serving]],
    measure: Measure,
    arriving: Callable[[int], Sequence[Request]],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, RowRounds]:
    """Rounds over all rows within so many seconds, of which the first tries every way to serve. After the fewest that
    an interval needs, none begins that would not end in time: with less, chance would choose between rows.

    A row that fails is left out; where torch does, nothing is left to compare with.

    Args:
        ways: For each row, how it may serve.
        arriving: The requests of a round, by its number.
    """
    rows = {name: RowRounds(list(tried)) for name, tried in ways.items()}
    deadline, shuffle, number, last = clock() + seconds, random.Random(1).shuffle, 0, 0.0
    while number < FEWEST_ROUNDS or clock() + last <= deadline:
        began = clock()
        calls = [(name, way) for name, row in rows.items() for way in row.tried]
        shuffle(calls)
        requests = arriving(number)
        for name, way in calls:
            if name not in rows:
                continue
            try:
                rows[name].note(way, number, measure(name, way, requests))
            except MeasurementFailed as error:
                say(f"{name} serves no requests: {error}")
                del rows[name]
        if number == 0:
            for row in rows.values():
                row.decide()
            began = clock() - (clock() - began) * len(rows) / max(len(calls), 1)  # later ones take less
        if BASELINE not in rows:
            return {}
        number, last = number + 1, clock() - began
    return rows


def measure_load(
    rounds: Rounds,
    competing: Mapping[str, Competitor],
    texts: Mapping[str, Sequence[str]],
    settings: Requests,
    measure: Measure,
    cores: int,
    seconds: float,
) -> tuple[speeds.RequestLoad | None, dict[str, RowRounds]]:
    """Requests by torch and the rows that serve single texts fastest, at a rate that is the same for all; nothing where
    it may take no time.

    Args:
        rounds: What is known of single texts.
        texts: By group.
        seconds: That all rounds may take.
    """
    groups = groups_of(list(texts))
    torch_seconds = service_seconds(rounds, BASELINE, groups)
    if not settings.share or torch_seconds is None:
        return None, {}
    per_second = rate(settings, torch_seconds)
    drawn = [text for group in groups for text in texts[group]]
    arriving = duration(per_second)
    ways = {
        name: ways_to_serve(competing[name].by_runtime, cores)
        for name in (BASELINE, *rivals(rounds, competing, groups))
    }
    load: speeds.RequestLoad = {
        "per_second": per_second,
        "torch_share": None if settings.per_second else settings.torch_share,
        "groups": groups,
        "seconds": arriving,
    }
    return load, run(ways, measure, lambda number: arrivals(drawn, per_second, arriving, number), seconds)


def record(row: RowRounds) -> speeds.RequestTimes:
    """What is written of a row."""
    (way,) = row.tried
    series = row.served[way]
    everything = [value for served in series if served for value in served.latency_ms]
    return {
        "callers": way.callers,
        "single_threads": way.single_threads,
        "p50_ms": [None if served is None else percentile(served, 50) for served in series],
        "p95_ms": [None if served is None else percentile(served, 95) for served in series],
        "samples": len(everything),
        "unanswered": sum(served.unanswered for served in series if served),
        "tried": [
            {"callers": other.callers, "single_threads": other.single_threads, "p95_ms": percentile(first, 95)}
            for other, of_other in row.served.items()
            if (first := of_other[0]) is not None
        ],
    }
