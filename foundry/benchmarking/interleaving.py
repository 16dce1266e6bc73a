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
HOPELESS = 3


PATIENCE_SECONDS = 1800.0  # for a first load, and for torch, whose speed nobody knows yet


Measure = Callable[[str, float], Measured]  # of a row's name, and the seconds after which it gives up


@dataclass
class Rounds:
    """What all rounds saw."""

    measured: dict[str, list[Measured | None]]
    errors: dict[str, str] = field(default_factory=dict)
    slow: list[str] = field(default_factory=list)
    stopped: str = "time"
    widest: float | None = None

    def series(self, name: str, group: str, size: str) -> list[float | None]:
        seen = self.measured[name]
        return [None if one is None else one.texts_per_second.get(group, {}).get(size) for one in seen]

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

    A name that fails, or is hopelessly slower than torch in the first round, is not measured again.

    Raises:
        FoundryError: when torch itself cannot be measured.
    """
    found = Rounds({name: [] for name in names})
    order, shuffle = list(names), random.Random(0).shuffle
    began, number, limit = clock(), 0, PATIENCE_SECONDS
    while True:
        round_began = clock()
        left = 60 * effort.minutes - (round_began - began)
        for name in track(order, f"round {number + 1}" + (f", at most {max(left, 0):.0f} s of rounds" * (number > 0))):
            started = clock()
            try:
                one = measure(name, limit)
            except MeasurementFailed as error:
                if name == BASELINE:
                    raise FoundryError(
                        f"torch cannot be measured, and everything is compared with it: {error}"
                    ) from error
                found.errors[name] = str(error)
                continue
            found.measured[name] += [None] * (number - len(found.measured[name])) + [one]
            if name == BASELINE:
                limit = max(5.0, HOPELESS * (clock() - started))
            elif one.gave_up or (number == 0 and is_hopeless(one, found.measured[BASELINE][-1])):
                found.slow.append(name)
        number += 1
        order = [name for name in order if name not in found.errors and name not in found.slow]
        if number >= effort.rounds:
            found.widest = found.widest_interval(order)
            if found.widest is not None and found.widest <= effort.interval:
                found.stopped = "narrow enough"
                return found
            if clock() - began + (clock() - round_began) > 60 * effort.minutes:
                return found
        shuffle(order)


def is_hopeless(one: Measured, torch: Measured | None) -> bool:
    """Whether torch is so much faster in most ways that no further round would change what to think of it."""
    if torch is None:
        return False
    ratios = [
        torch.texts_per_second[group][size] / value
        for group, sizes in one.texts_per_second.items()
        for size, value in sizes.items()
    ]
    return median(ratios) > HOPELESS
