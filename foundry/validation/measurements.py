"""What is measured on a loaded variant, for all checks together: each thing once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from foundry.data.labelled import Task
from foundry.loading.items import Query
from foundry.loading.variant import LoadedVariant
from foundry.reference.reference import Reference
from foundry.reference.scoring import score_tasks
from foundry.validation import consistency
from foundry.variants.facts import Facts


@dataclass(frozen=True)
class Measurements:
    """What a variant gives on the texts and tasks of the reference.

    Without `batch_cosines` and `scores` where the embeddings have another shape than torch's, and without `scores`
    where they are not finite.
    """

    embeddings: np.ndarray  # (texts, dimensions), float32, less the reference's offset
    hard_embeddings: np.ndarray  # (hard texts, dimensions), the same
    passages: int | None  # of each query of a CrossEncoder
    tokens: list[list[int]]  # token ids of the texts, then of the hard texts
    facts: Facts
    missing_inputs: Collection[str]  # inputs of the graph that the tokenizer does not give
    batch_cosines: Mapping[str, np.ndarray] = field(default_factory=dict)  # by kind of batch: (texts,)
    values_changed_on_repeat: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)  # by task


def measure(
    variant: LoadedVariant, texts: Sequence[str], tasks: Mapping[str, Task], expected: Reference, batch_size: int
) -> Measurements:
    """Embed the texts and hard texts, and where that makes sense also the batches and tasks."""
    items, hard_items = variant.items(texts), variant.items(list(expected.hard_texts.values()))
    embeddings = expected.centred(variant.encode(items, batch_size))
    hard_embeddings = expected.centred(variant.encode(hard_items, batch_size=1))
    batch_cosines: dict[str, np.ndarray] = {}
    changed_values = 0
    scores: dict[str, float] = {}
    # Asked for after texts were embedded, as in the reference: some modules learn their own width from them.
    facts = variant.facts()
    tokens = variant.token_ids([*items, *hard_items])
    missing_inputs = variant.graph_inputs - set(variant.tokenize(items[:1]))
    if embeddings.shape == expected.embeddings.shape:
        batch_cosines, changed_values = consistency.measure(variant, texts, expected)
        if np.isfinite(embeddings).all():
            scores = score_tasks(variant, batch_size, tasks, texts, embeddings)
    return Measurements(
        embeddings=embeddings,
        hard_embeddings=hard_embeddings,
        passages=len(items[0].passages) if isinstance(items[0], Query) else None,
        tokens=tokens,
        facts=facts,
        missing_inputs=missing_inputs,
        batch_cosines=batch_cosines,
        values_changed_on_repeat=changed_values,
        scores=scores,
    )
