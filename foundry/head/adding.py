"""The last thing that is done to a graph: the head is added, or why it is not is recorded."""

from pathlib import Path

from foundry.base.progress import say
from foundry.head import onnx_graph, openvino_graph, reading
from foundry.variants import naming, variant_folder
from foundry.variants.variant_folder import HeadRecord


def add(folder: Path, variant: str) -> HeadRecord:
    """Add the head to the graph of a variant's folder; give what built.json says of it."""
    graph = variant_folder.weights_path(folder, variant)
    try:
        head = reading.read(folder)
        if naming.backend(variant) == "onnx":
            onnx_graph.add(graph, head)
        else:
            openvino_graph.add(graph, head)
    except reading.Unsupported as error:
        say(f"  {graph.name} ends at the transformer: {error}")
        return {"output": None, "left_out": str(error)}
    return {"output": head.output, "left_out": None}
