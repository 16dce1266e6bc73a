"""All checks of a variant against the reference, in the order of its result.

To add a check, write a function that gives a `Check` in the file of its subject, put it into the list below, and its
threshold into settings.py. What it needs of the variant is measured in measurements.py.
"""

import numpy as np

from foundry.reference.reference import Reference
from foundry.validation import consistency, integrity, lengths, parity, vocabulary
from foundry.validation.measurements import Closeness, Measurements
from foundry.validation.results import Check
from foundry.validation.settings import Thresholds


def all_checks(measured: Measurements, expected: Reference, limits: Thresholds) -> list[Check]:
    """Every check that can be made on what was measured.

    Embeddings of another shape than torch's compare with nothing, and those that are not finite rank nothing; either
    way a check has failed already.
    """
    embeddings = measured.embeddings
    checks = [
        *integrity.same_model(measured.tokens, measured.facts, expected),
        integrity.inputs_given(measured.missing_inputs),
        *_values(measured, expected),
    ]
    if not measured.is_comparable(expected):
        return checks
    checks += _of_texts(measured, expected, limits)
    checks += lengths.checks(measured.length_cosines, limits)
    checks += vocabulary.sequences_as_torch(measured.sequence_cosines, limits)
    checks += _of_kind(measured, measured.facts["kind"], expected, limits)
    checks += consistency.batches(measured.batch_cosines, measured.values_changed_on_repeat, limits)
    if np.isfinite(embeddings).all():
        checks += parity.ranking(embeddings, expected.embeddings, limits, expected.counts)
        checks += parity.between_sides(embeddings, expected, limits)
        checks += parity.task_ratios(measured.scores, expected.scores, limits)
    return checks


def closeness_checks(measured: Closeness, expected: Reference, limits: Thresholds) -> list[Check]:
    """Those of the checks that say how close embeddings are to torch's, each text in one batch."""
    embeddings = measured.embeddings
    checks = _values(measured, expected)
    if not measured.is_comparable(expected):
        return checks
    checks += _of_texts(measured, expected, limits)
    checks += _of_kind(measured, expected.facts["kind"], expected, limits)
    if np.isfinite(embeddings).all():
        checks += parity.ranking(embeddings, expected.embeddings, limits, expected.counts)
        checks += parity.between_sides(embeddings, expected, limits)
    return checks


def _values(measured: Closeness, expected: Reference) -> list[Check]:
    """That there are as many vectors as torch's, with as many dimensions, and no NaN or infinity."""
    checks = parity.values(measured.embeddings, expected.embeddings)
    if expected.counts:
        checks.append(parity.texts_of_other_lengths(measured.texts_of_other_lengths(expected)))
    return checks


def _of_texts(measured: Closeness, expected: Reference, limits: Thresholds) -> list[Check]:
    """Closeness on the validation texts, plain and centred, and on the hard texts."""
    embeddings, hard_embeddings = measured.embeddings, measured.hard_embeddings
    return [
        *parity.closeness(embeddings, expected.embeddings, limits, expected.counts),
        *parity.centred_closeness(expected.centred_cosines(embeddings, expected.embeddings), limits, expected.counts),
        *parity.hard_texts(
            hard_embeddings, expected.centred_cosines(hard_embeddings, expected.hard_embeddings), limits
        ),
    ]


def _of_kind(measured: Closeness, kind: str, expected: Reference, limits: Thresholds) -> list[Check]:
    """What is compared of a SparseEncoder or a CrossEncoder alone."""
    embeddings = measured.embeddings
    checks = []
    if kind == "SparseEncoder":
        checks.append(parity.active_dimensions(embeddings, expected.embeddings, limits))
    if measured.passages is not None:
        shape = (len(embeddings), measured.passages, -1)
        checks.append(parity.passage_order(embeddings.reshape(shape), expected.embeddings.reshape(shape), limits))
    return checks
