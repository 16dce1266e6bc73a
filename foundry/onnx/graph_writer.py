"""Changes to the nodes and constants of an ONNX graph whose weights stay on the disk."""

from pathlib import Path
from typing import Any

import numpy as np

from foundry.variants import graph_files


class GraphWriter:
    """A copy of a model whose nodes are replaced in place, and whose unused constants are dropped at the end."""

    def __init__(self, model: Any, folder: Path) -> None:
        """`folder` is where the model's sidecar is."""
        self._folder = folder
        self._model = type(model)()
        self._model.CopyFrom(model)
        self._constants = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self.nodes: list[Any] = list(self._model.graph.node)
        self._by_output = {name: node for node in self.nodes for name in node.output}

    @property
    def opset(self) -> int:
        """The version of ONNX's operators that the model uses."""
        return next(int(entry.version) for entry in self._model.opset_import if entry.domain in ("", "ai.onnx"))

    def producer(self, tensor: str) -> Any:
        """The node that gives a tensor."""
        return self._by_output[tensor]

    def find_producer(self, tensor: str) -> Any | None:
        """The node that gives a tensor; None for an input or a constant of the graph."""
        return self._by_output.get(tensor)

    def current(self, node: Any) -> Any:
        """The copy's node for a node of the model."""
        return self._by_output[node.output[0]]

    def is_constant(self, tensor: str) -> bool:
        """Whether a tensor is a constant of the graph."""
        return tensor in self._constants

    def array(self, tensor: str) -> np.ndarray:
        """The values of a constant."""
        from onnx import numpy_helper

        values: np.ndarray = numpy_helper.to_array(self._constants[tensor], str(self._folder))
        return values

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The shape of a constant."""
        return tuple(self._constants[tensor].dims)

    def constant(self, name: str, values: Any) -> str:
        """Add a constant; return its name."""
        from onnx import numpy_helper

        self._constants[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def set_input(self, node: Any, index: int, values: np.ndarray) -> None:
        """Give a node other constant values for one of its inputs."""
        node.input[index] = self.constant(f"{node.input[index]}_copied", np.ascontiguousarray(values))

    def insert_before(self, node: Any, *added: Any) -> None:
        """Insert nodes before a node."""
        index = self._index(node)
        self.nodes[index:index] = added

    def replace(self, node: Any, other: Any) -> None:
        """Put another node in the place of a node."""
        self.nodes[self._index(node)] = other
        self._by_output[other.output[0]] = other

    def finish(self) -> Any:
        """The changed model."""
        graph = self._model.graph
        # Copies: protobuf empties the messages of the lists that are cleared below.
        nodes = [type(node).FromString(node.SerializeToString()) for node in self.nodes]
        used = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
        constants = [
            type(tensor).FromString(tensor.SerializeToString())
            for name, tensor in self._constants.items()
            if name in used
        ]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend(constants)
        graph_files.use_microsoft_operators(self._model)
        return self._model

    def _index(self, node: Any) -> int:
        # By identity: comparing two nodes would compare all that is in them.
        return next(index for index, other in enumerate(self.nodes) if other is node)
