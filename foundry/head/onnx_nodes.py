"""The head as nodes of an ONNX graph.

Each function takes the names of tensors and gives the name of one. Operators are written as the opset of the graph
has them, from 13 on; all of them compute in float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from foundry_runtime.head import (
    LAYER_NORM_EPSILON,
    SMALLEST_NORM,
    Dense,
    LayerNorm,
    LogitScore,
    MultiVectorMask,
    Normalize,
    Pooling,
    SpladePooling,
)
from foundry_runtime.pooling import SMALLEST_COUNT

from foundry.head.reading import HeadOfModel, Unsupported

PREFIX = "foundry_head/"  # of every name in the head, so that it can be taken off again
SMALLEST_OPSET = 13  # in which ReduceSum and Unsqueeze take their axes as an input, and since then
REDUCED_BY_INPUT = 18  # since then ReduceMax and ReduceMean do, too
MASK = "attention_mask"


class Nodes:
    """The nodes and constants of a head, as they are written.

    With `by_products`, tokens are summed by a product of matrices, which writes no array of their size. OpenVINO is
    given a sum: told to compute in bf16, it computes products in it, and in f32 what stands behind the last of them.
    """

    def __init__(self, opset: int, by_products: bool = True) -> None:
        if opset < SMALLEST_OPSET:
            raise Unsupported(f"its graph is of opset {opset}, and the head needs {SMALLEST_OPSET}")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._opset, self._by_products = opset, by_products

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; give the output's name."""
        from onnx import helper

        name = f"{PREFIX}{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def finish(self, tensor: str, output: str) -> None:
        """Give a tensor the name of the graph's output."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [tensor], [output], name=f"{PREFIX}{output}"))

    def constant(self, value: Any) -> str:
        """Add a constant of the value's own type; give its name."""
        from onnx import numpy_helper

        name = f"{PREFIX}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, value: float) -> str:
        """A constant number of float32."""
        return self.constant(np.array(value, np.float32))

    def axes(self, *axes: int) -> str:
        """A constant list of axes."""
        return self.constant(np.array(axes, np.int64))

    def to_float(self, tensor: str) -> str:
        """The tensor in float32."""
        return self.op("Cast", tensor, to=1)

    def reduce(self, operator: str, tensor: str, axis: int, keep: bool) -> str:
        """`ReduceSum`, `ReduceMax` or `ReduceMean` along one axis."""
        if operator == "ReduceSum" or self._opset >= REDUCED_BY_INPUT:
            return self.op(operator, tensor, self.axes(axis), keepdims=int(keep))
        return self.op(operator, tensor, axes=[axis], keepdims=int(keep))

    def at(self, tensor: str, index: str) -> str:
        """Of each text the vector at one place: (texts, tokens, ...) at (texts, 1)."""
        return self.op("GatherND", tensor, index, batch_dims=1)

    def weighted_sum(self, tokens: str, weights: str) -> str:
        """The sum over the tokens of each text, (texts, dimensions)."""
        if not self._by_products:
            weighted = self.op("Mul", tokens, self.op("Unsqueeze", weights, self.axes(2)))
            return self.reduce("ReduceSum", weighted, 1, keep=False)
        row = self.op("Unsqueeze", weights, self.axes(1))
        return self.op("Squeeze", self.op("MatMul", row, tokens), self.axes(1))

    def log1p(self, tensor: str) -> str:
        """log(1 + x) for x >= 0, exact for small x: log(u) * x / (u - 1) with u = 1 + x (Higham, Accuracy and
        Stability of Numerical Algorithms, 1.14.1)."""
        one = self.number(1)
        shifted = self.op("Add", tensor, one)
        exact = self.op("Div", self.op("Mul", self.op("Log", shifted), tensor), self.op("Sub", shifted, one))
        return self.op("Where", self.op("Equal", shifted, one), tensor, exact)


def write(nodes: Nodes, head: HeadOfModel, given: str) -> None:
    """Write a head behind the tensor `given`, up to its output, (texts, ...) in float32.

    Raises:
        Unsupported: when no module gives what the model is about.
    """
    values = {head.given: nodes.to_float(given)}
    for step in head.steps:
        WRITERS[type(step)](nodes, step, values)
    if head.result not in values:
        raise Unsupported(f"its modules give {', '.join(values)}, and no {head.result}")
    result = values[head.result]
    if head.truncate_dim is not None:
        result = nodes.op("Slice", result, nodes.axes(0), nodes.axes(head.truncate_dim), nodes.axes(-1))
    nodes.finish(ACTIVATIONS[head.activation](nodes, result), head.output)


def _taken(values: dict[str, str], name: str) -> str:
    if name not in values:
        raise Unsupported(f"a module takes {name}, which nothing before it gives")
    return values[name]


def _pooling(nodes: Nodes, step: Pooling, values: dict[str, str]) -> None:
    tokens, mask = _taken(values, "token_embeddings"), nodes.to_float(MASK)
    pooled = [POOLINGS[mode](nodes, tokens, mask) for mode in step.modes]
    values["sentence_embedding"] = pooled[0] if len(pooled) == 1 else nodes.op("Concat", *pooled, axis=-1)


def _cls(nodes: Nodes, tokens: str, mask: str) -> str:
    return nodes.at(tokens, nodes.op("ArgMax", mask, axis=1, keepdims=1))


def _last(nodes: Nodes, tokens: str, mask: str) -> str:
    place = nodes.op("ArgMax", mask, axis=1, keepdims=1, select_last_index=1)
    counts = nodes.op("Unsqueeze", nodes.at(mask, place), nodes.axes(1))
    return nodes.op("Mul", nodes.at(tokens, place), counts)


def _max(nodes: Nodes, tokens: str, mask: str) -> str:
    counts = nodes.op("Unsqueeze", nodes.op("Cast", mask, to=9), nodes.axes(2))
    return nodes.reduce("ReduceMax", nodes.op("Where", counts, tokens, nodes.number(-np.inf)), 1, keep=False)


def _count(nodes: Nodes, weights: str) -> str:
    return nodes.op("Max", nodes.reduce("ReduceSum", weights, 1, keep=True), nodes.number(SMALLEST_COUNT))


def _mean(nodes: Nodes, tokens: str, mask: str) -> str:
    return nodes.op("Div", nodes.weighted_sum(tokens, mask), _count(nodes, mask))


def _mean_sqrt_len(nodes: Nodes, tokens: str, mask: str) -> str:
    return nodes.op("Div", nodes.weighted_sum(tokens, mask), nodes.op("Sqrt", _count(nodes, mask)))


def _weighted_mean(nodes: Nodes, tokens: str, mask: str) -> str:
    one = nodes.constant(np.array(1, np.int64))
    length = nodes.op("Gather", nodes.op("Shape", mask), one, axis=0)
    numbers = nodes.op("Range", one, nodes.op("Add", length, one), one)
    first = nodes.op("ArgMax", mask, axis=1, keepdims=1)  # the place of a token is counted from the text's first
    weights = nodes.op("Mul", mask, nodes.to_float(nodes.op("Sub", numbers, first)))
    return nodes.op("Div", nodes.weighted_sum(tokens, weights), _count(nodes, weights))


def _dense(nodes: Nodes, step: Dense, values: dict[str, str]) -> None:
    if step.source not in values:
        raise Unsupported(f"its {step.where.rpartition(': ')[2]} takes {step.source}, which no module before it gives")
    given = values[step.source]
    product = nodes.op("MatMul", given, nodes.constant(step.weight.T))
    if step.bias is not None:
        product = nodes.op("Add", product, nodes.constant(step.bias))
    result = ACTIVATIONS[step.activation](nodes, product)
    if step.adds_input:
        other = given if step.residual is None else nodes.op("MatMul", given, nodes.constant(step.residual.T))
        result = nodes.op("Add", result, other)
    values[step.target] = result


def _layer_norm(nodes: Nodes, step: LayerNorm, values: dict[str, str]) -> None:
    rows = _taken(values, "sentence_embedding")
    centred = nodes.op("Sub", rows, nodes.reduce("ReduceMean", rows, -1, keep=True))
    variance = nodes.reduce("ReduceMean", nodes.op("Mul", centred, centred), -1, keep=True)
    deviation = nodes.op("Sqrt", nodes.op("Add", variance, nodes.number(LAYER_NORM_EPSILON)))
    scaled = nodes.op("Mul", nodes.op("Div", centred, deviation), nodes.constant(step.weight))
    values["sentence_embedding"] = nodes.op("Add", scaled, nodes.constant(step.bias))


def _normalize(nodes: Nodes, step: Normalize, values: dict[str, str]) -> None:
    if step.source not in values:  # as Sentence Transformers does
        return
    rows = values[step.source]
    norms = nodes.op("Sqrt", nodes.reduce("ReduceSum", nodes.op("Mul", rows, rows), -1, keep=True))
    values[step.target] = nodes.op("Div", rows, nodes.op("Max", norms, nodes.number(SMALLEST_NORM)))


def _splade_pooling(nodes: Nodes, step: SpladePooling, values: dict[str, str]) -> None:
    counts = nodes.op("Unsqueeze", nodes.to_float(MASK), nodes.axes(2))
    shown = nodes.op("Mul", _taken(values, "token_embeddings"), counts)
    logarithms = 1 if step.activation == "relu" else 2
    if step.strategy == "max":  # Logarithms keep the order, so that of the largest alone is enough.
        pooled = nodes.op("Relu", nodes.reduce("ReduceMax", shown, 1, keep=False))
        for _ in range(logarithms):
            pooled = nodes.log1p(pooled)
    else:
        shown = nodes.op("Relu", shown)
        for _ in range(logarithms):
            shown = nodes.log1p(shown)
        pooled = nodes.reduce("ReduceSum", shown, 1, keep=False)
    values["sentence_embedding"] = pooled


def _logit_score(nodes: Nodes, step: LogitScore, values: dict[str, str]) -> None:
    last = nodes.op("Gather", _taken(values, "causal_logits"), nodes.axes(-1), axis=1)
    scores = nodes.op("Gather", last, nodes.axes(step.true_token), axis=2)
    if step.false_token is not None:
        scores = nodes.op("Sub", scores, nodes.op("Gather", last, nodes.axes(step.false_token), axis=2))
    values["scores"] = nodes.op("Squeeze", scores, nodes.axes(2))


def _masked_by_the_caller(_nodes: Nodes, _step: MultiVectorMask, _values: dict[str, str]) -> None:
    """Whether a token counts depends on the role of the text, which a graph does not know."""


def _gelu(nodes: Nodes, tensor: str) -> str:
    half = nodes.op("Mul", tensor, nodes.number(0.5))
    error = nodes.op("Erf", nodes.op("Div", tensor, nodes.number(np.sqrt(2))))
    return nodes.op("Mul", half, nodes.op("Add", error, nodes.number(1)))


POOLINGS: dict[str, Callable[[Nodes, str, str], str]] = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
# By the names of foundry_runtime.activations.FUNCTIONS, each as torch's class computes it without arguments.
ACTIVATIONS: dict[str, Callable[[Nodes, str], str]] = {
    "Identity": lambda _, tensor: tensor,
    "Tanh": lambda nodes, tensor: nodes.op("Tanh", tensor),
    "ReLU": lambda nodes, tensor: nodes.op("Relu", tensor),
    "Sigmoid": lambda nodes, tensor: nodes.op("Sigmoid", tensor),
    "GELU": _gelu,
    "SiLU": lambda nodes, tensor: nodes.op("Mul", tensor, nodes.op("Sigmoid", tensor)),
    "LeakyReLU": lambda nodes, tensor: nodes.op("LeakyRelu", tensor, alpha=0.01),
    "ELU": lambda nodes, tensor: nodes.op("Elu", tensor, alpha=1.0),
    "Softplus": lambda nodes, tensor: nodes.op("Softplus", tensor),
}
WRITERS: dict[type, Callable[[Nodes, Any, dict[str, str]], None]] = {
    Pooling: _pooling,
    Dense: _dense,
    LayerNorm: _layer_norm,
    Normalize: _normalize,
    SpladePooling: _splade_pooling,
    LogitScore: _logit_score,
    MultiVectorMask: _masked_by_the_caller,
}
