"""OpenVINO graphs to the embedding: a second graph that shares the weights of the first.

OpenVINO's own tools, such as its model server, take a graph with one output, and Sentence Transformers wants that of
the tokens. So the head is in a graph of its own beside it, `openvino_model.sentence_embedding.xml`, whose one output is
the embedding. Its weights are the first one's: what the head adds stands behind them in the same `.bin`.
"""

import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.head import onnx_graph, onnx_nodes
from foundry.head.reading import HeadOfModel, Unsupported
from foundry.variants import naming

LARGEST_APPENDED = 4096  # bytes of a constant that OpenVINO computed anew, such as a shape
Place = tuple[int, int]  # where a constant's values begin in the .bin, and how many bytes they take


def add(graph: Path, head: HeadOfModel) -> None:
    """Write the graph to the embedding beside a graph, and what it adds to the weights behind them.

    Raises:
        Unsupported: when the graph cannot have it.
    """
    import openvino

    core = openvino.Core()
    model = core.read_model(graph)
    tokens = model.get_results()[0].input_value(0)
    masks = [node for node in model.get_parameters() if onnx_nodes.MASK in node.output(0).get_names()]
    rank = tokens.get_partial_shape().rank.get_length()
    behind = core.read_model(onnx_graph.alone(head, rank, by_products=False))
    name_nodes(behind, onnx_nodes.PREFIX)
    for parameter in behind.get_parameters():
        is_mask = onnx_nodes.MASK in parameter.output(0).get_names()
        if is_mask and not masks and parameter.output(0).get_target_inputs():
            raise Unsupported(f"its graph takes no {onnx_nodes.MASK}")
        for consumer in parameter.output(0).get_target_inputs():
            consumer.replace_source_output(masks[0].output(0) if is_mask else tokens)
    whole = openvino.Model(behind.get_results(), model.get_parameters(), model.get_friendly_name())
    # Where the head changes nothing, its result is the graph's own, which has another name.
    whole.outputs[0].get_tensor().set_names({head.output})
    with tempfile.TemporaryDirectory(dir=graph.parent) as scratch:
        written = Path(scratch) / graph.name
        openvino.save_model(whole, written, compress_to_fp16=False)
        tree = ElementTree.parse(written)
        _share_weights(tree, written.with_suffix(".bin"), graph)
    target = graph.with_name(naming.openvino_head_name(graph.name, head.output))
    tree.write(target, encoding="utf-8", xml_declaration=True)


def name_nodes(model: Any, prefix: str) -> None:
    """Name the nodes of a model by their order: OpenVINO's own names differ from run to run."""
    for index, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{prefix}{node.get_type_name()}_{index}")


def _share_weights(tree: Any, weights: Path, graph: Path) -> None:
    """Point each constant of a graph, whose values are in `weights`, to the same values in the `.bin` of `graph`; put
    those of the head behind them.

    Raises:
        FoundryError: when a large one of the graph itself is not there: its weights would be there twice.
    """
    shared = graph.with_suffix(".bin")
    places = {name: place for name, place, _ in _constants(ElementTree.parse(graph))}
    with weights.open("rb") as own, shared.open("r+b") as other:
        for name, (offset, size), data in _constants(tree):
            own.seek(offset)
            values = own.read(size)
            found = places.get(name)
            if found is None or not _holds(other, found, values):
                if size > LARGEST_APPENDED and not name.startswith(onnx_nodes.PREFIX):
                    raise FoundryError(f"OpenVINO writes {name} of {graph} anew, under this name or with other values")
                found = (other.seek(0, 2), size)  # not aligned, as OpenVINO's own are not
                other.write(values)
            data.set("offset", str(found[0]))


def _holds(file: Any, place: Place, values: bytes) -> bool:
    file.seek(place[0])
    return place[1] == len(values) and file.read(place[1]) == values


def _constants(tree: Any) -> Iterator[tuple[str, Place, Any]]:
    """The constants of a graph as OpenVINO writes it: each one's name, its place, and the element that says so."""
    for layer in tree.iter("layer"):
        data = layer.find("data")
        if layer.get("type") == "Const" and data is not None:
            yield layer.get("name"), (int(data.get("offset")), int(data.get("size"))), data
