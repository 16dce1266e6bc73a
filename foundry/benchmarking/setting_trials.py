"""What a child of a fork server measures for the search: one file by foundry_runtime, in several settings."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundry_runtime.run_settings import ONE, RunSettings

from foundry.benchmarking.by_runtime import FEWEST_BATCHES, cycled
from foundry.loading.by_foundry_runtime import open_model, rows_of
from foundry.loading.items import make_items
from foundry.variants import checkpoint_folder
from foundry.variants.precisions import InferencePrecision

SINGLES = 3  # texts that are timed one by one


class Trial(NamedTuple):
    """A setting that is tried, for a use and a group of texts."""

    use: str
    group: str
    settings: RunSettings


class Texts(NamedTuple):
    """Texts of one length."""

    texts: Sequence[str]
    tokens_per_text: float


def measure(
    folder: Path,
    variant: str,
    precision: InferencePrecision,
    tokenizer: Mapping[str, Path],
    trials: Sequence[Trial],
    groups: Mapping[str, Texts],
    give_up: float,
) -> list[float | None]:
    """Texts per second by each of several settings with the same threads and streams; None of those that did not begin
    within `give_up` seconds.

    Each is run on half of the texts before it is timed, because runtimes prepare themselves for new shapes of input.
    """
    kind = checkpoint_folder.kind(folder)
    first = trials[0].settings
    model = open_model(
        folder, variant, kind, precision, tokenizer,
        threads=first.threads, streams=first.streams, single_threads=first.single_threads,
    )  # fmt: skip
    deadline = time.perf_counter() + give_up
    rates: list[float | None] = []
    for trial in trials:
        model.run_settings = trial.settings
        calls = _calls(make_items(groups[trial.group].texts, kind, 1), trial, groups[trial.group].tokens_per_text)
        if rates and time.perf_counter() > deadline:
            rates.append(None)
            continue
        for call in calls[: len(calls) // 2] or [calls[0][: len(calls[0]) // 2 + 1]]:
            rows_of(model, call, None)
        started = time.perf_counter()
        for call in calls:
            rows_of(model, call, None)
        rates.append(sum(map(len, calls)) / (time.perf_counter() - started))
    return rates


def _calls(items: Sequence[Any], trial: Trial, tokens_per_text: float) -> list[list[Any]]:
    """What is encoded at once: single texts, or so many that each stream has its batches."""
    if trial.use == ONE:
        return [[item] for item in items[:SINGLES]]
    tokens = FEWEST_BATCHES * trial.settings.streams * trial.settings.batch_tokens
    count = max(round(tokens / max(tokens_per_text, 1)), FEWEST_BATCHES)
    return [cycled(items, count)]
