"""What repeated timings say: the median of the rounds' ratios, its interval, and whether two variants differ at all."""

from collections.abc import Sequence
from statistics import median
from typing import TypedDict

import numpy as np

# With fewer rounds an interval would promise more than anyone saw.
FEWEST_ROUNDS = 3
# Two variants that differ by less than this are the same to anyone who has to choose, however sure the difference is.
SAME_SPEED = 0.03


class Ratio(TypedDict):
    """One speed as a ratio to another: above 1 is faster."""

    median: float
    low: float | None  # the 95% interval; None where there were too few rounds for one
    high: float | None


def median_interval(values: Sequence[float], resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of the median (Efron and Tibshirani 1993, section 13.3)."""
    array = np.asarray(values, dtype=float)
    picks = np.random.default_rng(seed).integers(0, len(array), size=(resamples, len(array)))
    low, high = np.percentile(np.median(array[picks], axis=1), [2.5, 97.5])
    return float(low), float(high)


def ratio(speed: Sequence[float | None], other: Sequence[float | None]) -> Ratio | None:
    """The speed as a ratio to the `other` one, round by round, so that what slows a whole round down cancels out.

    A round in which either was not measured does not count; None where no round is left.
    """
    ratios = [ours / baseline for ours, baseline in zip(speed, other, strict=False) if ours and baseline]
    if not ratios:
        return None
    low, high = median_interval(ratios) if len(ratios) >= FEWEST_ROUNDS else (None, None)
    return {"median": median(ratios), "low": low, "high": high}


def ratio_by_logarithms(speed: Sequence[float | None], other: Sequence[float | None]) -> Ratio | None:
    """As `ratio`, with Student's interval of the mean of the ratios' logarithms, which holds for few rounds, too.

    An interval by resampling lies between the lowest and the highest round: of three to six rounds, equal rows would
    seem different once in four to once in thirty.
    """
    from scipy.special import stdtrit

    value = ratio(speed, other)
    if value is None or value["low"] is None or value["high"] is None:
        return value
    logs = np.log([ours / theirs for ours, theirs in zip(speed, other, strict=False) if ours and theirs])
    count = len(logs)
    half = float(stdtrit(count - 1, 0.975) * np.std(logs, ddof=1) / np.sqrt(count))
    low, high = (float(np.exp(np.mean(logs) + side * half)) for side in (-1, 1))
    return {"median": value["median"], "low": min(low, value["median"]), "high": max(high, value["median"])}


def half_width(value: Ratio) -> float:
    """Half the interval's width, relative to the median; infinite where there is no interval."""
    if value["low"] is None or value["high"] is None:
        return float("inf")
    return (value["high"] - value["low"]) / 2 / value["median"]


def same_speed(value: Ratio | None) -> bool:
    """Whether a ratio of two speeds is 1 within noise, or nearer to 1 than anyone would care."""
    if value is None or value["low"] is None or value["high"] is None:
        return True  # too few rounds to tell them apart
    return value["low"] <= 1 <= value["high"] or abs(value["median"] - 1) < SAME_SPEED
