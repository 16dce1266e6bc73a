"""Compare one variant with the frozen reference of torch in every way that counts, and give a verdict.

A variant that fails is a result, not an error: the others go on, and `publish` leaves it out,
unless `validate.on_failure` is `stop`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.loading.variant import LoadedVariant
from foundry.reference.closeness import cosines
from foundry.reference.reference import Reference
from foundry.validation import checks, measurements, precision, results
from foundry.validation.measurements import Measurements
from foundry.validation.settings import Thresholds, ValidateVariant
from foundry.variants import variant_folder
from foundry.variants.precisions import FurtherPrecision

WORST_TEXTS = 10


def validate(
    folder: Path,
    variant: str,
    texts: list[str],
    tasks: dict[str, Task],
    expected: Reference,
    settings: ValidateVariant,
    computed_here: Sequence[FurtherPrecision] = (),
) -> results.Validation:
    """The verdict on one variant, for the bytes whose hashes stand beside it.

    `computed_here` are the precisions beside f32 that this machine computes in.
    """
    result: results.Validation = {
        "variant": variant,
        "precision": settings.precision,
        "verdict": "skipped",
        "reason": variant_folder.skipped(folder),
        "texts": len(texts),
        "vocabulary": f"{expected.vocabulary_covered} of {expected.vocabulary_size}",
        "checks": [],
        "worst": [],
        "contexts": {},
        "precisions": {},
        "search": variant_folder.search_result(folder),
        "built": variant_folder.built(folder),
        "facts": expected.facts,
        "files": {},
    }
    if result["reason"] is not None:
        return result
    result["files"] = dict(variant_folder.hashes(folder))
    try:
        loaded = loader.load(folder, variant)
        measured = measurements.measure(loaded, texts, tasks, expected, settings.batch_size)
        against_reference = checks.all_checks(measured, expected, settings.thresholds)
    except Exception as error:  # noqa: BLE001  # whatever a variant does is its own verdict, and ends no other
        result["verdict"] = "failed"
        result["reason"] = results.why_not_run(error)
        return result
    if all(check["passed"] for check in against_reference):

        def judge(loaded: LoadedVariant, limits: Thresholds) -> list[results.Check]:
            again = measurements.measure(loaded, texts, tasks, expected, settings.batch_size)
            return checks.all_checks(again, expected, limits)

        result["precisions"] = precision.verdicts(folder, variant, settings.precisions, computed_here, judge)
    # Hashed again after it was loaded and run: what was measured is what was hashed.
    after = dict(variant_folder.hashes(folder))
    changed_files = sum(after.get(name) != digest for name, digest in result["files"].items())
    result["checks"] = [results.at_most("changed_files", changed_files, 0), *against_reference]
    result["verdict"] = "passed" if all(check["passed"] for check in result["checks"]) else "failed"
    if measured.embeddings.shape == expected.embeddings.shape:
        result["worst"] = worst_of_all_texts(texts, measured, expected)
    result["contexts"] = {
        name: {"mean": float(cosine.mean()), "min": float(cosine.min())}
        for name, cosine in measured.batch_cosines.items()
    }
    return result


def worst_of_all_texts(texts: Sequence[str], measured: Measurements, expected: Reference) -> list[results.WorstText]:
    """The texts, hard ones included, that are furthest from torch."""
    return worst_texts(
        [*texts, *(f"hard text: {name}" for name in expected.hard_texts)],
        np.vstack([measured.embeddings, measured.hard_embeddings]),
        np.vstack([expected.embeddings, expected.hard_embeddings]),
    )


def worst_texts(names: Sequence[str], embeddings: np.ndarray, expected: np.ndarray) -> list[results.WorstText]:
    """The names of the texts that are furthest from torch, worst first; a cosine that is not a number is worst."""
    cosine = np.nan_to_num(cosines(embeddings, expected), nan=-1.0)
    order = np.argsort(cosine, kind="stable")[:WORST_TEXTS]
    return [{"text": names[index][:200], "cosine": float(cosine[index])} for index in order]
