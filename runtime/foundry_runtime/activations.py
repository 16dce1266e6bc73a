"""Activation functions of torch in numpy, by the name that Sentence Transformers records: `torch.nn.modules...Tanh`."""

import math
from collections.abc import Callable

import numpy as np

from foundry_runtime.errors import UnusableModel

Activation = Callable[[np.ndarray], np.ndarray]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), by the half that cannot overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _gelu(x: np.ndarray) -> np.ndarray:
    return (x * 0.5 * (1 + _erf(x / math.sqrt(2)))).astype(x.dtype)


def _elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0))).astype(x.dtype)


# Each as torch's class computes it without arguments, which is how Sentence Transformers makes it from its name.
FUNCTIONS: dict[str, Activation] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": sigmoid,
    "GELU": _gelu,
    "SiLU": lambda x: x * sigmoid(x),
    "LeakyReLU": lambda x: np.where(x >= 0, x, 0.01 * x).astype(x.dtype),
    "ELU": _elu,
    "Softplus": lambda x: np.logaddexp(x, 0).astype(x.dtype),
}


def name_of(path: str | None, default: str) -> str:
    """The name in FUNCTIONS of a dotted path; `default` where there is none.

    Raises:
        UnusableModel: for one that is not known here. What is no part of torch is code of the model's own: Sentence
            Transformers runs it where it is trusted, and else takes its default, so nobody knows which is meant.
    """
    if path is None:
        return default
    name = path.rpartition(".")[2]
    if name not in FUNCTIONS or not path.startswith("torch."):
        raise UnusableModel(f"activation {path} is not computed here; known are torch's {', '.join(FUNCTIONS)}")
    return name
