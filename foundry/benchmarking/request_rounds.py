"""Rounds of requests at a load: torch, and the rows that may serve them best. All of a round have the same arrivals.

There are many short rounds rather than few long ones: two processes of one row differ by more than two stretches of one
process do.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import numpy as np

from foundry.base.progress import say
from foundry.benchmarking import other_load, speeds
from foundry.benchmarking.fork_server import MeasurementFailed
from foundry.benchmarking.interleaving import Rounds
from foundry.benchmarking.other_load import Taken
from foundry.benchmarking.request_rivals import Competitor, rivals, service_rates, undecided
from foundry.benchmarking.serving import Request, Served, arrivals
from foundry.benchmarking.settings import Requests
from foundry.benchmarking.speeds import BASELINE
from foundry.benchmarking.timings import FEWEST_ROUNDS

GROUPS = ("short", "medium")  # whose texts arrive; where there are no such groups, the first two
REQUESTS = 30  # in a measurement, if that takes neither less nor more time than this:
SHORTEST_SECONDS, LONGEST_SECONDS = 0.5, 8.0
WITH_FIRST_ANSWERS = 1.25  # so many times as long takes a measurement, because each text is embedded once before
FIRST_ROUND = 0.5  # of the time, at most, for as many rows and ways to serve as that allows


class Serving(NamedTuple):
    """How requests are served."""

    callers: int  # threads that each answer one request at a time
    single_threads: int | None  # of one answer by foundry_runtime; None by Sentence Transformers, whose own they are

    @property
    def chosen(self) -> dict[str, dict[str, dict[str, int]]] | None:
        """The settings of foundry_runtime, in the form of those that were searched."""
        return None if self.single_threads is None else {"latency": {"any": {"single_threads": self.single_threads}}}


@dataclass
class RowRounds:
    """What was measured of one row, from the first round to its last."""

    ways: list[Serving]  # to serve: all that are tried, and after the first round the one that it goes on with
    served: dict[Serving, list[Served]] = field(default_factory=dict)  # in each round
    first_p95_ms: dict[Serving, float] = field(default_factory=dict)  # in the first round, of all that were tried

    def note(self, serving: Serving, served: Served) -> None:
        """Keep what was seen in a round."""
        self.served.setdefault(serving, []).append(served)

    def decide(self) -> None:
        """Go on with the way to serve that had the lowest p95 in the first round."""
        self.first_p95_ms = {way: percentile(first, 95) for way, (first,) in self.served.items()}
        self.ways = [min(self.first_p95_ms, key=lambda way: self.first_p95_ms[way])]

    @property
    def p95_ms(self) -> list[float]:
        """In each round, by the way to serve that it goes on with."""
        return percentiles(self.served[self.ways[0]], 95)


Measure = Callable[[str, Serving, Sequence[Request]], Served]  # takes a row's name


def percentile(served: Served, percent: float) -> float:
    """The latency in milliseconds that so many of a hundred requests have at most."""
    return float(np.percentile(served.latency_ms, percent))


def percentiles(series: Sequence[Served], percent: float) -> list[float]:
    """The same for each round."""
    return [percentile(served, percent) for served in series]


def taken_of(served: Served) -> float:
    """The share of the cores' time that other jobs took; 0 where it is not known."""
    return 0.0 if served.taken is None else served.taken.share


def groups_of(groups: Sequence[str]) -> list[str]:
    """The groups whose texts arrive."""
    return list(GROUPS) if set(GROUPS) <= set(groups) else list(groups)[:2]


def rate(settings: Requests, torch_rate: float) -> float:
    """Requests a second: as the settings say, or a share of what torch serves one after another, in two digits."""
    return settings.per_second or float(f"{settings.torch_share * torch_rate:.2g}")


def duration(per_second: float) -> float:
    """For how many seconds requests arrive in a measurement."""
    return min(max(REQUESTS / per_second, SHORTEST_SECONDS), LONGEST_SECONDS)


def ways_to_serve(by_runtime: bool, cores: int) -> list[Serving]:
    """One caller by all threads, and a caller for each core; by foundry_runtime with one thread for each answer, or in
    between as many as share the cores."""
    if not by_runtime:
        return [Serving(callers, None) for callers in dict.fromkeys((1, cores))]
    counts = dict.fromkeys((1, *([4] if cores >= 16 else []), cores))
    return [Serving(callers, max(cores // callers, 1)) for callers in counts]


@dataclass
class LoadRounds:
    """What was measured of all rows."""

    rows: dict[str, RowRounds]
    taken: list[Taken | None] = field(default_factory=list)  # by other jobs, in each round

    def quiet(self, limit: float) -> "LoadRounds":
        """The rounds in which other jobs took no more than the limit, or nobody knows what."""
        numbers = [number for number, taken in enumerate(self.taken) if taken is None or taken.share <= limit]
        rows = {
            name: RowRounds(
                row.ways,
                {way: [of_way[n] for n in numbers if n < len(of_way)] for way, of_way in row.served.items()},
                row.first_p95_ms,
            )
            for name, row in self.rows.items()
        }
        return LoadRounds(rows, [self.taken[number] for number in numbers])

    def without_disturbed(self, limit: float) -> "LoadRounds":
        """The quiet rounds alone, if they are enough for an interval of every row that has one; else all."""
        quiet = self.quiet(limit)
        with_interval = [name for name, row in self.rows.items() if len(row.p95_ms) >= FEWEST_ROUNDS]
        return quiet if all(len(quiet.rows[name].p95_ms) >= FEWEST_ROUNDS for name in with_interval) else self

    def competing(self, limit: float, names: Sequence[str], loss_of: Callable[[str], int]) -> list[str]:
        """Which of these rows need more rounds, by the quiet ones, where there is any."""
        quiet = self.quiet(limit)
        rows = (quiet if quiet.taken else self).rows
        return undecided({name: rows[name].p95_ms for name in names if name in rows}, loss_of)


def run(
    ways: Mapping[str, Sequence[Serving]],
    measure: Measure,
    arriving: Callable[[int], Sequence[Request]],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    loss_of: Callable[[str], int] = lambda name: 0,
    busy_share: float = 1.0,
) -> LoadRounds:
    """Rounds over the rows within so many seconds, of which the first tries all rows and every way to serve. Those that
    are then surely behind are measured no more. After the fewest that an interval needs, no round begins that would not
    end in time: with less, chance would choose between rows.

    A row that fails is left out; where torch does, nothing is left to compare with.

    Args:
        ways: For each row, how it may serve.
        arriving: The requests of a round, by its number.
        loss_of: By a row's name, how much quality is lost by how it computes: a place in an order.
        busy_share: A round in which other jobs took more of the cores' time decides nothing where there are others; a
            measurement of the first round, which decides most, is made again.
    """
    rows, taken = {name: RowRounds(list(tried)) for name, tried in ways.items()}, list[Taken | None]()
    competing = list(ways)
    deadline, shuffle, number, last = clock() + seconds, random.Random(1).shuffle, 0, 0.0
    while number < FEWEST_ROUNDS or (competing and clock() + last <= deadline):
        began = clock()
        calls = [(name, way) for name in competing for way in rows[name].ways]
        shuffle(calls)
        in_round, requests = list[Taken | None](), arriving(number)
        for name, way in calls:
            if name not in rows:
                continue
            try:
                served = measure(name, way, requests)
                if number == 0 and taken_of(served) > busy_share and clock() < deadline:
                    served = min(served, measure(name, way, requests), key=taken_of)
            except MeasurementFailed as error:
                say(f"{name} serves no requests: {error}")
                del rows[name]
                continue
            rows[name].note(way, served)
            in_round.append(served.taken)
        if BASELINE not in rows:
            return LoadRounds({})
        taken.append(other_load.total(in_round))
        if number == 0:
            for row in rows.values():
                row.decide()
        competing = LoadRounds(rows, taken).competing(busy_share, competing, loss_of)
        number, last = number + 1, (clock() - began) * len(competing) / max(len(calls), 1)
    return LoadRounds(rows, taken)


def measure_load(
    rounds: Rounds,
    competing: Mapping[str, Competitor],
    texts: Mapping[str, Sequence[str]],
    settings: Requests,
    measure: Measure,
    cores: int,
    seconds: float,
    busy_share: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[speeds.RequestLoad | None, dict[str, RowRounds]]:
    """Requests by torch and the rows that may serve them best, at a rate that is the same for all; nothing where it may
    take no time.

    Args:
        rounds: What is known of single texts.
        texts: By group.
        seconds: That all rounds may take.
        busy_share: A round in which other jobs took more of the cores' time does not count, if there are enough others.
    """
    groups = groups_of(list(texts))
    torch_rate = speeds.typical(service_rates(rounds, BASELINE, groups))
    if not settings.share or torch_rate is None:
        return None, {}
    per_second = rate(settings, torch_rate)
    arriving = duration(per_second)
    most = rows_in(FIRST_ROUND * seconds, arriving, rounds, cores)
    names = [BASELINE, *rivals(rounds, competing, groups, most - 1)]
    ways = {name: ways_to_serve(competing[name].by_runtime, cores) for name in names}
    drawn = [texts[group] for group in groups]
    measured = run(
        ways, measure, lambda number: arrivals(drawn, per_second, arriving, number), seconds, clock,
        loss_of=lambda name: competing[name].loss, busy_share=busy_share,
    )  # fmt: skip
    counting = measured.without_disturbed(busy_share)
    disturbed = [taken.share for taken in measured.taken if taken is not None and taken.share > busy_share]
    left_out = [] if counting is measured else disturbed
    load: speeds.RequestLoad = {
        "per_second": per_second,
        "torch_share": None if settings.per_second else settings.torch_share,
        "groups": groups,
        "seconds": arriving,
        "other_load": other_load.summarize(counting.taken, left_out, busy_share),
    }
    return load, counting.rows


def rows_in(seconds: float, arriving: float, rounds: Rounds, cores: int) -> int:
    """How many rows a first round of so many seconds can try, each in every way to serve."""
    loading = median(measured.load_seconds for measured in rounds.measured[BASELINE] if measured)
    return int(seconds / (WITH_FIRST_ANSWERS * arriving + loading) / len(ways_to_serve(True, cores)))


def record(row: RowRounds) -> speeds.RequestTimes:
    """What is written of a row."""
    (way,) = row.ways
    series = row.served[way]
    return {
        "callers": way.callers,
        "single_threads": way.single_threads,
        "p50_ms": percentiles(series, 50),
        "p95_ms": percentiles(series, 95),
        "samples": sum(len(served.latency_ms) for served in series),
        "unanswered": sum(served.unanswered for served in series),
        "tried": [
            {"callers": other.callers, "single_threads": other.single_threads, "p95_ms": p95_ms}
            for other, p95_ms in row.first_p95_ms.items()
        ],
    }
