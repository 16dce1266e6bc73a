"""What is known of a model beside its numbers, as the reference and every validation record it."""

import json
from collections.abc import Sequence
from typing import Any, TypedDict

from foundry.variants.checkpoint_folder import Kind


class Facts(TypedDict):
    """What must be the same in every variant of a model."""

    kind: Kind
    max_seq_length: int | None  # in tokens
    similarity: str  # of a CrossEncoder, the name of its activation
    prompts: dict[str, str]
    truncate_dim: int | None
    trust_remote_code: bool
    modules: list[list[Any]]  # after the first one: the name of its class, and its configuration


# Settings of modules that Sentence Transformers 5 does not have, or 6 does not write, and what they are then.
DEFAULTS = {
    "module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding", "use_residual": False,
}  # fmt: skip


def same_modules(left: Sequence[Sequence[Any]], right: Sequence[Sequence[Any]]) -> bool:
    """Whether modules compute the same, whichever versions of Sentence Transformers wrote down their settings."""
    return _written_out(left) == _written_out(right)


def _written_out(modules: Sequence[Sequence[Any]]) -> list[list[Any]]:
    as_read: list[list[Any]] = json.loads(json.dumps(modules))  # in a reference, tuples are lists
    return [[name, DEFAULTS | config] for name, config in as_read]
