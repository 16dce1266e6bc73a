"""Tensors of a safetensors file, read by numpy alone."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from foundry_runtime.errors import UnusableModel

TYPES: dict[str, Any] = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def read(content: bytes, name: str) -> dict[str, np.ndarray]:
    """All tensors by name, in float32.

    The format: eight bytes with the length of the header, the header as JSON, and then the tensors' bytes.

    Raises:
        UnusableModel: when the file is damaged, or holds another type.
    """
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        data = memoryview(content)[8 + length :]
        return {key: _tensor(data, entry, f"{name}: {key}") for key, entry in header.items() if key != "__metadata__"}
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, UnusableModel):
            raise
        raise UnusableModel(f"{name} is damaged: {type(error).__name__} {error}") from error


def _tensor(data: memoryview, entry: Mapping[str, Any], where: str) -> np.ndarray:
    begin, end = entry["data_offsets"]
    kind, shape = str(entry["dtype"]), tuple(entry["shape"])
    if kind == "BF16":  # the upper half of a float32
        halves = np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16
        return halves.view(np.float32).reshape(shape)
    if kind not in TYPES:
        raise UnusableModel(f"{where} is of type {kind}; what can be read is BF16, {', '.join(TYPES)}")
    tensor: np.ndarray = np.frombuffer(data[begin:end], TYPES[kind]).reshape(shape).astype(np.float32)
    return tensor
