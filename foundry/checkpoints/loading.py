"""The checkpoint as Sentence Transformers loads it: once, on the CPU, with what transformers says of its weights."""

import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.base.quiet import without_warnings
from foundry.variants.checkpoint_folder import Kind

# What the libraries raise for files that they cannot load.
REFUSALS = (
    ValueError, OSError, RuntimeError, LookupError, TypeError, ImportError, AttributeError, AssertionError,
    pickle.UnpicklingError,
)  # fmt: skip


@dataclass
class Weights:
    """What transformers says of one model's weights once it is loaded."""

    model: Any  # transformers' model
    missing: list[str] = field(default_factory=list)  # names in the model that its files do not hold
    unexpected: list[str] = field(default_factory=list)  # names in its files that the model does not have


@dataclass
class Loaded:
    """A loaded checkpoint."""

    kind: Kind
    model: Any  # of Sentence Transformers' class of that name
    weights: list[Weights]


def load(folder: Path, kind: Kind, trusted: bool, kind_is_set: bool) -> Loaded:
    """Load a checkpoint as Sentence Transformers does.

    Args:
        folder: The checkpoint's copy.
        kind: Sentence Transformers' class.
        trusted: Whether the checkpoint's own code may run.
        kind_is_set: Whether the kind comes from params.yaml, and not from the checkpoint.

    Raises:
        FoundryError: when it does not load.
    """
    import sentence_transformers

    loading = getattr(sentence_transformers, kind)
    try:
        # Download itself reports the weights that are missing.
        with without_warnings(up_to=logging.ERROR), _recorded() as weights:
            model = loading(str(folder), device="cpu", local_files_only=True, trust_remote_code=trusted)
    except REFUSALS as error:
        reason = _first_lines(str(error).replace(f"{folder}/", "").replace(str(folder), "the checkpoint"))
        origin = "params.yaml says that it is" if kind_is_set else "it says that it is"
        raise FoundryError(f"the checkpoint does not load as the {kind} that {origin}: {reason}") from error
    return Loaded(kind, model.eval(), weights)


def _first_lines(message: str) -> str:
    """An error's first lines as one, as far as they go in a line that is read."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = " ".join(lines[:3])
    return text if len(text) <= 400 else f"{text[:400]}…"


@contextmanager
def _recorded() -> Iterator[list[Weights]]:
    """Keep what transformers says of the weights of every model that it loads.

    Sentence Transformers has no way to ask for it, and loading a second time would double what a download takes.
    """
    from transformers import PreTrainedModel

    records: list[Weights] = []
    original = PreTrainedModel.__dict__["from_pretrained"]

    def from_pretrained(cls: Any, *arguments: Any, **options: Any) -> Any:
        is_asked = options.pop("output_loading_info", False)
        model, info = original.__func__(cls, *arguments, output_loading_info=True, **options)
        records.append(Weights(model, sorted(info["missing_keys"]), sorted(info["unexpected_keys"])))
        return (model, info) if is_asked else model

    PreTrainedModel.from_pretrained = classmethod(from_pretrained)
    try:
        yield records
    finally:
        PreTrainedModel.from_pretrained = original
