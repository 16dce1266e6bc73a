"""Rounds of measurements that interleave all variants, until the interval of every ratio to torch is narrow enough."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from foundry.base.errors import FoundryError
from foundry.base.progress import say, track
from foundry.benchmarking import other_load
from foundry.benchmarking.fork_server import MeasurementFailed
from foundry.benchmarking.measuring import Measured
from foundry.benchmarking.other_load import OtherLoad, Taken
from foundry.benchmarking.settings import Effort
from foundry.benchmarking.speeds import BASELINE, BY_TOKENS, SINGLE, typical
from foundry.benchmarking.timings import FEWEST_ROUNDS, half_width, ratio

# A row that is certainly slower than this share of the fastest of its class, at every length and in every use, is not
# measured to the end: no recommendation would name it before that one.
OUT_OF_REACH = 0.8
# A row that takes more than so many times torch's time is measured once, and maybe not to the end.
TOO_SLOW_RATIO = 3
TIMEOUT_SECONDS = 1800.0  # for a first load, and for torch, whose speed nobody knows yet

Measure = Callable[[str, float], Measured]  # takes a row's name, and the seconds after which it gives up


@dataclass
class Rounds:
    """What was measured in all rounds that count."""

    measured: dict[str, list[Measured | None]]
    taken: list[Taken | None] = field(default_factory=list)  # by other jobs, in each round
    left_out: list[float] = field(default_factory=list)  # the share that was taken in each round that does not count
    errors: dict[str, str] = field(default_factory=dict)
    slow: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)  # too far behind others to be measured to the end
    stopped: str = "time"
    widest: float | None = None

    def series(self, name: str, group: str, size: str) -> list[float | None]:
        """Texts per second in each round, None where it was not measured."""
        return [
            None if measured is None else measured.texts_per_second.get(group, {}).get(size)
            for measured in self.measured[name]
        ]

    def best_series(self, name: str) -> dict[tuple[str, bool], list[float | None]]:
        """Texts per second in each round by group, alone (False) and at the batch size that is fastest (True)."""
        fastest: dict[tuple[str, bool], list[float | None]] = {}
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
        return replace(
            self,
            measured={
                name: [values[number] for number in quiet if number < len(values)]
                for name, values in self.measured.items()
            },
            taken=[self.taken[number] for number in quiet],
            left_out=[taken.share for taken in self.taken if taken is not None and taken.share > limit],
        )

    def other_load(self, limit: float) -> OtherLoad | None:
        """What other jobs took of the processor in these rounds."""
        return other_load.summarize(self.taken, self.left_out, limit)

    def widest_interval(self, names: Sequence[str]) -> float | None:
        """Half of the widest interval of all ratios to torch; where torch has no such batches, to its fastest."""
        torch = self.best_series(BASELINE)

        def of_torch(group: str, size: str) -> Sequence[float | None]:
            if size != BY_TOKENS:
                return self.series(BASELINE, group, size)
            return torch.get((group, True)) or torch.get((group, False), [])  # few texts fill no batch

        widths = [
            half_width(value)
            for name in names
            if name != BASELINE
            for group, sizes in next(filter(None, self.measured[name]), Measured(0, 0)).texts_per_second.items()
            for size in sizes
            if (value := ratio(self.series(name, group, size), of_torch(group, size))) is not None
        ]
        return max(widths, default=None)


def run_rounds(
    names: Sequence[str],
    measure: Measure,
    effort: Effort,
    clock: Callable[[], float] = time.perf_counter,
    class_of: Callable[[str], str] = lambda name: "",
) -> Rounds:
    """Rounds over all names, torch first in the first round and in a new order in each later one.

    A row that fails, or is much slower than torch in the first quiet round, is not measured again; nor is one, once
    there are enough rounds for an interval, that is far behind the fastest of its class. While time remains, a round
    that other jobs disturbed is made up for by another one, and does not count.

    Args:
        class_of: By a row's name, the rows that it is compared with before it is settled: those that compute as it
            does, by the same runner. One that loses quality, or fails, settles none that does not.

    Raises:
        FoundryError: when torch itself cannot be measured.
    """
    rounds = Rounds({name: [] for name in names})
    order, shuffle = list(names), random.Random(0).shuffle
    began, number, limit = clock(), 0, TIMEOUT_SECONDS
    while True:
        round_began = clock()
        left = 60 * effort.minutes - (round_began - began)
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
            rounds.measured[name] += [None] * (number - len(rounds.measured[name])) + [measured]
            if name == BASELINE:
                limit = max(5.0, TOO_SLOW_RATIO * (clock() - started))
        end_round(rounds, number, effort.busy_share)
        number += 1
        order = [name for name in order if name not in rounds.errors and name not in rounds.slow]
        counting = rounds.without_disturbed(effort.busy_share)
        if number >= effort.rounds:
            if len(rounds.quiet(effort.busy_share)) >= effort.rounds:
                rounds.settled += out_of_reach(counting, order, class_of)
            order = [name for name in order if name not in rounds.settled]
            counting.settled = rounds.settled
            counting.widest = counting.widest_interval(order)
            is_narrow = counting.widest is not None and counting.widest <= effort.interval
            if is_narrow and len(rounds.quiet(effort.busy_share)) >= effort.rounds:
                counting.stopped = "narrow enough"
                return counting
            if clock() - began + (clock() - round_began) > 60 * effort.minutes:
                return counting
        shuffle(order)


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


def out_of_reach(rounds: Rounds, names: Sequence[str], class_of: Callable[[str], str]) -> list[str]:
    """The rows that are certainly far behind the fastest of their class, alone and in batches of every group."""
    series = {name: rounds.best_series(name) for name in names}
    fastest = {
        (place, kind): max(
            (name for name in names if class_of(name) == kind and place in series[name]),
            key=lambda name: typical(series[name][place]) or 0,
            default=None,
        )
        for name, of_name in series.items()
        for place in of_name
        for kind in [class_of(name)]
    }

    def is_behind(name: str) -> bool:
        for place, own in series[name].items():
            best = fastest[place, class_of(name)]
            value = None if best is None else ratio(own, series[best][place])
            if value is None or value["high"] is None or value["high"] >= OUT_OF_REACH:
                return False
        return bool(series[name])

    return [name for name in names if name != BASELINE and is_behind(name)]


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
