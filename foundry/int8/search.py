"""Find the fastest int8 graph that holds a budget: how close to torch it must stay.

Everything is tried in int8 first. When that does not hold the budget, each part of the graph is measured alone in int8;
those that cost the most closeness for the work they do go back to floating point, as few as hold the budget. What is
chosen depends on closeness and on counted work alone, never on a clock, so it is the same on every run.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypedDict

import numpy as np

from foundry.base import files
from foundry.base.progress import say
from foundry.data import labelled, texts
from foundry.int8.search_record import Search, Trial
from foundry.int8.settings import Budget, SearchLimits
from foundry.loading import loader
from foundry.loading.encoders import items
from foundry.reference import closeness, reference, scoring
from foundry.variants import naming, variant_folder

INT8_GAIN = 2.0  # how much faster a product runs on integers, for the estimate
EVERY = 4  # alone, a part is measured on every fourth text
SPEED_TEXTS = 32
SPEED_ROUNDS = 3

# Writes the graph to a path, with the named products in floating point.
Build = Callable[[Path, frozenset[str]], None]


@dataclass(frozen=True)
class EvaluationData:
    """What a searched graph is measured on: the validation texts and tasks, and torch's results on them."""

    reference: Path
    validation: Path
    tasks: Path


@dataclass(frozen=True)
class Unit:
    """Products that go to floating point together, because they share their input."""

    name: str
    products: frozenset[str]
    size: int  # multiplications for each token


def units(rows: Iterable[tuple[str, str, int]]) -> list[Unit]:
    """Units from rows of input, product and size."""
    by_input: dict[str, list[tuple[str, int]]] = {}
    for source, product, size in rows:
        by_input.setdefault(source, []).append((product, size))
    return [
        Unit(group[0][0], frozenset(name for name, _ in group), sum(size for _, size in group))
        for group in by_input.values()
    ]


def merged(parts: Sequence[Unit], most: int) -> list[Unit]:
    """Neighbouring units put together until there are at most so many."""
    step = -(-len(parts) // max(most, 1))
    groups = [parts[start : start + step] for start in range(0, len(parts), step)]
    return [
        Unit(group[0].name, frozenset().union(*(one.products for one in group)), sum(one.size for one in group))
        for group in groups
    ]


def estimated_speed(floating: int, total: int) -> float:
    """How much faster the products run than all in floating point, when so much of their work stays there."""
    return total / (floating + (total - floating) / INT8_GAIN)


class _Closeness(TypedDict):
    mean_cosine: float
    min_cosine: float
    recall_at_10: float
    task_ratio: float | None


class _Trials:
    """Builds and measures graphs, and keeps count."""

    def __init__(
        self,
        variant: str,
        folder: Path,
        evaluation: EvaluationData,
        budget: Budget,
        limits: SearchLimits,
        scratch: Path,
    ) -> None:
        self._variant, self._budget, self._limits, self._folder = variant, budget, limits, scratch
        self._expected = reference.read(evaluation.reference)
        self._texts = [row["text"] for row in texts.read(evaluation.validation)]
        self._tasks: dict[str, labelled.Task] = (
            files.read_json(evaluation.tasks) if budget.task_ratio is not None else {}
        )
        self._until = time.monotonic() + limits.minutes * 60
        self.graph = variant_folder.prepare(scratch, folder, variant)
        self._float = loader.load(folder, naming.backend(variant))
        # Of all texts, so that a part of them has the same passages as in the reference.
        self._items = items(self._texts, loader.of_pairs(self._float))
        self.rows: list[Trial] = []
        self.stopped: str | None = None

    def may_go_on(self) -> bool:
        """Whether the limits allow one more trial; if not, `stopped` says which."""
        if len(self.rows) >= self._limits.trials:
            self.stopped = f"{self._limits.trials} trials were used up"
        elif time.monotonic() > self._until:
            self.stopped = f"{self._limits.minutes:g} minutes were used up"
        return self.stopped is None

    def run(self, label: str, build: Build, excluded: frozenset[str], speed: float, every: int = 1) -> Trial:
        """Build a graph and measure it, on every text or on a part of them."""
        for path in self.graph.parent.iterdir():
            path.unlink()  # not overwritten: the last graph may still be mapped into memory
        build(self.graph, excluded)
        model = loader.load(self._folder, self._variant)
        closeness = self._closeness(model, every)
        asked = self._budget.model_dump(exclude_none=True)
        trial: Trial = {
            "setting": label,
            "in_float": sorted(excluded),
            "texts": len(self._texts[::every]),
            **closeness,
            "holds": every == 1 and all(closeness[key] >= value for key, value in asked.items()),  # type: ignore[literal-required]
            "estimated_speed": round(speed, 3),
            "measured_speed": self._speed(model) if every == 1 else None,
        }
        self.rows.append(trial)
        verdict = "holds" if trial["holds"] else f"mean cosine {trial['mean_cosine']:.5f}"
        say(f"  trial {len(self.rows)}: {label}, {len(excluded)} products in float: {verdict}")
        return trial

    def _closeness(self, model: Any, every: int) -> _Closeness:
        some, expected = self._texts[::every], self._expected.embeddings[::every]
        chosen = self._items[::every]
        encoded = model.encode(chosen, batch_size=self._expected.batch_size, show_progress_bar=False)
        rows = self._expected.centred(encoded)
        cosine = np.nan_to_num(closeness.cosines(rows, expected), nan=-1.0)
        own, theirs = closeness.similarities(np.nan_to_num(rows)), closeness.similarities(expected)
        ratio = None
        if self._tasks and every == 1:
            scores = scoring.score_tasks(model, self._expected.batch_size, self._tasks, some, rows)
            ratio = min(value / self._expected.scores[name] for name, value in scores.items())
        return {
            "mean_cosine": float(cosine.mean()),
            "min_cosine": float(cosine.min()),
            "recall_at_10": float(closeness.recall_of_neighbours(own, theirs).mean()),
            "task_ratio": ratio,
        }

    def _speed(self, model: Any) -> float:
        """Throughput as a ratio to the exported graph's, in interleaved rounds."""
        some = self._items[:SPEED_TEXTS]

        def seconds(one: Any) -> float:
            started = time.perf_counter()
            one.encode(some, batch_size=self._expected.batch_size, show_progress_bar=False)
            return time.perf_counter() - started

        return round(median(seconds(self._float) / seconds(model) for _ in range(SPEED_ROUNDS)), 2)


def search(
    variant: str,
    folder: Path,
    parts: Sequence[Unit],
    builders: Mapping[str, Build],
    evaluation: EvaluationData,
    budget: Budget,
    limits: SearchLimits,
    out: Path,
) -> None:
    """Write the variant's folder with the fastest graph that holds the budget and what was tried; or, where none
    does, a skipped variant with the best that was reached.

    `folder` is that of the exported graph, and `builders` the settings to try, by what they are called.
    """
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        trials = _Trials(variant, folder, evaluation, budget, limits, Path(scratch))
        found = _find(trials, merged(parts, limits.trials // 2), builders)
        asked = budget.model_dump(exclude_none=True)
        result: Search = {
            "budget": asked,
            "chosen": found["setting"] if found else None,
            "in_float": found["in_float"] if found else [],
            "stopped": trials.stopped,
            "trials": trials.rows,
        }
        wanted = ", ".join(f"{key} {value}" for key, value in asked.items())
        if found is None:
            best = max(trials.rows, key=lambda row: (row["texts"], row["mean_cosine"]))
            reached = ", ".join(f"{key} {best[key]:.7g}" for key in asked if best[key] is not None)  # type: ignore[literal-required]
            reason = f"no setting holds {wanted}; the best reached {reached}" + (
                f" ({trials.stopped})" if trials.stopped else ""
            )
            variant_folder.skip(out, variant, reason, search=result)
            say(f"{out}: skipped, {reason}")
            return
        with files.replacing_folder(out) as partial:
            builders[found["setting"]](variant_folder.prepare(partial, folder, variant), frozenset(found["in_float"]))
            files.write_json(partial / variant_folder.SEARCHED, result)
    say(f"{out}: holds {wanted} with {len(found['in_float'])} products in floating point")


def _find(trials: _Trials, parts: Sequence[Unit], builders: Mapping[str, Build]) -> Trial | None:
    """The trial with the least work in floating point that holds the budget, or None."""
    total = sum(part.size for part in parts)

    def attempt(label: str, floating: Sequence[Unit]) -> Trial | None:
        if not trials.may_go_on():
            return None
        excluded = frozenset().union(*(part.products for part in floating))
        speed = estimated_speed(sum(part.size for part in floating), total)
        return trials.run(label, builders[label], excluded, speed)

    whole = [one for label in builders if (one := attempt(label, ())) is not None]
    if not whole or any(one["holds"] for one in whole):
        return next((one for one in whole if one["holds"]), None)
    label = max(whole, key=lambda one: one["mean_cosine"])["setting"]

    def loss_per_work(part: Unit) -> float:
        others = frozenset().union(*(one.products for one in parts if one is not part))
        trial = trials.run(label, builders[label], others, estimated_speed(total - part.size, total), every=EVERY)
        return (1 - trial["mean_cosine"]) / part.size

    losses: dict[str, float] = {}
    for part in parts:
        if not trials.may_go_on():
            return None
        losses[part.name] = loss_per_work(part)
    order = sorted(parts, key=lambda part: -losses[part.name])
    best: Trial | None = None
    low, high = 1, len(order) - 1  # how many of them in floating point; at least one stays in int8
    while low <= high:
        count = (low + high) // 2
        trial = attempt(label, order[:count])
        if trial is None:
            return best
        if trial["holds"]:
            best, high = trial, count - 1
        else:
            low = count + 1
    floating = order[: high + 1] if best else []
    for part in sorted(floating, key=lambda part: -part.size):
        rest = [one for one in floating if one is not part]
        if best is None or not rest or (trial := attempt(label, rest)) is None:
            break
        if trial["holds"]:
            best, floating = trial, rest
    return best
