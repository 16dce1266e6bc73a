"""What is known of a model beside its numbers, as the reference and every validation record it."""

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
