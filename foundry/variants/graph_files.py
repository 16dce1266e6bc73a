"""ONNX graphs of any size: read without their weights in memory, and written with a sidecar where one file cannot hold
them.

ONNX Runtime's tools copy a graph several times while they work on it. So that a copy takes little memory, large weights
stay in a sidecar on the disk, from which onnx reads one tensor when, and only when, a tool asks for its values.

onnx.external_data_helper and onnx_ir have functions for sidecars, and they are used where they fit. Three things are
done here instead:

- Reading one tensor. onnx refuses a sidecar with several hard links or behind a symbolic link, and DVC links what it
  hands out.
- Moving weights into a sidecar. onnx and onnx_ir hold all of them in memory for it, or write another graph: protobuf
  keeps the memory of a value until the whole message is dropped.
- Putting values back. onnx marks such a tensor as stored inside the file, which takes two bytes. The graphs of ONNX
  Runtime's optimizer have no such marks, those of its dynamic quantizer have, and the bytes are to be the same.
"""

import contextlib
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError

LARGEST_GRAPH_BYTES = 2**31 - 2**24  # protobuf's limit, less some room for the nodes
SIDECAR_SUFFIX = "_data"
SMALLEST_EXTERNAL_BYTES = 1024
ALIGNMENT_BYTES = 4096  # of tensors in a sidecar, so that ONNX Runtime can map them into memory


@contextlib.contextmanager
def without_weights(graph: Path, scratch: Path) -> Iterator[Any]:
    """The ONNX model of `load_without_weights`. Meanwhile the current folder is that of the sidecar, where ONNX
    Runtime's tools look for it, so every other path has to be absolute."""
    model, folder = load_without_weights(graph, scratch)
    with contextlib.chdir(folder):
        yield model


def load_without_weights(graph: Path, scratch: Path) -> tuple[Any, Path]:
    """The ONNX model in a file, whose large weights stay on the disk, and the folder with the sidecar that holds them.

    The sidecar of a graph that has none is written into the folder `scratch`; one that onnx would refuse because it is
    a link is copied there.

    Raises:
        FoundryError: when the file cannot be read.
    """
    model, folder = load_structure(graph), graph.parent.absolute()
    sidecar = sidecar_path(graph)
    with contextlib.chdir(folder):
        for tensor in node_constants(model.graph):  # small, and not every tool looks for them in a sidecar
            if is_external(tensor):
                store_inside(tensor, read_values(tensor))
    if not sidecar.is_file():
        folder = scratch.absolute()
        move_weights_to_sidecar(model, folder / f"weights.onnx{SIDECAR_SUFFIX}")
        # Read again, because protobuf keeps the memory of the values that were moved.
        model = type(model).FromString(model.SerializeToString())
    elif sidecar.is_symlink() or sidecar.stat().st_nlink > 1:
        folder = scratch.absolute()
        shutil.copyfile(sidecar, folder / sidecar.name)
    return model, folder


def load_structure(graph: Path) -> Any:
    """The ONNX model in a file, without what is in its sidecar.

    Raises:
        FoundryError: when the file cannot be read.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(graph, load_external_data=False)
    except DecodeError as error:
        raise FoundryError(f"{graph} is truncated or no ONNX graph: {error}") from error


def sidecar_path(graph: Path) -> Path:
    """Where the weights of a graph with a sidecar are: the name under which optimum, and so Sentence Transformers, asks
    the Hub for them."""
    return graph.with_name(f"{graph.name}{SIDECAR_SUFFIX}")


def read_values(tensor: Any) -> bytes:
    """The values of a tensor, from the tensor itself or from the sidecar in the current folder."""
    from onnx.external_data_helper import ExternalDataInfo

    if not is_external(tensor):
        return bytes(tensor.raw_data)
    info = ExternalDataInfo(tensor)
    with Path(info.location).open("rb") as file:
        file.seek(info.offset or 0)
        return file.read(info.length if info.length is not None else -1)


def is_external(tensor: Any) -> bool:
    """Whether a tensor's values are in a sidecar."""
    from onnx.external_data_helper import uses_external_data

    return bool(uses_external_data(tensor))


def sidecar_names(model: Any) -> set[str]:
    """Where the values of a model's tensors are that are not in the model itself, relative to its folder."""
    from onnx.external_data_helper import ExternalDataInfo

    graphs = [model.graph, *(info.algorithm for info in model.training_info)]
    tensors = [tensor for graph in graphs for tensor in (*graph.initializer, *node_constants(graph))]
    for sparse in model.graph.sparse_initializer:
        tensors += [sparse.values, sparse.indices]
    for function in model.functions:
        tensors += node_constants(function)
    return {str(ExternalDataInfo(tensor).location) for tensor in tensors if is_external(tensor)}


def node_constants(graph: Any) -> Iterator[Any]:
    """The tensors in attributes of nodes, which are not among the weights; also those of subgraphs."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for subgraph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from (*subgraph.initializer, *node_constants(subgraph))


def size_bytes(tensor: Any) -> int:
    """How many bytes a tensor's values take."""
    from onnx import helper

    return math.prod(tensor.dims) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def store_inside(tensor: Any, values: bytes, mark: bool = False) -> None:
    """Put values into an external tensor, which then has the same bytes as a tensor that never was external; or, with
    `mark`, as a tensor whose values onnx has read from a sidecar."""
    tensor.raw_data = values
    tensor.ClearField("data_location")
    if mark:
        tensor.data_location = tensor.DEFAULT
    if not tensor.doc_string:  # ONNX Runtime writes an empty one for an external tensor
        tensor.ClearField("doc_string")
    del tensor.external_data[:]


def store_in_sidecar(tensor: Any, sidecar_name: str, offset: int, length: int) -> None:
    """Make a tensor refer to its values in a sidecar; offset and length are in bytes."""
    from onnx.external_data_helper import set_external_data

    tensor.raw_data = b""  # onnx asks for the field, also of a tensor that is external already
    set_external_data(tensor, sidecar_name, offset, length)
    tensor.ClearField("raw_data")


def move_weights_to_sidecar(model: Any, sidecar: Path) -> None:
    """Write the large weights of a model into a sidecar, one tensor in memory at a time."""
    with sidecar.open("wb") as file:
        for tensor in model.graph.initializer:
            if size_bytes(tensor) < SMALLEST_EXTERNAL_BYTES or not (is_external(tensor) or tensor.raw_data):
                continue
            values = read_values(tensor)
            file.write(b"\0" * (-file.tell() % ALIGNMENT_BYTES))
            store_in_sidecar(tensor, sidecar.name, file.tell(), len(values))
            file.write(values)


def use_microsoft_operators(model: Any) -> None:
    """Declare ONNX Runtime's own operators in a model, once."""
    import onnx

    if not any(opset.domain == "com.microsoft" for opset in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))


def save(model: Any, target: Path, mark: bool = False) -> None:
    """Write the graph of one of ONNX Runtime's wrappers to an absolute path: into one file, or, above 2 GB, with a
    sidecar. Weights on the disk are read from the sidecar in the current folder. `mark` is that of `store_inside`."""
    tensors = model.model.graph.initializer
    if sum(map(size_bytes, tensors)) <= LARGEST_GRAPH_BYTES:
        for tensor in tensors:
            if is_external(tensor):
                store_inside(tensor, read_values(tensor), mark)
        model.save_model_to_file(str(target))
        return
    model.topological_sort()
    use_microsoft_operators(model.model)
    move_weights_to_sidecar(model.model, sidecar_path(target))
    target.write_bytes(model.model.SerializeToString())
