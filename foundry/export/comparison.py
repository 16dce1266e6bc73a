"""How far the output of an exported graph is from torch's, on the same inputs."""

from pathlib import Path

import numpy as np

from foundry.base.errors import FoundryError
from foundry.variants import naming

# Largest allowed difference, as a share of the largest value in torch's output. Correct fp32 exports are around 1e-6.
TOLERANCE = 1e-4


def run_graph(graph: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The first output of a graph, in fp32: (texts, tokens, hidden size or vocabulary), or (texts, labels).

    Raises:
        FoundryError: when the graph asks for what the tokenizer does not give.
    """
    if graph.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised as exceptions
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        output: np.ndarray = session.run(None, _graph_inputs({node.name for node in session.get_inputs()}, inputs))[0]
        return output
    import openvino

    compiled = openvino.Core().compile_model(graph, "CPU", naming.EXACT)
    names = {name for node in compiled.inputs for name in node.get_names()}
    return np.array(compiled(_graph_inputs(names, inputs))[0])


def _graph_inputs(names: set[str], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if missing := names - inputs.keys():
        raise FoundryError(f"the graph asks for {', '.join(sorted(missing))}, which the tokenizer does not give")
    return {name: inputs[name] for name in inputs if name in names}


def difference(output: np.ndarray, expected: np.ndarray, mask: np.ndarray | None) -> float:
    """The largest difference of a graph's output to torch's, as a share of torch's largest value.

    The mask, (texts, tokens), is 0 at padding, whose values nobody uses; None for scores, which have no tokens.

    Raises:
        FoundryError: when the shapes differ.
    """
    if output.shape != expected.shape:
        raise FoundryError(f"the graph gives shape {output.shape}, torch {expected.shape}")
    tokens = slice(None) if mask is None else mask.astype(bool)
    return float(np.abs(output - expected)[tokens].max() / np.abs(expected[tokens]).max())
