"""Which rows may answer requests soonest, by what is known of single texts; and which need no more rounds."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from foundry.benchmarking import speeds
from foundry.benchmarking.interleaving import Rounds
from foundry.benchmarking.planning import LOSSES
from foundry.benchmarking.speeds import BASELINE, SINGLE
from foundry.benchmarking.timings import FEWEST_ROUNDS, Ratio, ratio, ratio_by_logarithms

# A row competes whose single texts take up to so many times as long as the fastest one's, of those that lose no more
# quality. Of Sentence Transformers' rows two callers gain more than of foundry_runtime's, so that one 1.4 times as slow
# for single texts has answered requests as soon.
NEAR = 1.5
# In floating point, bf16 is the faster where a processor has it, and loses hardly more. It may not pass, so the fastest
# in f32 is there as well, and while there is time, those that are nearly as fast.
NEAR_WITHOUT_LOSS = 1.15
F32, BF16 = LOSSES.index("floats"), LOSSES.index("floats in bf16")
FEWEST_RIVALS = 4
# No more rounds are of a row whose p95 is so many times another one's that loses no more quality: after one round,
# after two in their median, and then at the interval's lower end.
FAR_BEHIND, SURELY_BEHIND = (1.5, 1.3), 1.1


class Competitor(NamedTuple):
    """A row that may be measured."""

    loss: int  # how much quality is lost by how it computes: a place in an order
    by_runtime: bool


def service_rates(rounds: Rounds, name: str, groups: Sequence[str]) -> list[float | None]:
    """Texts a second that a row serves alone in each round, where as many are of each group; None where not known."""
    series = [rounds.series(name, group, SINGLE) for group in groups]
    return [
        len(groups) / sum(1 / rate for rate in rates if rate) if all(rates) else None
        for rates in zip(*series, strict=True)
    ]


def rivals(rounds: Rounds, competing: Mapping[str, Competitor], groups: Sequence[str], most: int) -> list[str]:
    """The rows beside torch that are near the fastest for single texts, of those that lose as much quality or less; the
    nearest of them first; of those in f32, where there are others in bf16, only the fastest.

    Args:
        most: How many there is time for; `FEWEST_RIVALS` are taken in any case.
    """
    rates = {name: series for name in competing if any(series := service_rates(rounds, name, groups))}
    behind = {name: _behind(name, rates, competing) for name in rates if name != BASELINE}
    has_bf16 = any(competing[name].loss == BF16 for name in behind)
    in_doubt = {name for name in behind if has_bf16 and competing[name].loss == F32}
    near = [name for name, times in behind.items() if times <= (NEAR_WITHOUT_LOSS if name in in_doubt else NEAR)]
    near.sort(key=lambda name: (name in in_doubt and behind[name] > 1, behind[name]))
    return near[: max(most, FEWEST_RIVALS)]


def _behind(name: str, rates: Mapping[str, Sequence[float | None]], competing: Mapping[str, Competitor]) -> float:
    """How many times as long as of the fastest that loses no more a row's single texts take, in the same rounds."""
    others = [other for other in rates if competing[other].loss <= competing[name].loss and other != BASELINE]
    best = max(others, key=lambda other: speeds.typical(rates[other]) or 0.0)
    value = ratio(rates[best], rates[name])
    return 1.0 if value is None else value["median"]


def undecided(p95_ms: Mapping[str, Sequence[float | None]], loss_of: Callable[[str], int]) -> list[str]:
    """The rows of which more rounds are needed. In too few rounds for an interval those, and torch, that nothing which
    loses no more quality is far ahead of; afterwards those that cannot be told apart from another one.

    Args:
        p95_ms: Of each row in each round.
    """
    ahead = [
        name
        for name in p95_ms
        if name == BASELINE
        or not any(
            _is_behind(p95_ms[name], series)
            for other, series in p95_ms.items()
            if other != name and loss_of(other) <= loss_of(name)
        )
    ]
    return [
        name
        for name in ahead
        if len(speeds.known(p95_ms[name])) < FEWEST_ROUNDS
        or any(_may_be_equal(ratio_by_logarithms(p95_ms[name], p95_ms[other])) for other in ahead if other != name)
    ]


def _is_behind(own: Sequence[float | None], other: Sequence[float | None]) -> bool:
    """Whether a row's p95 is so much higher than another's that no more rounds are needed."""
    value = ratio_by_logarithms(own, other)
    if value is None:
        return False
    if value["low"] is None:
        return value["median"] >= FAR_BEHIND[min(len(speeds.known(own)), 2) - 1]
    return value["low"] >= SURELY_BEHIND


def _may_be_equal(value: Ratio | None) -> bool:
    """Whether nobody knows yet which of two rows has the lower p95, by more than anyone would care."""
    if value is None or value["low"] is None or value["high"] is None:
        return True
    return value["low"] < SURELY_BEHIND and value["high"] > 1 / SURELY_BEHIND
