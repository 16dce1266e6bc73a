"""The algorithm of static int8, on plain arrays."""

import numpy as np
import pytest

from foundry.int8 import error_feedback, planning
from foundry.int8.settings import Calibrate

RNG = np.random.default_rng(0)


def seen(tokens: np.ndarray) -> planning.Activations:
    activations = planning.Activations()
    for start in range(0, len(tokens), 50):
        part = tokens[start : start + 50]
        activations.add(part, planning.sample_tokens(len(part), np.random.default_rng(0)))
    return activations


def error(tokens: np.ndarray, weight: np.ndarray, copyable: bool = False, **settings: object) -> float:
    """The relative error of a product that is quantized by its plan, on all tokens."""
    row = Calibrate.model_validate(settings)
    product = planning.Product("p", "x", lambda: weight, weight.size, copyable)
    plan = planning.plan([product], {"x": seen(tokens)}, row)
    input_plan, quantized = plan.inputs["x"], plan.weights["p"]
    result = (
        input_plan.dequantize(input_plan.quantize(tokens)) @ quantized.integers.T.astype(np.float32) * quantized.scales
    )
    exact = tokens @ weight.T
    return float(np.linalg.norm(result + quantized.correction - exact) / np.linalg.norm(exact))


@pytest.fixture
def ordinary() -> tuple[np.ndarray, np.ndarray]:
    return RNG.normal(size=(500, 64)).astype(np.float32), RNG.normal(size=(32, 64)).astype(np.float32)


def test_the_error_of_ordinary_values_is_small(ordinary: tuple[np.ndarray, np.ndarray]) -> None:
    assert error(*ordinary) < 0.02


def test_smoothing_mends_channels_of_different_sizes(ordinary: tuple[np.ndarray, np.ndarray]) -> None:
    tokens, weight = ordinary
    tokens = tokens * np.geomspace(0.05, 20, 64).astype(np.float32)
    weight = weight / np.geomspace(0.05, 20, 64).astype(np.float32)
    scale, zero_point = planning.scale_and_zero_point(float(tokens.min()), float(tokens.max()), symmetric=False)
    plain = planning.InputPlan(np.ones(64, np.int64), np.ones(64, np.float32), scale, zero_point)
    integers, scales = planning.quantize_rows(weight)
    result = plain.dequantize(plain.quantize(tokens)) @ integers.T.astype(np.float32) * scales
    unsmoothed = np.linalg.norm(result - tokens @ weight.T) / np.linalg.norm(tokens @ weight.T)
    assert error(tokens, weight) < 0.2 * unsmoothed


def test_smoothing_is_selected_for_texts_that_it_has_not_seen() -> None:
    """Each text has a channel that is larger than in others, as a topic may. With the ranges of the same texts, the
    smoothing that moves most looked best."""

    def texts() -> list[np.ndarray]:
        drawn = []
        for _ in range(80):
            tokens = RNG.normal(size=(50, 64)).astype(np.float32)
            tokens[:, RNG.integers(64)] *= RNG.uniform(3, 12)
            drawn.append(tokens)
        return drawn

    weight, unseen = RNG.normal(size=(32, 64)).astype(np.float32), np.concatenate(texts())
    activations = seen(np.concatenate(texts()))

    def unseen_error(**settings: float) -> float:
        plan = planning.plan_input(activations, [weight], False, Calibrate.model_validate(settings))
        integers, scales = planning.quantize_rows(plan.spread(weight) * plan.smooth)
        result = plan.dequantize(plan.quantize(unseen)) @ integers.T.astype(np.float32) * scales
        return float(np.linalg.norm(result - unseen @ weight.T) / np.linalg.norm(unseen @ weight.T))

    assert unseen_error() < 0.6 * unseen_error(smooth_quant_alpha=0.9)


def test_texts_that_are_held_out_are_in_no_range() -> None:
    activations = planning.Activations()
    for size in range(1, 9):
        activations.add(np.full((2, 1), size, np.float32), np.arange(2))
    ranges, held_out = activations.held_out()
    assert ranges.sample.ravel().tolist() == [2, 2, 3, 3, 4, 4, 6, 6, 7, 7, 8, 8]
    assert held_out.sample.ravel().tolist() == [1, 1, 5, 5]
    assert (ranges.lowest, ranges.highest) == (2, 8)
    alone = planning.Activations()
    alone.add(np.ones((2, 1), np.float32), np.arange(2))
    assert [part.sample.ravel().tolist() for part in alone.held_out()] == [[1, 1], [1, 1]]


def test_copies_mend_an_outlier_channel(ordinary: tuple[np.ndarray, np.ndarray]) -> None:
    tokens, weight = ordinary[0].copy(), ordinary[1]
    tokens[::50, 7] = 30.0
    ordinary_tokens = np.delete(tokens, np.s_[::50], axis=0)

    def ordinary_error(copies: int) -> float:
        row = Calibrate(outlier_copies=copies, smooth_quant_alpha=0.9)
        product = planning.Product("p", "x", lambda: weight, weight.size, True)
        plan = planning.plan([product], {"x": seen(tokens)}, row)
        input_plan, quantized = plan.inputs["x"], plan.weights["p"]
        assert input_plan.copies.sum() == 64 + copies
        assert copies == 0 or input_plan.copies.argmax() == 7
        got = input_plan.dequantize(input_plan.quantize(ordinary_tokens)) @ quantized.integers.T.astype(np.float32)
        exact = ordinary_tokens @ weight.T
        return float(np.linalg.norm(got * quantized.scales + quantized.correction - exact) / np.linalg.norm(exact))

    assert ordinary_error(8) < 0.75 * ordinary_error(0)


def test_copies_divide_the_weight_and_change_nothing_else(ordinary: tuple[np.ndarray, np.ndarray]) -> None:
    tokens, weight = ordinary
    plan = planning.plan_input(seen(tokens), [weight], True, Calibrate(outlier_copies=5))
    np.testing.assert_allclose(tokens[:, plan.indices] @ plan.spread(weight).T, tokens @ weight.T, atol=1e-4)


def test_error_feedback_makes_up_for_rounding() -> None:
    mixed = RNG.normal(size=(600, 12)) @ RNG.normal(size=(12, 64)) + 0.1 * RNG.normal(size=(600, 64))
    tokens, weight = mixed.astype(np.float32), RNG.normal(size=(32, 64)).astype(np.float32)
    integers, scales = planning.quantize_rows(weight, 15)  # coarse, so that rounding is what counts
    better = error_feedback.round_with_feedback(weight, scales, np.full(32, 15.0), tokens, np.ones(600))

    def distance(rounded: np.ndarray) -> float:
        return float(np.linalg.norm(tokens @ (rounded * scales[:, None] - weight).T))

    assert np.abs(better).max() <= 15
    assert distance(better) < 0.5 * distance(integers)


@pytest.mark.parametrize("feedback", [True, False])
def test_no_pair_of_products_overflows_sixteen_bits(ordinary: tuple[np.ndarray, np.ndarray], feedback: bool) -> None:
    # All of one sign, and close to the largest: the worst there is.
    tokens, weight = 1 + np.abs(ordinary[0]) / 10, 1 + np.abs(ordinary[1]) / 10

    def largest_sum(reduce_range: str) -> float:
        row = Calibrate.model_validate(
            {"reduce_range": reduce_range, "smooth_quant_alpha": 0.5, "error_feedback": feedback}
        )
        product = planning.Product("p", "x", lambda: weight, weight.size, False)
        plan = planning.plan([product], {"x": seen(tokens)}, row)
        integers = plan.inputs["x"].quantize(seen(tokens).sample)
        weights = plan.weights["p"].integers.astype(np.float32)
        sums = [integers[:, k : k + 2] @ weights[:, k : k + 2].T for k in range(0, 64, 2)]
        return float(np.abs(sums).max())

    assert largest_sum("never") > planning.INT16_MAX
    assert largest_sum("auto") <= planning.INT16_MAX
    assert largest_sum("always") <= planning.INT16_MAX


def test_an_odd_number_of_channels_is_no_trouble(ordinary: tuple[np.ndarray, np.ndarray]) -> None:
    assert error(ordinary[0][:, :63], ordinary[1][:, :63]) < 0.02


def test_bias_correction_takes_the_mean_error_back(ordinary: tuple[np.ndarray, np.ndarray]) -> None:
    tokens, weight = ordinary[0] + 3, ordinary[1]
    assert error(tokens, weight, smooth_quant_alpha=0.0) < error(
        tokens, weight, smooth_quant_alpha=0.0, bias_correction=False
    )


def test_channels_that_are_always_zero_have_a_scale(ordinary: tuple[np.ndarray, np.ndarray]) -> None:
    tokens, weight = ordinary[0].copy(), ordinary[1].copy()
    tokens[:, 3] = 0
    weight[5] = 0
    assert error(tokens, weight) < 0.02


def test_the_first_and_last_token_are_always_in_the_sample() -> None:
    for count in (1, 2, 14, 15, 300):
        sampled = planning.sample_tokens(count, np.random.default_rng(1))
        assert {0, count - 1} <= set(sampled.tolist())
        assert len(set(sampled.tolist())) == len(sampled) == min(count, planning.TOKENS_PER_TEXT)
