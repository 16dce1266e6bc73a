"""Graphs that are ready to run: one interface for ONNX Runtime and OpenVINO."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# OpenVINO computes in bf16 where the processor can, unless it is told otherwise.
FULL_PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}


class MissingInput(ValueError):
    """A graph asks for an input that was not given."""


class Graph(Protocol):
    """A loaded graph. `inputs` and `outputs` are names; `outputs` are in the order of the file."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All outputs by name, for input arrays (texts, tokens) of int64.

        What the graph does not take is left out.

        Raises:
            MissingInput: when the graph takes what `values` does not have.
        """
        ...


class OnnxGraph:
    """A graph that ONNX Runtime runs."""

    def __init__(
        self,
        path: Path,
        providers: Sequence[str | tuple[str, dict[str, Any]]] = ("CPUExecutionProvider",),
        session_options: Any = None,
    ) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(path), session_options, providers=list(providers))
        self.inputs = tuple(node.name for node in self._session.get_inputs())
        self.outputs = tuple(node.name for node in self._session.get_outputs())

    def run(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Graph.run`."""
        outputs = self._session.run(None, _taken(self.inputs, values))
        return dict(zip(self.outputs, outputs, strict=True))


class OpenVinoGraph:
    """A graph that OpenVINO runs; in fp32 unless `config` says otherwise."""

    def __init__(self, path: Path, config: Mapping[str, Any] | None = None, device: str = "CPU") -> None:
        import openvino

        self.compiled = openvino.Core().compile_model(str(path), device, {**FULL_PRECISION, **(config or {})})
        self._request = self.compiled.create_infer_request()
        self.inputs = tuple(node.any_name for node in self.compiled.inputs)
        self.outputs = tuple(node.any_name for node in self.compiled.outputs)

    def run(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Graph.run`."""
        results = self._request.infer(_taken(self.inputs, values))
        # Copied, because OpenVINO writes the next batch into the same memory.
        return {name: np.array(results[index]) for index, name in enumerate(self.outputs)}


def _taken(names: Sequence[str], values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if missing := [name for name in names if name not in values]:
        raise MissingInput(f"the graph takes {', '.join(missing)}, which was not given")
    return {name: values[name] for name in names}
