"""ONNX files whose weights ONNX Runtime maps into memory, instead of reading all of the file first.

ONNX Runtime holds a file whole while it reads it, and then each weight a second time. Weights that the model says are
in another file it maps. So it is given the model without its weights, which says that they are in that very file, at
the place where they are: MiniLM then takes 106 MB instead of 194, and processes share what they have mapped.

A file is read here as protocol buffers are written (https://protobuf.dev/programming-guides/encoding): fields of a
number, a type and a value. What is not a weight is copied as it is.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Numbers of fields in onnx.proto: of ModelProto, GraphProto, TensorProto and StringStringEntryProto.
GRAPH = 7
INITIALIZER = 5
RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 9, 13, 14
KEY, VALUE = 1, 2
EXTERNAL = 1
SMALLEST = 4096  # bytes of a weight that is mapped: shapes and the like stay where they are
# How values of these wire types are written; the rest have their length before them.
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5


class Field(NamedTuple):
    """A field of a message: its number, and where in the file it, its value and its end are."""

    number: int
    start: int
    value: int
    end: int


def without_weights(path: Path) -> bytes:
    """The model of an ONNX file, whose weights are said to be in the file of that name.

    Raises:
        ValueError: when it is not written as ONNX files are, or has weights in another file already.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        parts = [
            _message(GRAPH, _graph(content, field, path.name))
            if field.number == GRAPH
            else content[field.start : field.end]
            for field in _fields(content, 0, len(content))
        ]
    return b"".join(parts)


def _graph(content: mmap.mmap, graph: Field, name: str) -> bytes:
    return b"".join(
        _message(INITIALIZER, _tensor(content, field, name))
        if field.number == INITIALIZER
        else content[field.start : field.end]
        for field in _fields(content, graph.value, graph.end)
    )


def _tensor(content: mmap.mmap, tensor: Field, name: str) -> bytes:
    """A weight without its values; one whose values are written otherwise, as it is."""
    fields = list(_fields(content, tensor.value, tensor.end))
    if any(field.number == EXTERNAL_DATA for field in fields):
        raise ValueError(f"the weight at byte {tensor.start} is in another file")
    raw = [field for field in fields if field.number == RAW_DATA]
    if len(raw) != 1 or raw[0].end - raw[0].value < SMALLEST:
        return content[tensor.value : tensor.end]
    place = {"location": name, "offset": str(raw[0].value), "length": str(raw[0].end - raw[0].value)}
    return b"".join(
        [
            *(content[field.start : field.end] for field in fields if field is not raw[0]),
            *(
                _message(EXTERNAL_DATA, _message(KEY, key.encode()) + _message(VALUE, value.encode()))
                for key, value in place.items()
            ),
            _varint(DATA_LOCATION << 3 | VARINT) + _varint(EXTERNAL),
        ]
    )


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[Field]:
    """The fields of the message that is from `start` to `end`.

    Raises:
        ValueError: when there is no message.
    """
    while start < end:
        key, value = _read_varint(content, start, end)
        wire_type, length = key & 7, 0
        if wire_type == VARINT:
            length = _read_varint(content, value, end)[1] - value
        elif wire_type == LENGTH:
            length, value = _read_varint(content, value, end)
        elif wire_type in (EIGHT_BYTES, FOUR_BYTES):
            length = 8 if wire_type == EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {wire_type} at byte {start}")
        if value + length > end:
            raise ValueError(f"the field at byte {start} goes beyond its message")
        yield Field(key >> 3, start, value, value + length)
        start = value + length


def _read_varint(content: mmap.mmap, place: int, end: int) -> tuple[int, int]:
    """A number written in seven bits a byte, the lowest first, and the place behind it."""
    number = 0
    for shift, position in zip(range(0, 70, 7), range(place, end), strict=False):
        number |= (content[position] & 127) << shift
        if content[position] < 128:
            return number, position + 1
    raise ValueError(f"a number that does not end at byte {place}")


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


def _message(number: int, content: bytes) -> bytes:
    """A field that holds a message, a text or bytes."""
    return _varint(number << 3 | LENGTH) + _varint(len(content)) + content
