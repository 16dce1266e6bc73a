"""Rows of texts that have one for each token: what of them is broken is seen."""

from typing import Any

import numpy as np
import pytest

from foundry.reference import token_rows
from foundry.reference.reference import Reference
from foundry.validation import checks, parity
from foundry.validation.measurements import Closeness
from foundry.validation.settings import Thresholds

COUNTS = [3, 5, 2, 7, 4, 6, 3, 5, 4, 8, 6, 5]
LIMITS: Any = Thresholds.model_construct(
    mean_cosine=0.99, p5_cosine=0.9, p1_cosine=0.9, min_cosine=0.9, max_abs_diff=0.5, mean_centred_cosine=0.99,
    p5_centred_cosine=0.9, p1_centred_cosine=0.9, min_centred_cosine=0.9, hard_min_cosine=0.9, recall_at_10=0.95,
    similarity_spearman=0.95,
)  # fmt: skip


def unit_rows(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def expected() -> Reference:
    rows, hard = unit_rows(sum(COUNTS)), unit_rows(4, seed=1)
    return Reference(
        embeddings=rows, hard_texts={"one": "a", "two": "b"}, hard_embeddings=hard, tokens=[[1]] * (len(COUNTS) + 2),
        facts={"kind": "MultiVectorEncoder"},  # type: ignore[typeddict-item]
        scores={}, vocabulary_size=1, scripts={}, batch_size=1, offsets=[], counts=COUNTS, hard_counts=[1, 3],  # type: ignore[arg-type,typeddict-item]
    )  # fmt: skip


def failed(rows: np.ndarray, counts: list[int], hard: np.ndarray | None = None) -> set[str]:
    reference = expected()
    hard = reference.hard_embeddings if hard is None else hard
    measured = Closeness(rows, hard, None, counts, [1, 3])
    return {check["check"] for check in checks.closeness_checks(measured, reference, LIMITS) if not check["passed"]}


def test_torchs_own_vectors_pass() -> None:
    assert failed(unit_rows(sum(COUNTS)), COUNTS) == set()


@pytest.mark.parametrize("place", [0, 20, 57])
def test_a_single_broken_vector_is_seen(place: int) -> None:
    rows = unit_rows(sum(COUNTS))
    rows[place] = -rows[place]
    assert {"min_cosine", "min_centred_cosine"} <= failed(rows, COUNTS)


def test_other_numbers_of_tokens_are_seen() -> None:
    rows = unit_rows(sum(COUNTS))
    assert failed(rows[1:], [2, *COUNTS[1:]]) == {"texts_of_other_lengths"}
    assert failed(rows, [2, 6, *COUNTS[2:]]) == {"texts_of_other_lengths"}  # as many in all


def test_documents_in_another_order_are_seen() -> None:
    rows = unit_rows(sum(COUNTS))
    shuffled = np.concatenate(token_rows.split(rows, COUNTS)[::-1])
    made = parity.ranking(shuffled, rows, LIMITS, COUNTS[::-1])
    assert [check["passed"] for check in made] == [False, False]
    assert [check["passed"] for check in parity.ranking(rows, rows, LIMITS, COUNTS)] == [True, True]


def test_rows_of_some_texts() -> None:
    rows, reference = unit_rows(sum(COUNTS)), expected()
    assert np.array_equal(reference.rows_of([1, 0]), np.concatenate([rows[3:8], rows[:3]]))
    kept = reference.without_hard_texts(["one"])
    assert kept.hard_counts == [3]
    assert np.array_equal(kept.hard_embeddings, reference.hard_embeddings[1:])
    assert token_rows.per_text(np.array([1.0, 0.0, 0.5, 0.7]), [2, 2]).tolist() == [0.5, 0.6]
    assert token_rows.per_text(np.array([1.0, 0.0, 0.5, 0.7]), [2, 2], worst=True).tolist() == [0.0, 0.5]
    assert token_rows.per_text(np.array([1.0, 0.0]), []).tolist() == [1.0, 0.0]


def test_similarities_are_max_sim() -> None:
    rows = unit_rows(sum(COUNTS))
    parts = token_rows.split(rows, COUNTS)
    matrix = token_rows.similarities(rows, COUNTS)
    assert matrix[2, 3] == pytest.approx((parts[2] @ parts[3].T).max(axis=1).mean(), abs=1e-6)
    assert len(token_rows.compared([1] * 1000)) == token_rows.COMPARED_TEXTS
