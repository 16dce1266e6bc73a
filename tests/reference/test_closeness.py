"""Closeness of embeddings, on arrays with known answers."""

import numpy as np
import pytest

from foundry.reference import closeness


def test_the_interval_holds_the_mean_and_narrows_with_more_texts() -> None:
    values = np.random.default_rng(1).normal(0.99, 0.01, size=400)
    low, high = closeness.bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    fewer = closeness.bootstrap_interval(values[:25])
    assert fewer[1] - fewer[0] > 2 * (high - low)
    assert closeness.bootstrap_interval(values) == (low, high)


def test_cosines() -> None:
    left = np.array([[1, 0], [1, 1], [0, 0], [0, 0]], dtype=np.float32)
    right = np.array([[0, 1], [2, 2], [0, 0], [1, 0]], dtype=np.float32)
    assert closeness.cosines(left, right) == pytest.approx([0, 1, 1, 0])


def test_neighbours() -> None:
    angles = np.linspace(0, 1.5, 12)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    similarity = closeness.similarities(circle)
    assert closeness.recall_of_neighbours(similarity, similarity, k=3).tolist() == [1.0] * 12
    assert closeness.rank_correlation(similarity, similarity) == pytest.approx(1)
    shuffled = closeness.similarities(circle[np.random.default_rng(0).permutation(12)])
    assert closeness.recall_of_neighbours(shuffled, similarity, k=3).mean() < 0.6
    assert closeness.rank_correlation(-similarity, similarity) == pytest.approx(-1)
