"""Pairs that can saturate: exactly those whose sum of products leaves 16 bits for some tokens within the ranges."""

import numpy as np
import pytest

from foundry.int8.planning import INT16_MAX, quantize_rows
from foundry.int8.saturation import Ranges, risky_pairs, safe_limits, saturating_product

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [2, 7, 64])
def test_the_pairs_explain_every_saturated_sum(channels: int) -> None:
    tokens = RNG.integers(0, 256, (40, channels)).astype(np.uint8)
    weight = RNG.integers(-128, 128, (channels, 9)).astype(np.int8)
    exact = tokens.astype(np.int64) @ weight.astype(np.int64)
    ranges = Ranges()
    ranges.add("tokens", tokens.min(axis=0), tokens.max(axis=0))
    for pairs in (risky_pairs(weight), ranges.pairs("tokens", weight), ranges.pairs("tokens", weight, margin=9)):
        first, (low, high), row_of_output = pairs.by_output()
        second = np.minimum(first + 1, channels - 1)
        sums = tokens.astype(np.float32)[:, first] * low + tokens.astype(np.float32)[:, second] * high
        lost = (np.clip(sums, -INT16_MAX - 1, INT16_MAX) - sums).sum(axis=-1)[:, row_of_output]
        assert np.array_equal(exact + lost, saturating_product(tokens, weight))
    assert risky_pairs(weight).includes(ranges.pairs("tokens", weight))
    assert risky_pairs(weight).largest_sum <= 2 * 255 * 128


def test_seven_bits_are_safe_and_one_more_is_not() -> None:
    weight = np.full((8, 3), 64, np.int8)
    assert len(risky_pairs(weight)) == 0
    weight[2, 1], weight[5, 2] = 65, -65
    pairs = risky_pairs(weight)
    assert (pairs.channels.tolist(), pairs.outputs.tolist()) == ([2], [1])  # -65 stands beside 64
    weight[4, 2] = -64
    assert risky_pairs(weight).outputs.tolist() == [1, 2]
    assert len(risky_pairs(weight, high=200)) == 0


def test_safe_limits_are_as_large_as_safety_allows() -> None:
    weight = RNG.normal(size=(64, 200)).astype(np.float32)
    limits = safe_limits(weight)
    integers = quantize_rows(weight.T, limits)[0].T
    assert len(risky_pairs(integers)) == 0
    assert limits.min() >= 64
    assert limits.mean() > 80  # seven bits everywhere would be 64
    assert safe_limits(np.eye(8, dtype=np.float32)).tolist() == [127] * 8  # no two large weights stand side by side
