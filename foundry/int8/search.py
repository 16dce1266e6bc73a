"""Find the fastest int8 graph that holds a budget: how close to torch it must stay.

Everything is tried in int8 first. When that does not hold the budget, each part of the graph is measured alone in int8;
those that cost the most closeness for the work they do go back to floating point, as few as hold the budget. The result
depends on closeness and on counted work alone, never on a clock, so it is the same on every run.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypedDict

import numpy as np

from foundry.base import files
from foundry.base.progress import say
from foundry.data import labelled
from foundry.data import texts as frozen_texts
from foundry.head import adding
from foundry.int8.settings import Budget, SearchLimits
from foundry.loading import loader
from foundry.loading.variant import LoadedVariant
from foundry.reference import closeness, reference, scoring, token_rows
from foundry.variants import naming, variant_folder
from foundry.variants.search_record import Search, Trial

INT8_GAIN = 2.0  # how much faster a product runs on integers, for the estimate
PART_STRIDE = 4  # a part that is measured alone is measured on every fourth text
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


def merged(parts: Sequence[Unit], limit: int) -> list[Unit]:
    """Neighbouring units put together until there are at most so many."""
    step = -(-len(parts) // max(limit, 1))
    groups = [parts[start : start + step] for start in range(0, len(parts), step)]
    return [
        Unit(group[0].name, frozenset().union(*(unit.products for unit in group)), sum(unit.size for unit in group))
        for group in groups
    ]


def estimated_speed(floating: int, total: int) -> float:
    """How much faster the products run than all in floating point, when so much of their work stays there."""
    return total / (floating + (total - floating) / INT8_GAIN)


class _Closeness(TypedDict):
    mean_cosine: float
    min_cosine: float
    mean_centred_cosine: float
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
        self._texts = [row["text"] for row in frozen_texts.read(evaluation.validation)]
        self._tasks: dict[str, labelled.Task] = (
            files.read_json(evaluation.tasks) if budget.task_ratio is not None else {}
        )
        self._until = time.monotonic() + limits.minutes * 60
        self.graph = variant_folder.prepare(scratch, folder, variant)
        self._float = loader.load(folder, naming.backend(variant))
        # Made of all texts, so that a part of them has the same passages as in the reference.
        self._items = self._float.items(self._texts)
        self.rows: list[Trial] = []
        self.stopped: str | None = None

    def may_go_on(self) -> bool:
        """Whether the limits allow one more trial; if not, `stopped` says which."""
        if len(self.rows) >= self._limits.trials:
            self.stopped = f"{self._limits.trials} trials were used up"
        elif time.monotonic() > self._until:
            self.stopped = f"{self._limits.minutes:g} minutes were used up"
        return self.stopped is None

    def run(self, setting: str, build: Build, in_float: frozenset[str], speed: float, every: int = 1) -> Trial:
        """Build a graph with these products in floating point and measure it, on every text or on one of `every`."""
        for path in self.graph.parent.iterdir():
            path.unlink()  # Not overwritten: the last graph may still be mapped into memory.
        build(self.graph, in_float)
        loaded = loader.load(self._folder, self._variant)
        measured = self._closeness(loaded, every)
        asked = self._budget.model_dump(exclude_none=True)
        trial: Trial = {
            "setting": setting,
            "in_float": sorted(in_float),
            "texts": len(self._texts[::every]),
            **measured,
            "holds": every == 1 and all(measured[key] >= value for key, value in asked.items()),  # type: ignore[literal-required]
            "estimated_speed": round(speed, 3),
            "measured_speed": self._speed(loaded) if every == 1 else None,
        }
        self.rows.append(trial)
        result = "holds" if trial["holds"] else f"mean cosine {trial['mean_cosine']:.5f}"
        say(f"  trial {len(self.rows)}: {setting}, {len(in_float)} products in float: {result}")
        return trial

    def _closeness(self, loaded: LoadedVariant, every: int) -> _Closeness:
        items = self._items[::every]
        expected = self._expected.rows_of(range(0, len(self._items), every))
        counts = self._expected.counts[::every]
        embeddings = self._expected.less_offsets(loaded.encode(items, self._expected.batch_size))
        cosine = np.nan_to_num(closeness.cosines(embeddings, expected), nan=-1.0)
        centred = np.nan_to_num(self._expected.centred_cosines(embeddings, expected), nan=-1.0)
        similarity = token_rows.similarities(np.nan_to_num(embeddings), counts)
        recall = closeness.recall_of_neighbours(similarity, token_rows.similarities(expected, counts))
        ratio = None
        if self._tasks and every == 1:
            other, batch_size = self._expected.other_side, self._expected.batch_size
            scores = scoring.score_tasks(loaded, batch_size, self._tasks, self._texts, embeddings, other)
            ratio = min((score / self._expected.scores[name] for name, score in scores.items()), default=None)
        return {
            "mean_cosine": float(cosine.mean()),
            "min_cosine": float(cosine.min()),
            "mean_centred_cosine": float(centred.mean()),
            "recall_at_10": float(recall.mean()),
            "task_ratio": ratio,
        }

    def _speed(self, loaded: LoadedVariant) -> float:
        """Throughput as a ratio to the exported graph's, in interleaved rounds."""

        def seconds(variant: LoadedVariant) -> float:
            started = time.perf_counter()
            variant.encode(self._items[:SPEED_TEXTS], self._expected.batch_size)
            return time.perf_counter() - started

        return round(median(seconds(self._float) / seconds(loaded) for _ in range(SPEED_ROUNDS)), 2)


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
        fastest = _find(trials, merged(parts, limits.trials // 2), builders)
        asked = budget.model_dump(exclude_none=True)
        result: Search = {
            "budget": asked,
            "chosen": fastest["setting"] if fastest else None,
            "in_float": fastest["in_float"] if fastest else [],
            "stopped": trials.stopped,
            "trials": trials.rows,
        }
        goal = ", ".join(f"{key} {value}" for key, value in asked.items())
        if fastest is None:
            reason = _why_none_holds(goal, asked, trials)
            variant_folder.skip(out, variant, reason, search=result)
            say(f"{out}: skipped, {reason}")
            return
        with files.replacing_folder(out) as partial:
            graph = variant_folder.prepare(partial, folder, variant)
            builders[fastest["setting"]](graph, frozenset(fastest["in_float"]))
            variant_folder.write_record(partial, folder, {variant_folder.HEAD: adding.add(partial, variant)})
            files.write_json(partial / variant_folder.SEARCHED, result)
    say(f"{out}: holds {goal} with {len(fastest['in_float'])} products in floating point")


def _why_none_holds(goal: str, asked: Mapping[str, float], trials: _Trials) -> str:
    """That no setting holds the budget, and what the best one reached."""
    best = max(trials.rows, key=lambda row: (row["texts"], row["mean_cosine"]))
    reached = ", ".join(f"{key} {best[key]:.7g}" for key in asked if best[key] is not None)  # type: ignore[literal-required]
    limit = f" ({trials.stopped})" if trials.stopped else ""
    return f"no setting holds {goal}; the best reached {reached}{limit}"


def _find(trials: _Trials, parts: Sequence[Unit], builders: Mapping[str, Build]) -> Trial | None:
    """The trial with the least work in floating point that holds the budget, or None."""
    total = sum(part.size for part in parts)

    def attempt(setting: str, floating: Sequence[Unit]) -> Trial | None:
        if not trials.may_go_on():
            return None
        in_float = frozenset().union(*(part.products for part in floating))
        speed = estimated_speed(sum(part.size for part in floating), total)
        return trials.run(setting, builders[setting], in_float, speed)

    all_int8 = [trial for setting in builders if (trial := attempt(setting, ())) is not None]
    if not all_int8 or any(trial["holds"] for trial in all_int8):
        return next((trial for trial in all_int8 if trial["holds"]), None)
    setting = max(all_int8, key=lambda trial: trial["mean_cosine"])["setting"]
    losses: dict[str, float] = {}
    for part in parts:
        if not trials.may_go_on():
            return None
        others = frozenset().union(*(other.products for other in parts if other is not part))
        speed = estimated_speed(total - part.size, total)
        alone = trials.run(setting, builders[setting], others, speed, every=PART_STRIDE)
        losses[part.name] = (1 - alone["mean_cosine"]) / part.size  # for the work that it does
    by_loss = sorted(parts, key=lambda part: -losses[part.name])
    best: Trial | None = None
    low, high = 1, len(by_loss) - 1  # how many of them in floating point; at least one stays in int8
    while low <= high:
        count = (low + high) // 2
        trial = attempt(setting, by_loss[:count])
        if trial is None:
            return best
        if trial["holds"]:
            best, high = trial, count - 1
        else:
            low = count + 1
    floating = by_loss[: high + 1] if best else []
    for part in sorted(floating, key=lambda part: -part.size):
        rest = [other for other in floating if other is not part]
        if best is None or not rest or (trial := attempt(setting, rest)) is None:
            break
        if trial["holds"]:
            best, floating = trial, rest
    return best
