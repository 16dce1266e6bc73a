"""What a graph gives beside what Sentence Transformers asks it for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from foundry.loading.variant import LoadedVariant

Outputs = Mapping[str, np.ndarray]


class WatchedSession:
    """An ONNX Runtime session whose outputs are shown to `watch` on every run."""

    def __init__(self, session: Any, watch: Callable[[Outputs], None]) -> None:
        self._session, self._watch = session, watch
        self._names = [output.name for output in session.get_outputs()]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: Any, inputs: Any) -> Any:
        """Run the session, for all outputs."""
        values = self._session.run(None, inputs)
        by_name = dict(zip(self._names, values, strict=True))
        self._watch(by_name)
        return values if names is None else [by_name[name] for name in names]


class WatchedModel:
    """A compiled OpenVINO model whose outputs are shown to `watch` on every run."""

    def __init__(self, model: Any, watch: Callable[[Outputs], None]) -> None:
        self._model, self._watch = model, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, inputs: Any) -> Any:
        """Run the model."""
        values = self._model(inputs)
        self._watch({name: values[output] for output in self._model.outputs for name in output.get_names()})
        return values


class WatchedGraph:
    """A graph of foundry_runtime whose outputs are shown to `watch` on every run, by each of their names."""

    def __init__(self, graph: Any, watch: Callable[[Outputs], None]) -> None:
        self._graph, self._watch = graph, watch
        self.inputs, self.outputs = graph.inputs, graph.outputs
        nodes = getattr(graph, "compiled", None)
        names = [sorted(node.get_names()) for node in nodes.outputs] if nodes else [[name] for name in self.outputs]
        self._names = dict(zip(self.outputs, names, strict=True))

    def run(self, values: Outputs, outputs: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Run the graph, for all outputs."""
        results: dict[str, np.ndarray] = self._graph.run(values)
        self._watch({name: results[output] for output, names in self._names.items() for name in names})
        return results if outputs is None else {name: results[name] for name in outputs}


def watch_outputs(variant: LoadedVariant, watch: Callable[[Outputs], None]) -> None:
    """Show every output of an ONNX or OpenVINO graph to `watch`, on each batch that the variant embeds."""
    graph = variant.transformer.auto_model
    if hasattr(graph, "graph"):  # by foundry_runtime; otherwise by optimum
        graph.graph = WatchedGraph(graph.graph, watch)
    elif hasattr(graph, "session"):
        graph.session = WatchedSession(graph.session, watch)
    else:
        graph.compile()
        graph.request = WatchedModel(graph.request, watch)
