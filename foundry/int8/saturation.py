"""Sums of two products that overflow 16 bits: which pairs of weights can, and what a processor then makes of them.

An x86 processor without VNNI multiplies unsigned by signed 8-bit integers with `vpmaddubsw`: it adds the products of
two neighbouring channels in 16 bits, and a sum beyond their range becomes the nearest value in it. So do ONNX Runtime
(MLAS) and OpenVINO (oneDNN); tests/onnx/test_saturation.py and tests/validation/test_processors.py compare this file
with what they compute on such a processor. With VNNI, AMX or Arm's dot product, sums are exact, as are those of
unsigned by unsigned integers everywhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from foundry.int8.planning import INT16_MAX, LARGEST_UINT8, SAFE_WEIGHT, quantize_rows

INT16_MIN = -32768
# Ranges of the exact graph are widened by so many steps of 8 bits, because where sums saturate, later layers see other
# values; `Ranges` are compared again afterwards.
MARGIN = 16


@dataclass(frozen=True)
class Pairs:
    """Pairs of neighbouring weights of one product whose sum of products can leave 16 bits."""

    channels: np.ndarray  # (pairs,), the first of the two channels of each pair
    outputs: np.ndarray  # (pairs,), in ascending order
    weights: np.ndarray  # (2, pairs), float32
    output_count: int  # of the product
    largest_sum: int  # the largest absolute value that a sum of two products can have

    def __len__(self) -> int:
        return len(self.outputs)

    def includes(self, other: "Pairs") -> bool:
        """Whether every pair of `other`, of the same product, is one of these."""
        keys = [pairs.channels * pairs.output_count + pairs.outputs for pairs in (self, other)]
        return bool(np.isin(keys[1], keys[0]).all())

    def by_output(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pairs as rows of equal length, one for each output that has any, and a last one for all others: the first
        channels (rows, longest), both weights (2, rows, longest), and the row of each output (outputs,). Rows are
        filled up with weights of zero, which add nothing."""
        named, counts = np.unique(self.outputs, return_counts=True)
        rows = np.repeat(np.arange(len(named)), counts)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (len(named) + 1, int(counts.max(initial=1)))
        channels, weights = np.zeros(shape, np.int64), np.zeros((2, *shape), np.float32)
        channels[rows, places] = self.channels
        weights[:, rows, places] = self.weights
        row_of_output = np.full(self.output_count, len(named), np.int64)
        row_of_output[named] = np.arange(len(named))
        return channels, weights, row_of_output


def risky_pairs(weight: np.ndarray, low: np.ndarray | int = 0, high: np.ndarray | int = LARGEST_UINT8) -> Pairs:
    """The pairs of a weight (channels, outputs), int8, that can saturate where each channel of the unsigned tokens is
    between `low` and `high`, one number or (channels,); by default for any tokens."""
    integers = even(weight.astype(np.int32))
    lowest, highest = (
        even(np.broadcast_to(np.asarray(bound, np.int32), len(weight)))[:, None] for bound in (low, high)
    )
    least, most = np.minimum(lowest * integers, highest * integers), np.maximum(lowest * integers, highest * integers)
    least, most = least[::2] + least[1::2], most[::2] + most[1::2]
    outputs, pairs = np.nonzero(((least < INT16_MIN) | (most > INT16_MAX)).T)
    weights = np.stack([integers[2 * pairs, outputs], integers[2 * pairs + 1, outputs]]).astype(np.float32)
    largest = max(int(most.max(initial=0)), -int(least.min(initial=0)))
    return Pairs(2 * pairs, outputs, weights, weight.shape[1], largest)


def safe_limits(weight: np.ndarray) -> np.ndarray:
    """The largest integer of each output of a weight (channels, outputs), float, with which no sum saturates for any
    tokens: (outputs,), from 64 to 127."""
    limits = np.full(weight.shape[1], 127.0)
    for _ in range(127 - SAFE_WEIGHT):
        integers, _ = quantize_rows(weight.T, limits)
        risky = np.unique(risky_pairs(integers.T).outputs)
        if not len(risky):
            break
        # As far as the largest sum asks for, and a step more for what rounding adds.
        rows = even(integers[risky].T.astype(np.int32))
        sums = np.abs(rows[::2] + rows[1::2]).max(axis=0)
        limits[risky] = np.minimum(limits[risky] - 1, np.floor(limits[risky] * 2 * SAFE_WEIGHT / sums))
        limits = np.maximum(limits, SAFE_WEIGHT)
    return limits


def even(values: np.ndarray) -> np.ndarray:
    """Channels (channels, ...) with one of zeros at the end where their number is odd, as the processor pads them."""
    return np.pad(values, ((0, 1), *((0, 0),) * (values.ndim - 1))) if len(values) % 2 else values


def saturating_product(tokens: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Unsigned tokens (tokens, channels) times a weight (channels, outputs), int8, as `vpmaddubsw` adds them: (tokens,
    outputs), int64. For tests: it takes the memory of every product."""
    left, right = even(tokens.astype(np.int64).T), even(weight.astype(np.int64))
    products = left.T[:, :, None] * right[None]
    return np.clip(products[:, ::2] + products[:, 1::2], INT16_MIN, INT16_MAX).sum(axis=1)


def range_names(tokens: str) -> tuple[str, str]:
    """The names of a graph's outputs with the lowest and the highest integer of each channel of a tensor."""
    return f"{tokens}_lowest", f"{tokens}_highest"


class Ranges:
    """The lowest and highest integer of each channel of the quantized tensors, over all texts."""

    def __init__(self) -> None:
        self.low: dict[str, np.ndarray] = {}
        self.high: dict[str, np.ndarray] = {}

    def add(self, tensor: str, low: np.ndarray, high: np.ndarray) -> None:
        """Add the extremes (channels,) of a tensor on more texts."""
        self.low[tensor] = np.minimum(self.low.get(tensor, low), low)
        self.high[tensor] = np.maximum(self.high.get(tensor, high), high)

    def add_all(self, other: "Ranges") -> None:
        """Add all extremes of other ranges."""
        for tensor, low in other.low.items():
            self.add(tensor, low, other.high[tensor])

    def add_outputs(self, outputs: Mapping[str, np.ndarray], tensors: Iterable[str]) -> None:
        """Add what a graph with `range_names` among its outputs gave, for each tensor."""
        for tensor in tensors:
            low, high = (np.asarray(outputs[name]).astype(np.int32) for name in range_names(tensor))
            self.add(tensor, low, high)

    def pairs(self, tensor: str, weight: np.ndarray, margin: int = 0) -> Pairs:
        """The pairs of a weight (channels, outputs) that multiplies the tensor which can saturate within its ranges,
        widened by `margin`."""
        low = np.maximum(self.low[tensor].astype(np.int32) - margin, 0)
        return risky_pairs(weight, low, np.minimum(self.high[tensor].astype(np.int32) + margin, LARGEST_UINT8))
