"""The checkpoint as Sentence Transformers loads it: once, on the CPU, with what transformers says of its weights."""

import logging
import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry_runtime.router import Role

from foundry.base.errors import FoundryError
from foundry.base.quiet import without_warnings
from foundry.checkpoints import integrity, structure
from foundry.checkpoints.failures import failures
from foundry.variants import checkpoint_folder, sides
from foundry.variants.checkpoint_folder import Kind

OUTPUTS = ("sentence_embedding", "scores", "logits")  # Sentence Transformers' names, whichever the last module gives
FEW_TOKENS = 32
PAIR = ("what is it", "it is a text")


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
    origin = "params.yaml says that it is" if kind_is_set else "it says that it is"
    try:
        with failures(f"the checkpoint does not load as the {kind} that {origin}", folder):
            # Download itself reports the weights that are missing.
            with without_warnings(up_to=logging.ERROR), _recorded() as weights:
                model = loading(str(folder), device="cpu", local_files_only=True, trust_remote_code=trusted)
            return Loaded(kind, model.eval(), weights)
    except FoundryError:
        integrity.check_tokenizer(folder / structure.transformer_path(folder) / "tokenizer.json")
        raise


def output(model: Any, role: Role | None = None) -> Any:
    """What a loaded model gives for a short text, or a pair of them: a tensor of shape (1, dimensions or labels); of a
    MultiVectorEncoder (1, tokens, dimensions).

    `role` is the side of a Router that the text goes through.

    Raises:
        FoundryError: when its modules do not fit together.
    """
    text = PAIR if type(model).__name__ == "CrossEncoder" else PAIR[1]
    transformer, task = sides.transformer(model), {} if role is None else {"task": role}
    length = sides.max_seq_length(model)
    with failures("the model loads, and does not embed a text"), without_warnings(up_to=logging.ERROR):
        # A table of words says infinity, and takes no other length.
        if length is not None and checkpoint_folder.NO_LIMIT < length < math.inf:
            transformer.max_seq_length = (
                FEW_TOKENS  # tokenizers do not take a number that large, which download replaces
            )
        features = model(model.preprocess([text], **task), **task)
        if sides.max_seq_length(model) != length:
            transformer.max_seq_length = length
        outputs = ("token_embeddings",) if type(model).__name__ == "MultiVectorEncoder" else OUTPUTS
        given = [features[key] for key in outputs if key in features]
    if not given:
        raise FoundryError(f"the model's modules give {', '.join(features)}, and none of {', '.join(outputs)}")
    return given[0]


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
        try:
            model, info = original.__func__(cls, *arguments, output_loading_info=True, **options)
        except RuntimeError as error:
            _raise_other_shapes(error)
            raise
        records.append(Weights(model, sorted(info["missing_keys"]), sorted(info["unexpected_keys"])))
        return (model, info) if is_asked else model

    PreTrainedModel.from_pretrained = classmethod(from_pretrained)
    try:
        yield records
    finally:
        PreTrainedModel.from_pretrained = original


def _raise_other_shapes(error: RuntimeError) -> None:
    """Name the weights whose shapes are not those of config.json: transformers' error refers to a table in its log.

    Told to ignore them, it would give them as it gives others, but first make the weights, however large they are.

    Raises:
        FoundryError: with both shapes of the first one, where the error has them.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        shapes = getattr(frame.f_locals.get("loading_info"), "mismatched_keys", None)
        if shapes:
            name, held, expected = min(shapes)
            more = f", and so for {len(shapes) - 1} more" if len(shapes) > 1 else ""
            raise FoundryError(
                f"config.json describes another model than its files hold: of {name} they hold {tuple(held)}, and "
                f"{tuple(expected)} is expected{more}"
            ) from error
