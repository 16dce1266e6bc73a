"""What is measured on a loaded variant, for all checks together: each thing once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from foundry.data.labelled import Task
from foundry.loading.items import Query
from foundry.loading.variant import LoadedVariant
from foundry.reference import sequences, token_rows
from foundry.reference.closeness import cosines
from foundry.reference.reference import Reference
from foundry.reference.scoring import score_tasks
from foundry.validation import consistency, lengths, vocabulary
from foundry.variants.facts import Facts


@dataclass(frozen=True)
class Closeness:
    """What a variant gives on the texts of the reference, each text in one batch."""

    embeddings: np.ndarray  # (texts, dimensions), or (tokens, dimensions), float32, less the reference's offsets
    hard_embeddings: np.ndarray  # (hard texts, dimensions), the same
    passages: int | None  # of each query of a CrossEncoder
    # How many rows each text has, where that is one for each token; else empty.
    counts: list[int]
    hard_counts: list[int]

    def texts_of_other_lengths(self, expected: Reference) -> int:
        """How many texts have another number of rows than torch's."""
        pairs = zip([*self.counts, *self.hard_counts], [*expected.counts, *expected.hard_counts], strict=True)
        return sum(count != torchs for count, torchs in pairs)

    def is_comparable(self, expected: Reference) -> bool:
        """Whether the rows are of the same texts and tokens as torch's, and have as many columns."""
        return self.embeddings.shape == expected.embeddings.shape and not self.texts_of_other_lengths(expected)


@dataclass(frozen=True)
class Measurements(Closeness):
    """What a variant gives on the texts and tasks of the reference.

    Without `batch_cosines` and `scores` where the embeddings have another shape than torch's, and without `scores`
    where they are not finite.
    """

    tokens: list[list[int]]  # token ids of the texts, then of the hard texts
    facts: Facts
    missing_inputs: Collection[str]  # inputs of the graph that the tokenizer does not give
    batch_cosines: Mapping[str, np.ndarray] = field(default_factory=dict)  # by kind of batch: (texts,)
    values_changed_on_repeat: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)  # by task
    length_cosines: Mapping[str, np.ndarray] = field(default_factory=dict)  # by kind of batch, with torch
    sequence_cosines: np.ndarray = field(default_factory=lambda: np.zeros(0))  # of sequences of ids, with torch
    words: int = 0  # how many of the vocabulary were in these sequences


def measure_closeness(variant: LoadedVariant, texts: Sequence[str], expected: Reference, batch_size: int) -> Closeness:
    """Embed the texts and hard texts, and nothing else."""
    items, hard_items = variant.items(texts), variant.items(list(expected.hard_texts.values()))
    rows, counts = token_rows.encode(variant, items, batch_size)
    hard_rows, hard_counts = token_rows.encode(variant, hard_items, batch_size=1)
    passages = len(items[0].passages) if isinstance(items[0], Query) else None
    return Closeness(expected.less_offsets(rows), expected.less_offsets(hard_rows), passages, counts, hard_counts)


def measure(
    variant: LoadedVariant,
    texts: Sequence[str],
    tasks: Mapping[str, Task],
    expected: Reference,
    batch_size: int,
    all_words: bool = False,
) -> Measurements:
    """Embed the texts and hard texts, and where that makes sense also the batches, lengths, words and tasks.

    `all_words` asks for all of the vocabulary instead of some words from all over it.
    """
    closeness = measure_closeness(variant, texts, expected, batch_size)
    embeddings = closeness.embeddings
    items, hard_items = variant.items(texts), variant.items(list(expected.hard_texts.values()))
    batch_cosines: dict[str, np.ndarray] = {}
    changed_values = 0
    scores: dict[str, float] = {}
    length_cosines: dict[str, np.ndarray] = {}
    sequence_cosines, words = np.zeros(0), 0
    # Asked for after texts were embedded, as in the reference: some modules learn their own width from them.
    facts = variant.facts()
    tokens = variant.token_ids([*items, *hard_items])
    missing_inputs = variant.graph_inputs - set(variant.tokenize(items[:1]))
    if closeness.is_comparable(expected):
        batch_cosines, changed_values = consistency.measure(variant, texts, expected)
        length_cosines = lengths.measure(variant, expected)
        if len(expected.coverage.sequences):
            more_batches, sequence_cosines, words = measure_sequences(variant, expected, all_words)
            batch_cosines |= more_batches
        if np.isfinite(embeddings).all():
            scores = score_tasks(variant, batch_size, tasks, texts, embeddings, expected.other_side)
    return Measurements(
        embeddings=embeddings,
        hard_embeddings=closeness.hard_embeddings,
        passages=closeness.passages,
        counts=closeness.counts,
        hard_counts=closeness.hard_counts,
        tokens=tokens,
        facts=facts,
        missing_inputs=missing_inputs,
        batch_cosines=batch_cosines,
        values_changed_on_repeat=changed_values,
        scores=scores,
        length_cosines=length_cosines,
        sequence_cosines=sequence_cosines,
        words=words,
    )


def measure_sequences(
    variant: LoadedVariant, expected: Reference, all_words: bool
) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """Sequences of ids in batches and alone, by kind of batch; their cosines with torch; how many words they have."""
    covered = expected.coverage
    numbers = vocabulary.sample(len(covered.sequences), vocabulary.SEQUENCES)
    batch_cosines, alone = consistency.measure_sequences(variant, covered.sequences[numbers], expected)
    if all_words and len(covered.sequences) > len(numbers):
        numbers = np.arange(len(covered.sequences))
        alone = expected.less_offsets(sequences.encode(variant, covered.sequences, vocabulary.BATCH_SIZE))
    per_row = len(covered.sequences) // len(covered.sequence_rows)
    groups = numbers[::per_row] // per_row
    torchs = expected.less_offsets(covered.sequence_rows[groups])
    cosine = cosines(expected.as_rows(alone), expected.as_rows(torchs))
    words = sequences.words_in(covered.sequences[numbers], sequences.special_ids(variant))
    return batch_cosines, cosine, words
