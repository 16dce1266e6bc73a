"""The search for the settings with which foundry_runtime runs a file fastest on this machine.

By successive halving (Jamieson and Talwalkar 2016): all candidates are measured once, the better half of them again,
and so on. The first are threads and streams that share the cores, and for single texts their threads; those that are
left are then tried with several sizes of a batch. The runtime's own rule is among them to the end: what is chosen
instead was faster in every pass that had both, of which there are at least two, and by more than anyone would overlook.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from foundry_runtime.batches import TOKENS_PER_BATCH
from foundry_runtime.run_settings import MANY, ONE, RunSettings

from foundry.benchmarking import speeds
from foundry.benchmarking.fork_server import MeasurementFailed
from foundry.benchmarking.setting_trials import Trial
from foundry.benchmarking.timings import SAME_SPEED

# What is slower than this share of the rule after so many passes is not tried again.
HOPELESS = {1: 0.9, 2: 1.0}
# In how many passes a setting must be faster than the rule, by how much in each, and by how much in the median.
FEWEST_PASSES, IN_EACH, IN_MEDIAN = 2, 1 + SAME_SPEED / 2, 1.05
PASSES = 4
# What of the settings a use depends on.
NAMES = {MANY: ("threads", "streams", "batch_tokens"), ONE: ("single_threads",)}

Place = tuple[str, str]  # a use and a group of texts
# Takes a row's name, and trials of one layout; gives texts per second of each.
Measure = Callable[[str, Sequence[Trial]], Sequence[float | None]]


@dataclass
class RowSearch:
    """The search for one row: what is still tried for each use and group of texts, and what each gave in each pass."""

    alive: dict[Place, list[RunSettings]]
    rule: RunSettings
    rates: dict[Place, dict[RunSettings, list[float | None]]] = field(default_factory=dict)

    def note(self, trial: Trial, number: int, rate: float | None) -> None:
        """Keep what a trial gave in the pass of this number."""
        series = self.rates.setdefault((trial.use, trial.group), {}).setdefault(trial.settings, [])
        series += [None] * (number - len(series)) + [rate]

    def ratios(self, place: Place, settings: RunSettings) -> list[float]:
        """Its speed as a ratio to the rule's in each pass in which both were measured."""
        of_place = self.rates.get(place, {})
        pairs = zip(of_place.get(settings, ()), of_place.get(self.rule, ()), strict=False)
        return [ours / rules for ours, rules in pairs if ours and rules]

    def to_rule(self, place: Place, settings: RunSettings) -> float:
        """The median of the ratios; 0 without any."""
        return median(self.ratios(place, settings) or [0.0])

    def halve(self) -> None:
        """Go on with the faster half for each use and group of texts, without what is hopeless; and with the rule."""
        for place, candidates in self.alive.items():
            limit = {
                settings: HOPELESS[min(max(len(self.ratios(place, settings)), 1), max(HOPELESS))]
                for settings in candidates
            }
            rivals = [
                settings
                for settings in candidates
                if settings != self.rule and self.to_rule(place, settings) >= limit[settings]
            ]
            rivals.sort(key=lambda settings: -self.to_rule(place, settings))
            self.alive[place] = [self.rule, *rivals[: max(len(candidates) // 2, 1)]]

    def widen(self, batch_tokens: Iterable[int]) -> None:
        """Try all that is left for many texts with each of these sizes of a batch, too."""
        for (use, group), left in self.alive.items():
            if use == MANY:
                sized = [replace(settings, batch_tokens=tokens) for settings in left for tokens in batch_tokens]
                self.alive[use, group] = list(dict.fromkeys([*left, *sized]))

    def chosen(self, place: Place) -> RunSettings:
        """The fastest of what is certainly faster than the rule; the rule where nothing is."""
        certain = [
            settings
            for settings in self.rates.get(place, {})
            if len(ratios := self.ratios(place, settings)) >= FEWEST_PASSES
            and min(ratios) > IN_EACH
            and median(ratios) > IN_MEDIAN
        ]
        return max(certain, key=lambda settings: self.to_rule(place, settings), default=self.rule)


def candidates(cores: int) -> dict[str, list[RunSettings]]:
    """What is tried for many texts and for one, the runtime's own rule first.

    For many: streams that share all cores; and so many streams of one thread as are fewer than the cores, which shows
    how speed grows with them, for texts of the usual length alone. For one: its threads.
    """
    counts = sorted({cores, *(2**power for power in range(cores.bit_length()) if 2**power <= cores)}, reverse=True)
    many = [RunSettings(cores, streams, cores, TOKENS_PER_BATCH) for streams in counts]
    many += [RunSettings(streams, streams, streams, TOKENS_PER_BATCH) for streams in counts[1:]]
    return {MANY: many, ONE: [RunSettings(cores, cores, threads, TOKENS_PER_BATCH) for threads in counts]}


def run(
    names: Sequence[str],
    groups: Sequence[str],
    by_use: Mapping[str, Sequence[RunSettings]],
    batch_tokens: Sequence[int],
    measure: Measure,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, RowSearch]:
    """Search for all rows at once, so that all are equally far when the time is used up. A row that fails is left out;
    the rounds say why.

    Args:
        names: Of the rows that foundry_runtime runs.
        groups: Of texts.
        by_use: The first candidates for each use, the rule first.
        batch_tokens: The sizes of a batch that are tried afterwards.
        seconds: After so many nothing begins.
    """
    places = [(use, group) for use in by_use for group in groups]
    rule = by_use[MANY][0]
    first = {
        (use, group): [
            settings
            for settings in by_use[use]
            if settings.threads == rule.threads or group == speeds.usual_group(groups)
        ]
        for use, group in places
    }
    searches = {name: RowSearch({place: list(first[place]) for place in places}, rule) for name in names}
    deadline, shuffle = clock() + seconds, random.Random(0).shuffle
    for number in range(PASSES):
        calls = [(name, trials) for name, row in searches.items() for trials in _by_layout(row)]
        shuffle(calls)
        # Everything is compared with the rule of the same row, so that comes first where there may be no time for all.
        calls.sort(key=lambda call: searches[call[0]].rule not in [trial.settings for trial in call[1]])
        for name, trials in calls:
            if clock() >= deadline:
                return searches
            if name not in searches:
                continue
            try:
                rates = measure(name, trials)
            except MeasurementFailed:
                del searches[name]
                continue
            for trial, rate in zip(trials, rates, strict=True):
                searches[name].note(trial, number, rate)
        for row in searches.values():
            row.halve()
            if number == 0:
                row.widen(batch_tokens)
    return searches


def _by_layout(row: RowSearch) -> list[list[Trial]]:
    """What is still tried, by what the file must be loaded anew for."""
    trials: dict[tuple[int, int, int], list[Trial]] = {}
    for (use, group), alive in row.alive.items():
        for settings in alive if len(alive) > 1 else ():  # with the rule alone, there is nothing to decide
            layout = settings.threads, settings.streams, settings.single_threads
            trials.setdefault(layout, []).append(Trial(use, group, settings))
    return list(trials.values())


def chosen(row: RowSearch) -> dict[str, dict[str, dict[str, int]]]:
    """The settings by use and group of texts, each with what the use depends on."""
    result: dict[str, dict[str, dict[str, int]]] = {}
    for use, group in row.alive:
        result.setdefault(use, {})[group] = _shown(use, row.chosen((use, group)))
    return result


def record(row: RowSearch, cores: int) -> speeds.Search:
    """What is written of a search."""
    trials: list[speeds.SettingTrial] = [
        {"use": use, "group": group, "settings": _shown(use, settings), "texts_per_second": series}
        for (use, group), of_place in row.rates.items()
        for settings, series in of_place.items()
    ]
    rule = {use: _shown(use, row.rule) for use in NAMES}
    return {"cores": cores, "rule": rule, "chosen": chosen(row), "trials": trials}


def _shown(use: str, settings: RunSettings) -> dict[str, int]:
    values: dict[str, Any] = asdict(settings)
    return {name: values[name] for name in NAMES[use]}
