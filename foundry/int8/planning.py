"""Static int8 for the matrix products of a transformer: how each input and each weight is quantized.

Functions on plain arrays, for both runtimes. `foundry.onnx.static_int8` and `foundry.openvino.static_int8` read the
products from a graph, record their inputs on the calibration texts, and write the plan made here into the graph.
DECISIONS.md has the figures.

Five methods keep an embedding close to the original, each at next to no cost at run time:

- Smoothing: a scale per input channel moves outliers from the activations into the weights (SmoothQuant, Xiao et al.
  2023, equation 4). How far, is decided for each input by the error of the product on calibration texts whose ranges
  are not used for it: with the ranges of the same texts, every channel may go to its edge, and other texts beyond it.
- Copies of outlier channels: a transformer has one or two channels in the feed-forward layer that are ten times larger
  than all others. Such a channel is copied and its weights are divided among the copies (outlier channel splitting,
  Zhao et al. 2019), so that it no longer determines the scale of all channels.
- Reduced range: rows of weights whose sums could overflow 16 bits get a larger scale. x86 processors without VNNI add
  two products of 8 bits in 16 bits, and saturate.
- Error feedback: each weight is rounded so that it makes up for the rounding of those before it (GPTQ, Frantar et al.
  2023).
- Bias correction: the mean error of each output on the calibration texts is subtracted in the bias.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from foundry.base.progress import track
from foundry.int8.error_feedback import round_with_feedback
from foundry.int8.settings import Calibrate

ALPHAS = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
TOKENS_PER_TEXT = 14
TOKENS_FOR_SMOOTHING = 768  # on which the smoothing is selected
HELD_OUT_EVERY = 4  # one of so many texts is for the selection of the smoothing
LARGEST_UINT8 = 255
INT16_MAX = 32767
SAFE_WEIGHT = 64  # 2 * 255 * 64 fits into 16 bits
FEEDBACK_MARGIN = 1.02  # error feedback moves single weights by a step or two; rows that then overflow go without it
SMALLEST_TABLE = 1_000_000  # values; a smaller table of embeddings is not worth a second lookup
SMALLEST_CHANNEL = 1e-4  # as a share of the largest, so that a channel that is always zero has a scale


@dataclass(frozen=True)
class Product:
    """A matrix product with a constant weight."""

    name: str
    source: str  # the tensor that it multiplies
    read_weight: Callable[[], np.ndarray]  # reads the weight (outputs, channels), float32, from the graph
    size: int  # multiplications for each token
    copyable: bool  # whether channels of the source can be copied: it is an activation function of another product

    @property
    def weight(self) -> np.ndarray:
        """(outputs, channels), float32. Read each time, because all weights together are as large as the model."""
        return self.read_weight()


class Activations:
    """The values of one tensor on the calibration texts: the range of each channel, and a sample of tokens."""

    def __init__(self) -> None:
        self._rows: list[np.ndarray] = []
        self.lowest = self.highest = np.zeros(0)

    def add(self, tokens: np.ndarray, sampled: np.ndarray) -> None:
        """Add the tokens (tokens, channels) of a text; those at the indices `sampled` go into the sample."""
        lowest, highest = tokens.min(axis=0), tokens.max(axis=0)
        self.lowest = np.minimum(self.lowest, lowest) if self._rows else lowest
        self.highest = np.maximum(self.highest, highest) if self._rows else highest
        self._rows.append(tokens[sampled])

    @cached_property
    def sample(self) -> np.ndarray:
        """The sampled tokens (tokens, channels). Asked for after the last `add`, because the result is cached."""
        return np.concatenate(self._rows)

    @property
    def largest(self) -> np.ndarray:
        """The largest absolute value of each channel (channels,), above zero."""
        largest = np.maximum(np.abs(self.lowest), np.abs(self.highest))
        return np.maximum(largest, max(float(largest.max()) * SMALLEST_CHANNEL, 1e-12))

    def held_out(self) -> tuple["Activations", "Activations"]:
        """The sampled tokens of most texts, and those of the others. Of one text alone, both times its tokens."""
        most, held_out = Activations(), Activations()
        for number, tokens in enumerate(self._rows):
            part = most if number % HELD_OUT_EVERY else held_out
            part.add(tokens, np.arange(len(tokens)))
        return (most, held_out) if most._rows else (held_out, held_out)


def sample_tokens(count: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of the tokens of a text that go into the sample: the first, the last, and random ones between.

    In every text, the first token has the largest activations.
    """
    if count <= TOKENS_PER_TEXT:
        return np.arange(count)
    between = 1 + rng.choice(count - 2, TOKENS_PER_TEXT - 2, replace=False)
    return np.array([0, count - 1, *sorted(between)])


@dataclass(frozen=True)
class InputPlan:
    """How one tensor is quantized: q = round(x[indices] / smooth / scale) + zero_point, in unsigned 8 bits."""

    copies: np.ndarray  # (channels,), how often each channel is in the quantized tensor
    smooth: np.ndarray  # (channels after copying,), float32
    scale: float
    zero_point: int

    @property
    def indices(self) -> np.ndarray:
        """For each channel after copying, the channel that it copies."""
        return np.repeat(np.arange(len(self.copies)), self.copies)

    def spread(self, weight: np.ndarray) -> np.ndarray:
        """A weight (outputs, channels), divided among the copies (outputs, channels after copying)."""
        divided: np.ndarray = (weight / self.copies)[:, self.indices].astype(np.float32)
        return divided

    def quantize(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens (tokens, channels) as integers from 0 to 255, kept as float32 (tokens, channels after copying)."""
        scaled = np.round(tokens[:, self.indices] / self.smooth / np.float32(self.scale)) + self.zero_point
        return np.clip(scaled, 0, LARGEST_UINT8).astype(np.float32)

    def dequantize(self, integers: np.ndarray) -> np.ndarray:
        """The values of integers, still divided by `smooth`."""
        values: np.ndarray = (integers - self.zero_point) * np.float32(self.scale)
        return values


@dataclass(frozen=True)
class QuantizedWeight:
    """A weight in 8 bits: the product is dequantized input @ (integers * scales).T + correction."""

    integers: np.ndarray  # (outputs, channels after copying), int8
    scales: np.ndarray  # (outputs,), float32
    correction: np.ndarray  # (outputs,), float32

    def copied(self, indices: np.ndarray) -> "QuantizedWeight":
        """The weight of a product whose i-th output is output `indices[i]` of this one."""
        return QuantizedWeight(self.integers[indices], self.scales[indices], self.correction[indices])


def quantize_rows(weight: np.ndarray, largest: np.ndarray | int = 127) -> tuple[np.ndarray, np.ndarray]:
    """A weight (outputs, channels) as int8, symmetric, and the scale of each row (outputs,).

    `largest` is the integer that a row's largest weight becomes: one number, or one for each row (outputs,).
    """
    limits = np.broadcast_to(np.asarray(largest, np.float32), (len(weight),))
    scales = np.abs(weight).max(axis=1) / limits
    scales = np.where(scales == 0, 1, scales).astype(np.float32)
    return np.round(weight / scales[:, None]).astype(np.int8), scales


def largest_sums(integers: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """An upper bound of the sum of two products for each row of weights (outputs,), when a processor multiplies
    unsigned `tokens` (tokens, channels) by `integers` (outputs, channels) and adds channels 0 and 1, 2 and 3, ...

    It follows from the range of each channel, and holds for every text whose activations stay within these ranges.
    """
    weights, low, high = integers.astype(np.float32), tokens.min(axis=0), tokens.max(axis=0)
    if weights.shape[1] % 2:
        weights, low, high = np.pad(weights, ((0, 0), (0, 1))), np.append(low, 0), np.append(high, 0)
    least = np.where(weights > 0, low * weights, high * weights)
    most = np.where(weights > 0, high * weights, low * weights)
    sums: np.ndarray = np.maximum(most[:, ::2] + most[:, 1::2], -(least[:, ::2] + least[:, 1::2])).max(axis=1)
    return sums


def safe_limits(sums: np.ndarray) -> np.ndarray:
    """The largest integer of each row of weights (outputs,) with which no sum of two products overflows 16 bits."""
    limits: np.ndarray = np.clip(np.floor(127 * INT16_MAX / np.maximum(sums, INT16_MAX)), SAFE_WEIGHT, 127)
    return limits


def copies_of_outliers(difficulty: np.ndarray, extra: int) -> np.ndarray:
    """How often each channel is to be there (channels,), when `extra` copies go one by one to the most difficult."""
    copies = np.ones(len(difficulty), np.int64)
    for _ in range(extra):
        copies[np.argmax(difficulty / copies)] += 1
    return copies


def plan_input(activations: Activations, weights: Sequence[np.ndarray], copyable: bool, row: Calibrate) -> InputPlan:
    """How to quantize a tensor that is multiplied by `weights`, each (outputs, channels): the smoothing with the
    smallest error on the tokens of texts that are held out from its ranges.

    Each token's squared error is divided by the length of its output, so that the few tokens that are a hundred times
    longer than the others do not decide alone.
    """
    weight = np.concatenate(weights)
    if row.smooth_quant_alpha is not None:
        return smoothed(activations, weight, copyable, row, row.smooth_quant_alpha)
    ranges, held_out = activations.held_out()
    tokens = held_out.sample[:: max(1, len(held_out.sample) // TOKENS_FOR_SMOOTHING)]
    exact = tokens @ weight.T
    importance = 1 / np.maximum(np.linalg.norm(exact, axis=1), 1e-9)

    def error(alpha: float) -> float:
        plan = smoothed(ranges, weight, copyable, row, alpha)
        integers, scales = quantize_rows(plan.spread(weight) * plan.smooth)
        difference = (plan.dequantize(plan.quantize(tokens)) @ integers.astype(np.float32).T) * scales - exact
        difference -= difference.mean(axis=0)
        return float(((difference**2).sum(axis=1) * importance).sum())

    return smoothed(activations, weight, copyable, row, min(ALPHAS, key=error))


def smoothed(activations: Activations, weight: np.ndarray, copyable: bool, row: Calibrate, alpha: float) -> InputPlan:
    """How a tensor is quantized that is multiplied by a weight (outputs, channels), by the ranges of its activations.

    `alpha` says how far outliers move into the weight: from 0, not at all, to 1, so that all channels have one range.
    """
    largest_weight = np.maximum(np.abs(weight).max(axis=0), 1e-8)
    copies = copies_of_outliers(activations.largest * largest_weight, row.outlier_copies if copyable else 0)
    indices = np.repeat(np.arange(len(copies)), copies)
    smooth = activations.largest[indices] ** alpha / (largest_weight / copies)[indices] ** (1 - alpha)
    smooth = (smooth / np.exp(np.log(smooth).mean())).astype(np.float32)
    low = float((activations.lowest[indices] / smooth).min())
    high = float((activations.highest[indices] / smooth).max())
    return InputPlan(copies, smooth, *scale_and_zero_point(low, high, symmetric=row.preset == "performance"))


def scale_and_zero_point(low: float, high: float, symmetric: bool) -> tuple[float, int]:
    """The scale and zero point of unsigned 8 bits for values from `low` to `high`; the range includes zero.

    `symmetric` puts the zero point in the middle; some kernels treat such values as signed 8 bits.
    """
    if symmetric:
        return max(-low, high, 1e-12) / 127, 128
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(high - low, 1e-12) / LARGEST_UINT8
    return scale, int(np.clip(round(-low / scale), 0, LARGEST_UINT8))


def quantize_weight(product: Product, plan: InputPlan, activations: Activations, row: Calibrate) -> QuantizedWeight:
    """A product's weight in 8 bits, for an input that is quantized by `plan`."""
    original = product.weight
    weight = plan.spread(original) * plan.smooth
    sample = activations.sample
    quantized = plan.quantize(sample)
    exact = sample @ original.T
    limits = np.full(len(weight), float(SAFE_WEIGHT if row.reduce_range == "always" else 127))
    if row.reduce_range == "auto":
        margin = FEEDBACK_MARGIN if row.error_feedback else 1.0
        limits = safe_limits(largest_sums(quantize_rows(weight)[0], quantized) * margin)
    integers, scales = quantize_rows(weight, limits)
    if row.error_feedback:
        importance = 1 / np.maximum(np.linalg.norm(exact, axis=1), 1e-9)
        with_feedback = round_with_feedback(weight, scales, limits, plan.dequantize(quantized), importance)
        safe = row.reduce_range == "never" or largest_sums(with_feedback, quantized) <= INT16_MAX
        integers = np.where(np.atleast_1d(safe)[:, None], with_feedback, integers)
    correction = np.zeros(len(weight), np.float32)
    if row.bias_correction:
        result = (plan.dequantize(quantized) @ integers.astype(np.float32).T) * scales
        correction = (exact - result).mean(axis=0).astype(np.float32)
    return QuantizedWeight(integers, scales, correction)


@dataclass(frozen=True)
class Plan:
    """How a graph is quantized."""

    inputs: dict[str, InputPlan]  # by source tensor
    weights: dict[str, QuantizedWeight]  # by product
    scores: dict[str, float] = field(default_factory=dict)  # the largest value of queries and keys, by their tensor


def plan(products: Iterable[Product], activations: dict[str, Activations], row: Calibrate, keep: bool = True) -> Plan:
    """How to quantize the products, with the `activations` of each source. Products of one source share its plan.

    Without `keep`, the activations of a source are deleted after use, because all of them are larger than a model.
    """
    by_source: dict[str, list[Product]] = {}
    for product in products:
        by_source.setdefault(product.source, []).append(product)
    inputs: dict[str, InputPlan] = {}
    weights: dict[str, QuantizedWeight] = {}
    for source, group in track(by_source.items(), "quantizing", total=len(by_source)):
        copyable = all(product.copyable for product in group)
        inputs[source] = plan_input(activations[source], [product.weight for product in group], copyable, row)
        for product in group:
            weights[product.name] = quantize_weight(product, inputs[source], activations[source], row)
        if not keep:
            del activations[source]
    return Plan(inputs, weights)
