"""What other jobs take of the processor while a benchmark measures, and whether its figures can be relied on.

A ratio to torch cancels what slows a whole round down alike. Other jobs do not: they come and go within a round, and a
runtime whose threads wait for each other loses more by them than another. With jobs beside it a benchmark has given a
ratio of 18.9 for a variant that is twice as fast as torch.
"""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypedDict

MENTIONED = 0.005  # a smaller share of what is seldom there is not worth a word
NOT_RELIABLE = "measured on a busy machine: not to be relied on"


class OtherLoad(TypedDict):
    """What could not be had of the processor during a benchmark's timed passes: shares of its cores' time."""

    share: float  # the sum of the next three
    others: float  # processes that are no part of the measurement
    stolen: float  # other virtual machines, as the kernel says
    throttled: float  # the CPU limit of the control group
    own: float  # what the measured processes themselves used
    rounds: list[float | None]  # the share in each round that counts; None where it is not known
    left_out: list[float]  # the share in each round that was disturbed and does not count
    limit: float  # benchmark.busy_share, when it was measured
    busy: bool  # whether the share is above the limit


@dataclass(frozen=True)
class Taken:
    """Seconds of CPU time, over all cores that this process may use, during some measurement."""

    available: float  # the wall time times the cores
    own: float
    others: float
    stolen: float
    throttled: float

    @property
    def share(self) -> float:
        """The share of the cores' time that the measurement could not have."""
        return (self.others + self.stolen + self.throttled) / self.available if self.available else 0.0


class Stopwatch:
    """Starts when it is made; `taken` says what was taken since. It counts this process alone as the measurement's own:
    a benchmark measures in a process for each variant, while all others of its processes wait.
    """

    def __init__(self) -> None:
        self._start = _counters()

    def taken(self) -> Taken | None:
        """What was taken since the start, or None where the machine's counters say nothing of it."""
        return between(self._start, _counters())


@dataclass(frozen=True)
class Counters:
    """Seconds since some start."""

    wall: float
    cores: int
    own: float
    busy: float  # of all cores that this process may use, by any process, itself included
    stolen: float
    throttled: float


def between(start: Counters, end: Counters) -> Taken | None:
    """What was taken between two readings, or None where the machine's counters do not even hold what this process used
    itself: a container or sandbox that shows counters of its own, or none."""
    own, busy = end.own - start.own, end.busy - start.busy
    # The kernel counts the machine's time in ticks of 10 ms on each core, and that of a process exactly.
    if busy < 0.5 * own - 0.02 * end.cores or (busy == 0 and end.wall - start.wall > 1):
        return None
    return Taken(
        available=(end.wall - start.wall) * end.cores,
        own=own,
        others=max(0.0, busy - own),
        stolen=max(0.0, end.stolen - start.stolen),
        throttled=max(0.0, end.throttled - start.throttled),
    )


def _counters() -> Counters:
    """A reading of the clocks of this process, the cores that it may use, and its control group."""
    import psutil

    cores = psutil.cpu_times(percpu=True)
    if hasattr(os, "sched_getaffinity") and max(allowed := os.sched_getaffinity(0)) < len(cores):
        cores = [cores[index] for index in allowed]
    # Time of a virtual machine that runs here is part of `user`.
    names = ("user", "nice", "system", "irq", "softirq")
    return Counters(
        wall=time.perf_counter(),
        cores=len(cores),
        own=time.process_time(),
        busy=sum(getattr(core, name, 0.0) for core in cores for name in names),
        stolen=sum(getattr(core, "steal", 0.0) for core in cores),
        throttled=_throttled_seconds(),
    )


def _throttled_seconds(groups: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> float:
    """For how long the CPU limit of this process's control group has stopped it, summed over the cores; 0 where there
    is no limit, or no such file."""
    folders = []
    for line in groups.read_text().splitlines() if groups.is_file() else []:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            # Inside a container the path is as the host sees it, and the folder is the top one.
            folders += [mount / controllers / path.lstrip("/"), mount / controllers]
    units = {"throttled_usec": 1e-6, "throttled_time": 1e-9}  # of versions 2 and 1 of control groups
    for folder in folders:
        file = folder / "cpu.stat"
        for line in file.read_text().splitlines() if file.is_file() else []:
            name, _, value = line.partition(" ")
            if name in units:
                return int(value) * units[name]
    return 0.0


def total(measurements: Iterable[Taken | None]) -> Taken | None:
    """What was taken during all of them that is known, or None where nothing is."""
    known = [astuple(taken) for taken in measurements if taken is not None]
    return Taken(*(sum(column) for column in zip(*known, strict=True))) if known else None


def summarize(rounds: Sequence[Taken | None], left_out: Sequence[float], limit: float) -> OtherLoad | None:
    """What a benchmark's file says of its rounds: those that count, and those that were left out."""
    whole = total(rounds)
    if whole is None or not whole.available:
        return None
    return {
        "share": whole.share,
        "others": whole.others / whole.available,
        "stolen": whole.stolen / whole.available,
        "throttled": whole.throttled / whole.available,
        "own": whole.own / whole.available,
        "rounds": [None if taken is None else taken.share for taken in rounds],
        "left_out": list(left_out),
        "limit": limit,
        "busy": whole.share > limit,
    }


def describe(load: OtherLoad | None) -> str:
    """In a sentence: what others took, and whether the figures can be relied on."""
    if load is None:
        return "What other jobs took of the processor during the benchmark is not known."
    what = _in_words(load["others"], load["stolen"], load["throttled"])
    if count := len(load["left_out"]):
        rounds = f"{count} disturbed rounds are" if count > 1 else "one disturbed round is"
        what += f"; {rounds} left out (up to {max(load['left_out']):.0%})"
    if load["busy"]:
        what += f"; the limit is {load['limit']:.0%}"
        return f"{NOT_RELIABLE[0].upper()}{NOT_RELIABLE[1:]}. During the benchmark {what}."
    return f"During the benchmark {what}."


def in_words(taken: Taken) -> str:
    """What was taken, as shares of the cores' time."""
    seconds = (taken.others, taken.stolen, taken.throttled)
    return _in_words(*(value / taken.available for value in seconds))


def _in_words(others: float, stolen: float, throttled: float) -> str:
    parts = [f"other jobs took {others:.0%} of the cores' time"]
    if stolen >= MENTIONED:
        parts.append(f"other virtual machines {stolen:.0%}")
    if throttled >= MENTIONED:
        parts.append(f"the container's CPU limit {throttled:.0%}")
    return ", ".join(parts)
