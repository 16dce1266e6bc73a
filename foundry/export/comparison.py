"""An exported graph beside torch, on the same inputs."""

from pathlib import Path

import numpy as np

from foundry.base.errors import FoundryError
from foundry.variants import naming

# Of the largest value in torch's output. Faithful fp32 exports stay around 1e-6.
TOLERANCE = 1e-4


def run_graph(graph: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The first output of a graph, in fp32: (texts, tokens, hidden size or vocabulary), or (texts, labels).

    Raises:
        FoundryError: when the graph asks for what the tokenizer does not give.
    """
    if graph.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        first: np.ndarray = session.run(None, _wanted({node.name for node in session.get_inputs()}, inputs))[0]
        return first
    import openvino

    compiled = openvino.Core().compile_model(graph, "CPU", naming.EXACT)
    return np.array(compiled(_wanted({name for node in compiled.inputs for name in node.get_names()}, inputs))[0])


def _wanted(names: set[str], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if missing := names - inputs.keys():
        raise FoundryError(f"the graph asks for {', '.join(sorted(missing))}, which the tokenizer does not give")
    return {name: inputs[name] for name in inputs if name in names}


def difference(got: np.ndarray, expected: np.ndarray, mask: np.ndarray | None) -> float:
    """The largest difference of a graph's output to torch's, as a share of torch's largest value.

    Raises:
        FoundryError: when the shapes differ.
    """
    if got.shape != expected.shape:
        raise FoundryError(f"the graph gives shape {got.shape}, torch {expected.shape}")
    # What stands at padding is nobody's; scores have no tokens.
    real = slice(None) if mask is None else mask.astype(bool)
    return float(np.abs(got - expected)[real].max() / np.abs(expected[real]).max())
