"""ONNX graphs of any size: read without their weights in memory, and written with a sidecar where a file cannot hold
them.

ONNX Runtime's tools copy a graph several times while they work on it. What is copied here is hollow: its large weights
stay in a sidecar on the disk, from which onnx reads one tensor when, and only when, a tool asks for its values.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError

LARGEST_GRAPH_BYTES = 2**31 - 2**24  # where protobuf ends, with some room for the nodes
SIDECAR = "_data"
SMALLEST_EXTERNAL_BYTES = 1024
ALIGNMENT = 4096  # of tensors in a sidecar, so that ONNX Runtime can map them


@contextlib.contextmanager
def hollow(graph: Path, scratch: Path) -> Iterator[Any]:
    """`hollowed`, with the current folder where the sidecar is, as ONNX Runtime's tools need it; paths are absolute
    meanwhile."""
    model, folder = hollowed(graph, scratch)
    with contextlib.chdir(folder):
        yield model


def hollowed(graph: Path, scratch: Path) -> tuple[Any, Path]:
    """The ONNX model in a file, hollow, and the folder with its sidecar.

    The sidecar of a graph that has none is written into the folder `scratch`.

    Raises:
        FoundryError: when the file cannot be read.
    """
    model, folder = read(graph), graph.parent.absolute()
    with contextlib.chdir(folder):
        for tensor in constants(model.graph):  # these are small, and not every tool knows that they may be elsewhere
            if is_external(tensor):
                fill(tensor, data(tensor))
    if not sidecar(graph).is_file():
        folder = scratch.absolute()
        write_sidecar(model, folder / f"hollow.onnx{SIDECAR}")
        model = type(model).FromString(model.SerializeToString())  # without what protobuf keeps of the old values
    return model, folder


def read(graph: Path) -> Any:
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


def sidecar(graph: Path) -> Path:
    """Where the weights of a graph stand that has them beside itself: under the name in which optimum, and so Sentence
    Transformers, asks the Hub for them."""
    return graph.with_name(f"{graph.name}{SIDECAR}")


def data(tensor: Any) -> bytes:
    """The values of a tensor, be they in it or in the sidecar in the current folder."""
    from onnx.external_data_helper import ExternalDataInfo

    if not is_external(tensor):
        return bytes(tensor.raw_data)
    info = ExternalDataInfo(tensor)
    with Path(info.location).open("rb") as file:
        file.seek(info.offset or 0)
        return file.read(info.length if info.length is not None else -1)


def is_external(tensor: Any) -> bool:
    return bool(tensor.data_location == tensor.EXTERNAL)


def constants(graph: Any) -> Iterator[Any]:
    """The tensors that stand in nodes, not among the weights; those of subgraphs, too."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from (*inner.initializer, *constants(inner))


def size_bytes(tensor: Any) -> int:
    """How much a tensor's values take."""
    from onnx import helper

    return math.prod(tensor.dims) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def fill(tensor: Any, values: bytes) -> None:
    """Put values into an external tensor, which is as if it had never been external: to the byte."""
    tensor.raw_data = values
    tensor.ClearField("data_location")
    if not tensor.doc_string:  # ONNX Runtime writes an empty one for an external tensor
        tensor.ClearField("doc_string")
    del tensor.external_data[:]


def point(tensor: Any, location: str, offset: int, length: int) -> None:
    """Make a tensor one whose values are in a sidecar."""
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def write_sidecar(model: Any, path: Path) -> None:
    """Move the large weights of a model into a sidecar, one after the other."""
    with path.open("wb") as file:
        for tensor in model.graph.initializer:
            if size_bytes(tensor) < SMALLEST_EXTERNAL_BYTES or not (is_external(tensor) or tensor.raw_data):
                continue
            values = data(tensor)
            file.write(b"\0" * (-file.tell() % ALIGNMENT))
            point(tensor, path.name, file.tell(), len(values))
            file.write(values)


def save(model: Any, target: Path) -> None:
    """Write the graph of one of ONNX Runtime's wrappers to an absolute path, hollow or not: whole into one file, or,
    above 2 GB, with a sidecar."""
    import onnx

    tensors = model.model.graph.initializer
    if sum(map(size_bytes, tensors)) <= LARGEST_GRAPH_BYTES:
        for tensor in tensors:
            if is_external(tensor):
                fill(tensor, data(tensor))
        model.save_model_to_file(str(target))
        return
    model.topological_sort()
    if not any(one.domain == "com.microsoft" for one in model.model.opset_import):
        model.model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    write_sidecar(model.model, sidecar(target))
    target.write_bytes(model.model.SerializeToString())
