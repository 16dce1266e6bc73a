"""Rounds of measurements that interleave all variants, until the ratios that a recommendation rests on are certain.

The first round measures every row. Then the time goes to those that may still be recommended for something.
"""

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

from foundry.base.errors import FoundryError
from foundry.base.progress import say, track
from foundry.benchmarking import other_load
from foundry.benchmarking.fork_server import MeasurementFailed
from foundry.benchmarking.measuring import Measured, combined
from foundry.benchmarking.other_load import OtherLoad, Taken
from foundry.benchmarking.settings import Effort
from foundry.benchmarking.speeds import BASELINE, SINGLE, typical
from foundry.benchmarking.timings import FEWEST_ROUNDS, half_width, ratio

# A row competes that has, alone or in batches of some group, this share of the fastest one's speed, of those that lose
# no more quality by how they compute; or that may, within its interval, be as fast but for little. Rounds that are too
# few for an interval take less, by their number.
COMPETES, MAY_BE_AS_FAST, COMPETES_AT_FIRST = 0.9, 0.97, {1: 0.6, 2: 0.8}
# Every ratio of a round is to torch, so one disturbed measurement of it would widen them all: with enough rows beside
# it, it is measured so many times in each round, far from one another.
BASELINE_TIMES, ENOUGH_ROWS = 3, 8
# A row that takes more than so many times torch's time is measured once, and maybe not to the end.
TOO_SLOW_RATIO = 3
TIMEOUT_SECONDS = 1800.0  # for a first load, and for torch, whose speed nobody knows yet

Place = tuple[str, bool]  # a group of texts, alone (False) or in batches (True)
Measure = Callable[[str, float], Measured]  # takes a row's name, and the seconds after which it gives up


@dataclass
class Rounds:
    """What was measured in all rounds that count."""

    measured: dict[str, list[Measured | None]]
    taken: list[Taken | None] = field(default_factory=list)  # by other jobs, in each round
    left_out: list[float] = field(default_factory=list)  # the share that was taken in each round that does not count
    errors: dict[str, str] = field(default_factory=dict)
    slow: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)  # too far behind others to be measured in all rounds
    stopped: str = "time"
    widest: float | None = None

    def series(self, name: str, group: str, size: str) -> list[float | None]:
        """Texts per second in each round, None where it was not measured."""
        return [
            None if measured is None else measured.texts_per_second.get(group, {}).get(size)
            for measured in self.measured[name]
        ]

    def best_series(self, name: str) -> dict[Place, list[float | None]]:
        """Texts per second in each round by group, alone (False) and at the batch size that is fastest (True)."""
        fastest: dict[Place, list[float | None]] = {}
        sizes = {
            (group, size): self.series(name, group, size)
            for measured in self.measured[name]
            if measured is not None
            for group, of_group in measured.texts_per_second.items()
            for size in of_group
        }
        for (group, size), series in sizes.items():
            place = group, size != SINGLE
            if place not in fastest or (typical(series) or 0) > (typical(fastest[place]) or 0):
                fastest[place] = series
        return fastest

    def quiet(self, limit: float) -> list[int]:
        """The numbers of the rounds in which other jobs took no more than the limit, or nobody knows what."""
        return [number for number, taken in enumerate(self.taken) if taken is None or taken.share <= limit]

    def without_disturbed(self, limit: float) -> "Rounds":
        """The quiet rounds alone, if they are enough for an interval; all rounds otherwise."""
        quiet = self.quiet(limit)
        if len(quiet) < FEWEST_ROUNDS:
            return self
        left_out = [taken.share for taken in self.taken if taken is not None and taken.share > limit]
        return replace(self.with_numbers(quiet), left_out=left_out)

    def other_load(self, limit: float) -> OtherLoad | None:
        """What other jobs took of the processor in these rounds."""
        return other_load.summarize(self.taken, self.left_out, limit)

    def with_numbers(self, numbers: Sequence[int]) -> "Rounds":
        """The rounds of these numbers alone."""
        return replace(
            self,
            measured={
                name: [values[number] for number in numbers if number < len(values)]
                for name, values in self.measured.items()
            },
            taken=[self.taken[number] for number in numbers],
        )

    def widest_interval(self, competing: Mapping[str, Collection[Place]]) -> float | None:
        """Half of the widest interval of the ratios to torch of what competes, where it does; each at its best batch
        size, and where torch has no batches, to its single texts."""
        torch = self.best_series(BASELINE)
        widths = []
        for name, places in competing.items():
            series = self.best_series(name)
            for group, in_batches in places:
                baseline = torch.get((group, in_batches)) or torch.get((group, False), [])
                if (value := ratio(series[group, in_batches], baseline)) is not None:
                    widths.append(half_width(value))
        return max(widths, default=None)


def run_rounds(
    names: Sequence[str],
    measure: Measure,
    effort: Effort,
    clock: Callable[[], float] = time.perf_counter,
    loss_of: Callable[[str], int] = lambda name: 0,
) -> Rounds:
    """Rounds over all names, each in a new order; torch is measured first, and again among many rows.

    A row that fails, or is much slower than torch in the first quiet round, is not measured again; nor is one, after
    any quiet round, that does not compete. While time remains, a round that other jobs disturbed is made up for by
    another one, and does not count.

    Args:
        loss_of: By a row's name, how much quality is lost by how it computes: a place in an order. It competes with
            rows that lose as much or less, because one that loses more is no replacement for it.

    Raises:
        FoundryError: when torch itself cannot be measured.
    """
    rounds = Rounds({name: [] for name in names})
    others, shuffle = [name for name in names if name != BASELINE], random.Random(0).shuffle
    began, number, limit = clock(), 0, TIMEOUT_SECONDS
    seconds: dict[str, float] = {}  # that each row took last
    while True:
        left = 60 * effort.minutes - (clock() - began)
        order, in_round = with_baseline(others), dict[str, list[Measured]]()
        for name in track(order, f"round {number + 1}" + (f", at most {max(left, 0):.0f} s of rounds" * (number > 0))):
            started = clock()
            try:
                measured = measure(name, limit)
            except MeasurementFailed as error:
                if name == BASELINE:
                    raise FoundryError(
                        f"torch cannot be measured, and everything is compared with it: {error}"
                    ) from error
                rounds.errors[name] = str(error)
                continue
            in_round.setdefault(name, []).append(measured)
            seconds[name] = clock() - started
            if name == BASELINE:
                limit = max(5.0, TOO_SLOW_RATIO * seconds[name])
        for name, measurements in in_round.items():
            rounds.measured[name] += [None] * (number - len(rounds.measured[name])) + [combined(measurements)]
        end_round(rounds, number, effort.busy_share)
        number += 1
        others = [name for name in others if name not in rounds.errors and name not in rounds.slow]
        quiet = rounds.quiet(effort.busy_share)
        counting = rounds.without_disturbed(effort.busy_share)
        competing = where_competing(rounds.with_numbers(quiet) if quiet else counting, [BASELINE, *others], loss_of)
        if quiet:
            rounds.settled += [name for name in others if name not in competing]
            others = [name for name in others if name not in rounds.settled]
        counting.settled = rounds.settled
        if number >= effort.rounds:
            counting.widest = counting.widest_interval(competing)
            is_narrow = counting.widest is not None and counting.widest <= effort.interval
            if is_narrow and len(quiet) >= effort.rounds:
                counting.stopped = "narrow enough"
                return counting
            if clock() - began + sum(seconds[name] for name in with_baseline(others)) > 60 * effort.minutes:
                return counting
        shuffle(others)


def with_baseline(others: Sequence[str]) -> list[str]:
    """The order of a round: torch before the rows, and where they are many also among them, at even distances."""
    times = BASELINE_TIMES if len(others) >= ENOUGH_ROWS else 1
    starts = [len(others) * part // times for part in range(times + 1)]
    return [name for start, end in pairwise(starts) for name in (BASELINE, *others[start:end])]


def end_round(rounds: Rounds, number: int, busy_share: float) -> None:
    """Note what other jobs took in a round, and after a quiet one which rows are too slow to be measured again."""
    in_round = {name: values[number] for name, values in rounds.measured.items() if len(values) == number + 1}
    taken = other_load.total(measured.taken for measured in in_round.values() if measured)
    rounds.taken.append(taken)
    if taken is not None and taken.share > busy_share:
        say(f"round {number + 1} is disturbed: {other_load.in_words(taken)}; at most {busy_share:.0%} may be taken")
        return
    is_first = len(rounds.quiet(busy_share)) == 1
    torch = in_round[BASELINE]
    for name, measured in in_round.items():
        if name != BASELINE and measured and (measured.gave_up or (is_first and is_too_slow(measured, torch))):
            rounds.slow.append(name)


def where_competing(rounds: Rounds, names: Sequence[str], loss_of: Callable[[str], int]) -> dict[str, list[Place]]:
    """The rows that may be recommended for something, torch aside, and where."""
    series = {name: rounds.best_series(name) for name in names}
    competing: dict[str, list[Place]] = {}
    for name in names:
        for place, own in series[name].items():
            rivals = [other for other in names if loss_of(other) <= loss_of(name) and place in series[other]]
            best = max(rivals, key=lambda other: typical(series[other][place]) or 0)
            if name != BASELINE and _may_be_chosen(own, series[best][place]):
                competing.setdefault(name, []).append(place)
    return competing


def _may_be_chosen(own: Sequence[float | None], best: Sequence[float | None]) -> bool:
    """Whether a speed is near to the best one, or may be as high but for little."""
    to_best = ratio(own, best)
    if to_best is None or to_best["high"] is None:
        rounds = sum(value is not None for value in own)
        return to_best is None or to_best["median"] >= COMPETES_AT_FIRST[min(rounds, max(COMPETES_AT_FIRST))]
    return to_best["median"] >= COMPETES or to_best["high"] >= MAY_BE_AS_FAST


def is_too_slow(measured: Measured, torch: Measured | None) -> bool:
    """Whether torch is so much faster in most ways that no further round would change what to think of it."""
    if torch is None:
        return False
    ratios = [
        torch.texts_per_second[group].get(size, max(torch.texts_per_second[group].values())) / value
        for group, sizes in measured.texts_per_second.items()
        for size, value in sizes.items()
    ]
    return median(ratios) > TOO_SLOW_RATIO
