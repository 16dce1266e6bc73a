"""From a vector for each token to one for each text, in each way that Sentence Transformers knows."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

SMALLEST_COUNT = 1e-9  # Sentence Transformers divides by no less


def pool(tokens: np.ndarray, mask: np.ndarray, modes: Sequence[str], prompt_length: int = 0) -> np.ndarray:
    """Vectors (texts, dimensions times modes) of tokens (texts, tokens, dimensions), one mode beside the other.

    Args:
        tokens: The vectors of the tokens.
        mask: (texts, tokens), 0 where there is padding, which may be on either side.
        modes: Names of `MODES`.
        prompt_length: How many tokens at the beginning of each text do not count.
    """
    tokens = tokens.astype(np.float32, copy=False)
    counted = without_prompt(mask, prompt_length) if prompt_length else mask
    # The weight of a token is its place in the text, the prompt included.
    functions = _BY_MASK | {"weightedmean": partial(_weighted_mean, first=_first_positions(mask))}
    pooled = [functions[mode](tokens, counted) for mode in modes]
    return pooled[0] if len(pooled) == 1 else np.concatenate(pooled, axis=-1)


def without_prompt(mask: np.ndarray, prompt_length: int) -> np.ndarray:
    """A mask (texts, tokens) in which the first `prompt_length` tokens of each text do not count."""
    first = _first_positions(mask)[:, None]
    return np.where(np.arange(mask.shape[1]) < first + prompt_length, 0, mask)


def _first_positions(mask: np.ndarray) -> np.ndarray:
    return mask.argmax(axis=1)


def _cls(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return tokens[np.arange(len(tokens)), _first_positions(mask)]


def _last(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    last = np.where(mask.any(axis=1), last, 0)
    rows = np.arange(len(tokens))
    return tokens[rows, last] * mask[rows, last, None].astype(tokens.dtype)


def _max(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None] == 0, -np.inf, tokens).max(axis=1).astype(np.float32)


def _weighted_sum(tokens: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # A product of matrices reads the tokens once and writes no array of their size.
    return np.matmul(weights[:, None, :], tokens)[:, 0, :]


def _mean(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weights = mask.astype(np.float32)
    return _weighted_sum(tokens, weights) / np.maximum(weights.sum(axis=1, keepdims=True), SMALLEST_COUNT)


def _mean_sqrt_len(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weights = mask.astype(np.float32)
    return _weighted_sum(tokens, weights) / np.sqrt(np.maximum(weights.sum(axis=1, keepdims=True), SMALLEST_COUNT))


def _weighted_mean(tokens: np.ndarray, mask: np.ndarray, first: np.ndarray) -> np.ndarray:
    # As Sentence Transformers 6 does. 5 counts padding on the left, too, so that a text's embedding there depends on
    # how long the others in its batch are; alone, a text has the same in both.
    weights = mask.astype(np.float32) * (np.arange(1, mask.shape[1] + 1) - first[:, None]).astype(np.float32)
    return _weighted_sum(tokens, weights) / np.maximum(weights.sum(axis=1, keepdims=True), SMALLEST_COUNT)


# Those that go by the mask alone; "weightedmean" also goes by places.
_BY_MASK: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "lasttoken": _last,
}
MODES = (*_BY_MASK, "weightedmean")
