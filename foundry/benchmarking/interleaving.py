"""Rounds of measurements that interleave all variants, until every ratio to torch is known well enough."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from foundry.base.errors import FoundryError
from foundry.base.progress import track
from foundry.benchmarking.fork_server import MeasurementFailed
from foundry.benchmarking.measuring import Measured
from foundry.benchmarking.settings import Effort
from foundry.benchmarking.speeds import BASELINE
from foundry.benchmarking.timings import half_width, ratio

# A row that takes more than so many times torch's time is measured once, and maybe not to the end.
TOO_SLOW_RATIO = 3
TIMEOUT_SECONDS = 1800.0  # for a first load, and for torch, whose speed nobody knows yet

Measure = Callable[[str, float], Measured]  # takes a row's name, and the seconds after which it gives up


@dataclass
class Rounds:
    """What was measured in all rounds."""

    measured: dict[str, list[Measured | None]]
    errors: dict[str, str] = field(default_factory=dict)
    slow: list[str] = field(default_factory=list)
    stopped: str = "time"
    widest: float | None = None

    def series(self, name: str, group: str, size: str) -> list[float | None]:
        """Texts per second in each round, None where it was not measured."""
        return [
            None if measured is None else measured.texts_per_second.get(group, {}).get(size)
            for measured in self.measured[name]
        ]

    def widest_interval(self, names: Sequence[str]) -> float | None:
        """Half of the widest interval of all ratios to torch."""
        widths = [
            half_width(value)
            for name in names
            if name != BASELINE
            for group, sizes in (self.measured[name][0] or Measured(0, 0)).texts_per_second.items()
            for size in sizes
            if (value := ratio(self.series(name, group, size), self.series(BASELINE, group, size))) is not None
        ]
        return max(widths, default=None)


def run_rounds(
    names: Sequence[str], measure: Measure, effort: Effort, clock: Callable[[], float] = time.perf_counter
) -> Rounds:
    """Rounds over all names, torch first in the first round and in a new order in each later one.

    A row that fails, or is much slower than torch in the first round, is not measured again.

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
            elif measured.gave_up or (number == 0 and is_too_slow(measured, rounds.measured[BASELINE][-1])):
                rounds.slow.append(name)
        number += 1
        order = [name for name in order if name not in rounds.errors and name not in rounds.slow]
        if number >= effort.rounds:
            rounds.widest = rounds.widest_interval(order)
            if rounds.widest is not None and rounds.widest <= effort.interval:
                rounds.stopped = "narrow enough"
                return rounds
            if clock() - began + (clock() - round_began) > 60 * effort.minutes:
                return rounds
        shuffle(order)


def is_too_slow(measured: Measured, torch: Measured | None) -> bool:
    """Whether torch is so much faster in most ways that no further round would change what to think of it."""
    if torch is None:
        return False
    ratios = [
        torch.texts_per_second[group][size] / value
        for group, sizes in measured.texts_per_second.items()
        for size, value in sizes.items()
    ]
    return median(ratios) > TOO_SLOW_RATIO
