"""By which numbers a torch model multiplies all the rows of a lookup table before it uses them.

Gemma multiplies each word's row by the root of its width, Granite by a number of its configuration: inside the module
that looks the row up, or after it. A graph may hold the rows before or after that. Only what torch itself multiplies by
is such a factor: a table that is scaled by any other number is wrong.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

LARGEST_RESIDUAL = 1e-4  # of a tensor that is a multiple of the rows, and what its type rounds a number by
SAME_FACTOR = 0.001  # Factors that are closer than this share are one.


def find(model: Any, modules: Mapping[str, Any], forward: Callable[[], Any]) -> dict[str, tuple[float, ...]]:
    """The factors of each of these `torch.nn.Embedding` of a model, 1 among them, as a call of `forward` shows them."""
    import torch

    names = {module.weight.data_ptr(): name for name, module in modules.items()}
    rows: dict[str, Any] = {}  # that were looked up so far
    factors = {name: [1.0] for name in modules}

    def note(values: Any) -> None:
        for tensor in _tensors(values):
            for name, looked_up in rows.items():
                factor = multiple(tensor, looked_up)
                if factor is not None and not np.isclose(factor, factors[name], rtol=SAME_FACTOR, atol=0).any():
                    factors[name].append(factor)

    def look_up(module: Any, inputs: Any, keywords: Any, output: Any) -> None:
        indices = [tensor for tensor in _tensors((inputs, keywords)) if tensor.shape == output.shape[:-1]]
        name = names.get(module.weight.data_ptr())
        if name is not None and indices and not indices[0].is_floating_point():
            rows[name] = torch.nn.functional.embedding(indices[0], module.weight)
            note(output)

    with ExitStack() as stack, torch.inference_mode():
        for module in model.modules():
            handle = module.register_forward_pre_hook(
                lambda _, inputs, keywords: note((inputs, keywords)), with_kwargs=True
            )
            stack.callback(handle.remove)
            if isinstance(module, torch.nn.Embedding):
                stack.callback(module.register_forward_hook(look_up, with_kwargs=True).remove)
        forward()
    return {name: tuple(numbers) for name, numbers in factors.items()}


def multiple(tensor: Any, rows: Any) -> float | None:
    """By which number `tensor` is a multiple of `rows` (..., tokens, width); None where it is none."""
    import torch

    if tensor.shape != rows.shape or not tensor.is_floating_point():
        return None
    given, expected = tensor.double(), rows.double()
    square = float((expected * expected).sum())
    factor = float((given * expected).sum()) / square if square else 0.0
    allowed = max(LARGEST_RESIDUAL, torch.finfo(tensor.dtype).eps) * float(given.norm())
    if not factor or not float((given - factor * expected).norm()) <= allowed:
        return None
    return factor


def _tensors(values: Any) -> Iterator[Any]:
    """The tensors in what a module takes or gives."""
    import torch

    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, Mapping):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
