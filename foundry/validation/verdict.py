"""Compare one variant with the frozen reference of torch in every way that counts, and give a verdict.

A variant that fails is a result, not an error: the others go on, and `publish` leaves it out,
unless `validate.on_failure` is `stop`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.loading.variant import LoadedVariant
from foundry.reference import scripts, token_rows
from foundry.reference.closeness import cosines
from foundry.reference.coverage import Coverage
from foundry.reference.reference import Reference
from foundry.validation import (
    checks,
    consistency,
    fitting,
    integrity,
    lengths,
    measurements,
    precision,
    processors,
    queries,
    results,
    runtime,
    vocabulary,
)
from foundry.validation.measurements import Measurements
from foundry.validation.settings import Thresholds, ValidateVariant
from foundry.variants import naming, variant_folder
from foundry.variants.precisions import Device, FurtherPrecision, InferencePrecision

WORST_TEXTS = 10
# The checks of what a model reads.
OF_TOKENS = ("different_tokens", "different_max_length")


def validate(
    folder: Path,
    variant: str,
    texts: list[str],
    tasks: dict[str, Task],
    expected: Reference,
    settings: ValidateVariant,
    computed_here: Sequence[FurtherPrecision] = (),
    on_cuda: Mapping[str, Sequence[InferencePrecision]] | None = None,
) -> results.Validation:
    """The verdict on one variant, for the bytes whose hashes stand beside it.

    Args:
        computed_here: The precisions beside f32 that this machine's processor computes in.
        on_cuda: Those that each backend computes in on its NVIDIA GPU, where it has one.
    """
    result: results.Validation = {
        "variant": variant,
        "precision": settings.precision,
        "verdict": "skipped",
        "reason": variant_folder.skipped(folder),
        "texts": len(texts),
        "vocabulary": f"{expected.vocabulary_covered} of {expected.vocabulary_size}",
        "inputs": None,
        "uncovered_scripts": scripts.uncovered(expected.scripts),
        "checks": [],
        "worst": [],
        "contexts": {},
        "precisions": {},
        "cuda": {},
        "processors": {},
        "saturation": None,
        "runtime": None,
        "search": variant_folder.search_result(folder),
        "built": variant_folder.built(folder),
        "facts": expected.facts,
        "files": {},
    }
    if result["reason"] is not None:
        return result
    result["files"] = dict(variant_folder.hashes(folder))
    if unknown := integrity.unknown_files(folder, variant):
        result["verdict"] = "failed"
        result["reason"] = f"{unknown[0]} is not among the files that are published with this variant"
        return result
    expected = fitting.what_fits(folder, variant, expected, settings.batch_size)
    try:
        loaded = loader.load(folder, variant)
        rows = vocabulary.compare(folder, variant, loaded, expected.coverage, settings.thresholds)
        columns = vocabulary.wrong_columns(loaded, expected.coverage, settings.thresholds)
        all_words = not vocabulary.has_words(rows, expected.coverage)
        measured = measurements.measure(loaded, texts, tasks, expected, settings.batch_size, all_words)
        against_reference = [
            *checks.all_checks(measured, expected, settings.thresholds),
            *vocabulary.rows_as_torch(rows, columns),
            *queries.checks(loaded, texts, expected),
        ]
        is_graph = naming.backend(variant) != "torch" and measured.is_comparable(expected)
        # With other tokens than torch's it has failed already, and no tokenizer could be published with it.
        if is_graph and all(check["passed"] for check in against_reference if check["check"] in OF_TOKENS):
            is_close = all(check["passed"] for check in against_reference)
            result["runtime"], made = runtime.try_runtime(
                folder, variant, loaded, texts, expected, settings.thresholds, settings.precision, is_close
            )
            against_reference += made
        verdicts, saturation = processors.judge(folder, variant, texts, tasks, expected, settings, against_reference)
    except Exception as error:  # noqa: BLE001  # whatever a variant does is its own verdict, and ends no other
        result["verdict"] = "failed"
        result["reason"] = results.why_not_run(error)
        return result
    if all(check["passed"] for check in against_reference):

        def judge(
            loaded: LoadedVariant, limits: Thresholds, precision: InferencePrecision, device: Device
        ) -> list[results.Check]:
            again = measurements.measure(loaded, texts, tasks, expected, settings.batch_size, all_words)
            columns = vocabulary.wrong_columns(loaded, expected.coverage, limits)
            # The rows are the file's, wherever and in whatever precision it is computed.
            return [
                *checks.all_checks(again, expected, limits),
                *vocabulary.rows_as_torch(rows, columns),
                *runtime.in_precision(folder, variant, loaded, texts, expected, limits, precision, device),
            ]

        result["precisions"] = precision.verdicts(folder, variant, settings.precisions, computed_here, judge)
        result["cuda"] = precision.verdicts_on_cuda(folder, variant, settings.cuda, on_cuda or {}, judge)
    # Hashed again after it was loaded and run: what was measured is what was hashed.
    after = dict(variant_folder.hashes(folder))
    changed_files = sum(after.get(name) != digest for name, digest in result["files"].items())
    result["checks"] = [results.at_most("changed_files", changed_files, 0), *against_reference]
    # It passed where it holds on one family of processors; on which ones, its readers look up.
    passes_somewhere = any(own["verdict"] == "passed" for own in verdicts.values())
    result["verdict"] = "passed" if passes_somewhere and result["checks"][0]["passed"] else "failed"
    result["processors"], result["saturation"] = verdicts, saturation
    if measured.is_comparable(expected):
        result["worst"] = worst_of_all_texts(texts, measured, expected)
    result["contexts"] = {
        name: {"mean": float(cosine.mean()), "min": float(cosine.min())}
        for name, cosine in {**measured.batch_cosines, **measured.length_cosines}.items()
    }
    result["inputs"] = inputs(measured, rows, expected, settings.batch_size)
    return result


def inputs(
    measured: Measurements, rows: Mapping[str, vocabulary.Rows], expected: Reference, batch_size: int
) -> results.Inputs:
    """What the variant was asked for."""
    covered = expected.coverage if measured.length_cosines else Coverage()
    tokens = [text.tokens for text in covered.texts]
    sizes = {1, batch_size, consistency.BATCH_TEXTS}
    if len(measured.sequence_cosines):
        sizes |= set(consistency.SEQUENCE_BATCHES)
    return {
        "lengths": tokens,
        "in_equal_batches": [tokens[place] for place in lengths.equal_batches(covered)],
        "in_unequal_batches": [tokens[place] for place, _ in lengths.unequal_batches(covered)],
        "lengths_left_out": expected.coverage.lengths_left_out,
        "hard_texts_left_out": expected.hard_texts_left_out,
        "batch_sizes": sorted(sizes),
        "rows": {
            name: "not found in the graph" if table.wrong is None else f"{table.rows} of {table.rows}"
            for name, table in rows.items()
        },
        "words": f"{measured.words} of {expected.vocabulary_size}",
    }


def worst_of_all_texts(texts: Sequence[str], measured: Measurements, expected: Reference) -> list[results.WorstText]:
    """The texts, hard ones included, that are furthest from torch."""
    return worst_texts(
        [*texts, *(f"hard text: {name}" for name in expected.hard_texts)],
        np.vstack([measured.embeddings, measured.hard_embeddings]),
        np.vstack([expected.embeddings, expected.hard_embeddings]),
        [*expected.counts, *expected.hard_counts],
    )


def worst_texts(
    names: Sequence[str], embeddings: np.ndarray, expected: np.ndarray, counts: Sequence[int] = ()
) -> list[results.WorstText]:
    """The names of the texts that are furthest from torch, worst first; a cosine that is not a number is worst. Of a
    text with a row for each token, as many as `counts` say, its worst token stands for it."""
    cosine = token_rows.per_text(np.nan_to_num(cosines(embeddings, expected), nan=-1.0), counts, worst=True)
    order = np.argsort(cosine, kind="stable")[:WORST_TEXTS]
    return [{"text": names[index][:200], "cosine": float(cosine[index])} for index in order]
