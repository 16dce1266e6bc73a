"""No weight is invented: what the files do not hold, and the output depends on, is an error that names it.

transformers fills what is missing with random numbers, and only logs it. Some of it does not matter: most
BERT embedders come without the pooler, whose output Sentence Transformers does not use.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundry_runtime.router import ROUTERS

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.checkpoints import loading, structure
from foundry.checkpoints.loading import Loaded, Weights
from foundry.variants import checkpoint_folder, sides

NAMED = 4  # how many weights a message names


def check(folder: Path, loaded: Loaded) -> None:
    """Check that every weight that reaches the output comes from the checkpoint.

    Raises:
        FoundryError: naming those that do not.
    """
    _check_modules(folder, loaded)
    for weights in loaded.weights:
        parameters = dict(weights.model.named_parameters(remove_duplicate=False))
        # What is no parameter is a buffer, such as position ids, which the model's code fills by itself.
        missing = [name for name in weights.missing if name in parameters]
        if not missing:
            continue
        if len({id(parameters[name]) for name in missing}) == len({id(value) for value in parameters.values()}):
            raise FoundryError(
                "none of the model's weights are in its files. Their names there look like "
                f"{_listed(weights.unexpected) or 'nothing'}, and the model's like {_listed(missing)}; save the model "
                "again with the names that transformers gives"
            )
        used = reaching_output(loaded.model, parameters, missing)
        if used:
            raise FoundryError(
                f"the checkpoint does not hold {len(used)} of the weights that it needs as a {loaded.kind}: "
                f"{_listed(used)}. {_advice(loaded.kind, weights, used)}"
            )


def check_numbers(loaded: Loaded) -> None:
    """Check that the model embeds a text, and that neither its weights nor what it gives are NaN or infinite.

    Raises:
        FoundryError: naming the weights.
    """
    import torch

    parameters = dict(loaded.model.named_parameters(remove_duplicate=False))
    broken = [
        name
        for name, value in parameters.items()
        if value.is_floating_point() and not bool(torch.isfinite(value.detach()).all())
    ]
    with torch.no_grad():
        outputs = [loading.output(loaded.model, role).to_dense() for role in sides.roles(loaded.model)]
    is_finite = all(bool(torch.isfinite(value).all()) for value in outputs)
    used = reaching_output(loaded.model, parameters, broken) if broken else []
    if used:
        raise FoundryError(
            f"{len(used)} of the weights hold NaN or infinite numbers: {_listed(used)}. The training that gave them "
            "diverged; use an earlier state of it"
        )
    if not is_finite:
        raise FoundryError("the model gives NaN or infinite numbers for a short text, although its weights are finite")


def unused(loaded: Loaded) -> list[str]:
    """Weights in the files that look like the model's own and are not in it: of layers beyond its number of layers."""
    names: list[str] = []
    for weights in loaded.weights:
        shapes = {re.sub(r"\d+", "#", name) for name, _ in weights.model.named_parameters()}
        names += [name for name in weights.unexpected if re.sub(r"\d+", "#", name) in shapes]
    return names


def write_safetensors(folder: Path, model: str) -> None:
    """Write the weights of modules behind the transformer as safetensors where they are in torch's own format, which
    nothing without torch reads: then a graph goes to the embedding, and foundry_runtime loads the model."""
    import torch
    from safetensors.torch import save_file

    transformer = folder / structure.transformer_path(folder)
    for place, name in structure.module_types(folder).items():
        path = folder / place.partition(":")[2]
        source, target = path / "pytorch_model.bin", path / "model.safetensors"
        # A module in the transformer's own folder has no weights there.
        is_behind = (
            path != transformer
            and name.startswith("sentence_transformers.")
            and not name.endswith(("Transformer", *ROUTERS))
        )
        if not is_behind or not source.is_file() or target.exists():
            continue
        tensors = torch.load(source, map_location="cpu", weights_only=True)
        save_file({key: tensor.clone().contiguous() for key, tensor in tensors.items()}, target)
        files.remove(source)
        say(f"{model}: wrote the weights of {path.name} as safetensors")


def _check_modules(folder: Path, loaded: Loaded) -> None:
    """Check that converting to another kind added no module with weights of its own."""
    saved = {name.rpartition(".")[2] for name in structure.module_types(folder).values()}
    saved |= {"Router"} if "Asym" in saved else set()  # the name that it had before
    if checkpoint_folder.is_stanford_colbert(folder):
        saved.add("Dense")  # its weights are among the transformer's, and loading fails without them
    for module in list(loaded.model)[1:]:
        name, invented = type(module).__name__, [key for key, _ in module.named_parameters()]
        if invented and name not in saved:
            raise FoundryError(
                f"as a {loaded.kind}, the checkpoint needs a {name} that it does not hold, with the weights "
                f"{_listed(invented)}. A model with a masked-language head makes a SparseEncoder without one"
            )


def reaching_output(model: Any, parameters: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Which of a loaded model's parameters its output depends on, by the graph that torch keeps for gradients.

    Args:
        model: Of Sentence Transformers.
        parameters: Of the transformer in it, by name.
        names: Those that are asked for.
    """
    import torch

    for parameter in parameters.values():
        parameter.requires_grad_(parameter.is_floating_point())
    try:
        with torch.enable_grad():
            outputs = [loading.output(model, role) for role in sides.roles(model)]
    except FoundryError:
        return list(names)  # nothing shows that any of them does not matter
    # No gradient is computed: the model may change values in place that one would need.
    waiting, seen, used = [output.grad_fn for output in outputs], set(), set()
    while waiting:
        step = waiting.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        if hasattr(step, "variable"):
            used.add(id(step.variable))
        waiting += [before for before, _ in step.next_functions]
    return [name for name in names if id(parameters[name]) in used]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _advice(kind: str, weights: Weights, used: Sequence[str]) -> str:
    base = getattr(weights.model, "base_model_prefix", "")
    is_head = bool(base) and not any(name.startswith(f"{base}.") and ".pooler." not in name for name in used)
    if is_head and kind == "CrossEncoder":
        return "That is its classifier: it was never trained to score pairs, and a random one is not built"
    if is_head and kind == "SparseEncoder":
        return "That is its masked-language head, without which a random one would be built"
    return "Random numbers in their place would be built; save the whole model again"
