"""Compare one variant with the frozen reference of torch in every way that counts, and give a verdict.

It measures and says. A variant that fails is a result, not an error: the others go on, and `publish` leaves it out,
unless `validate.on_failure` is `stop`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.loading.encoders import Query, items
from foundry.reference.closeness import (
    cosines,
)
from foundry.reference.reference import Reference
from foundry.reference.scoring import score_tasks
from foundry.validation import checking, results
from foundry.validation.settings import Thresholds, ValidateVariant
from foundry.variants import variant_folder

WORST = 10


def worst_texts(names: Sequence[str], embeddings: np.ndarray, expected: np.ndarray) -> list[results.WorstText]:
    """The texts that are furthest from torch, worst first; what is not a number is worst."""
    cosine = np.nan_to_num(cosines(embeddings, expected), nan=-1.0)
    order = np.argsort(cosine, kind="stable")[:WORST]
    return [{"text": names[index][:200], "cosine": float(cosine[index])} for index in order]


def measure(
    model: Any, chosen: list[str], tasks: dict[str, Task], expected: Reference, limits: Thresholds, batch_size: int
) -> dict[str, Any]:
    """Every check of a loaded variant, and what goes with them into the result."""
    of_pairs = loader.of_pairs(model)
    some, few = items(chosen, of_pairs), items(list(expected.hard.values()), of_pairs)
    embeddings = expected.centred(model.encode(some, batch_size=batch_size, show_progress_bar=False))
    hard = expected.centred(model.encode(few, batch_size=1, show_progress_bar=False))
    # After the first texts, as in the reference: some modules learn their own width from them.
    checks = checking.integrity(model, expected, some, few)
    checks += checking.parity(embeddings, expected.embeddings, limits)
    if embeddings.shape != expected.embeddings.shape:
        return {"checks": checks}
    names = [*chosen, *(f"hard text: {name}" for name in expected.hard)]
    worst = worst_texts(
        names, np.vstack([embeddings, hard]), np.vstack([expected.embeddings, expected.hard_embeddings])
    )
    checks += checking.hard_parity(hard, expected, limits)
    if expected.facts["kind"] == "SparseEncoder":
        checks.append(checking.active_dimensions(embeddings, expected.embeddings, limits))
    if isinstance(some[0], Query):
        shape = (len(some), len(some[0].passages), -1)
        checks.append(checking.passage_order(embeddings.reshape(shape), expected.embeddings.reshape(shape), limits))
    found, changed_values = checking.contexts(model, chosen, expected)
    checks += checking.consistency(found, changed_values, limits)
    if np.isfinite(embeddings).all():  # without, no ranking and no score means anything, and the variant has failed
        checks += checking.ranking(embeddings, expected.embeddings, limits)
        scores = score_tasks(model, batch_size, tasks, chosen, embeddings)
        checks += checking.task_ratios(scores, expected, limits)
    return {
        "checks": checks,
        "worst": worst,
        "contexts": {name: {"mean": float(row.mean()), "min": float(row.min())} for name, row in found.items()},
    }


def validate(
    folder: Path,
    variant: str,
    chosen: list[str],
    tasks: dict[str, Task],
    expected: Reference,
    settings: ValidateVariant,
) -> results.Validation:
    """The verdict on one variant, for the bytes whose hashes stand beside it."""
    base: results.Validation = {
        "variant": variant,
        "precision": settings.precision,
        "verdict": "skipped",
        "reason": variant_folder.skipped(folder),
        "texts": len(chosen),
        "vocabulary": f"{expected.vocabulary_covered} of {expected.vocabulary_size}",
        "checks": [],
        "worst": [],
        "contexts": {},
        "search": variant_folder.search_result(folder),
        "built": variant_folder.built(folder),
        "facts": expected.facts,
        "files": {},
    }
    if base["reason"] is not None:
        return base
    base["files"] = dict(variant_folder.hashes(folder))
    limits, batch_size = settings.thresholds, settings.batch_size
    try:
        model = loader.load(folder, variant)
        measured = measure(model, chosen, tasks, expected, limits, batch_size)
    except loader.load_errors() as error:
        reason = f"it does not load or run: {type(error).__name__} {error}".splitlines()[0][:500]
        return {**base, "verdict": "failed", "reason": reason}
    # Hashed again after it was loaded and run: what was measured is what was hashed.
    after = dict(variant_folder.hashes(folder))
    changed = sum(after.get(name) != digest for name, digest in base["files"].items())
    checks = [checking.at_most("changed_files", changed, 0), *measured.pop("checks")]
    verdict = "passed" if all(row["passed"] for row in checks) else "failed"
    return {**base, **measured, "checks": checks, "verdict": verdict}  # type: ignore[typeddict-item]
