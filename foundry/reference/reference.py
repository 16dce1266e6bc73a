"""What every variant is compared with: torch's embeddings and scores, and what kind of model it is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from foundry.base import files
from foundry.loading.items import first_tokenizer_input, make_items
from foundry.reference import between_sides, closeness, coverage, queries, token_rows
from foundry.reference.between_sides import OtherSide
from foundry.reference.coverage import Coverage
from foundry.reference.queries import Queries
from foundry.reference.scripts import Scripts
from foundry.variants.facts import Facts


@dataclass(frozen=True)
class Reference:
    """The reference of one model, as `embed` froze it."""

    embeddings: np.ndarray  # (texts, dimensions), float32: the validation texts, less `offsets`
    hard_texts: dict[str, str]  # by name
    hard_embeddings: np.ndarray  # (hard texts, dimensions), float32, each embedded alone, less `offsets`
    tokens: list[list[int]]  # token ids of the validation texts, then of the hard texts
    facts: Facts
    scores: dict[str, float]  # by task
    vocabulary_size: int
    scripts: Scripts  # of the validation texts and of the vocabulary
    batch_size: int  # in which the validation texts were embedded
    # Of a CrossEncoder, the mean of its scores for each label, which would drown their differences in a cosine.
    offsets: list[float]
    hard_texts_left_out: list[str] = field(default_factory=list)  # their names: there was no memory for them
    coverage: Coverage = field(default_factory=Coverage)  # of lengths, batches and the vocabulary
    queries: Queries | None = None  # of a model with a table for queries: the validation texts, then `query_texts`
    query_texts: list[str] = field(default_factory=list)
    # How many rows each text has of `embeddings`, and each hard text of `hard_embeddings`; empty where each has one.
    counts: list[int] = field(default_factory=list)
    hard_counts: list[int] = field(default_factory=list)
    other_side: OtherSide | None = None  # where the model is one side of a Router

    def rows_of(self, places: Sequence[int]) -> np.ndarray:
        """Torch's rows of the validation texts at these places, (rows, dimensions)."""
        return token_rows.selected(self.embeddings, self.counts, places)

    def as_rows(self, sequences: np.ndarray) -> np.ndarray:
        """Rows of sequences as there are of texts: where there is one for each token, all of them, one below the
        other."""
        return sequences.reshape(-1, self.embeddings.shape[1]) if self.counts else sequences

    def less_offsets(self, rows: np.ndarray) -> np.ndarray:
        """Rows (texts, dimensions) of a variant less `offsets`, to be compared with the embeddings here."""
        return less_offsets(rows, self.offsets)

    @cached_property
    def mean(self) -> np.ndarray:
        """What all texts have in common, (dimensions,): the mean of torch's directions on the validation texts."""
        mean: np.ndarray = self._compared(self.embeddings).mean(axis=0)
        return mean

    def without_mean(self, rows: np.ndarray) -> np.ndarray:
        """What tells these texts from others: rows (texts, dimensions), already less `offsets`, without `mean`."""
        rest: np.ndarray = self._compared(rows) - self.mean
        return rest

    def centred_cosines(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """`closeness.cosines` of rows (texts, dimensions), already less `offsets`, after `mean` is taken off both."""
        return closeness.cosines(self.without_mean(left), self.without_mean(right))

    def _compared(self, rows: np.ndarray) -> np.ndarray:
        """Of an embedding the direction counts; of a CrossEncoder's scores, the scores."""
        return rows.astype(np.float64) if self.facts["kind"] == "CrossEncoder" else closeness.directions(rows)

    def without_hard_texts(self, left_out: Collection[str]) -> "Reference":
        """The same without the hard texts of these names, which are said to be left out."""
        kept = [index for index, name in enumerate(self.hard_texts) if name not in left_out]
        texts = len(self.tokens) - len(self.hard_texts)
        return replace(
            self,
            hard_texts={name: text for name, text in self.hard_texts.items() if name not in left_out},
            hard_embeddings=token_rows.selected(self.hard_embeddings, self.hard_counts, kept),
            hard_counts=[self.hard_counts[index] for index in kept] if self.hard_counts else [],
            tokens=[*self.tokens[:texts], *(self.tokens[texts + index] for index in kept)],
            hard_texts_left_out=sorted({*self.hard_texts_left_out, *left_out}),
        )

    def tokenizer_inputs(self, texts: Sequence[str]) -> list[str | tuple[str, str]]:
        """What a tokenizer takes of the validation texts and then of the hard texts: the texts or pairs of `tokens`."""
        kind = self.facts["kind"]
        items = [*make_items(texts, kind), *make_items(list(self.hard_texts.values()), kind)]
        return [first_tokenizer_input(item) for item in items]

    @property
    def vocabulary_covered(self) -> int:
        """How many entries of the vocabulary occur in the texts: damage to the row of any other entry goes unseen."""
        return len({token for ids in self.tokens for token in ids})


def less_offsets(rows: np.ndarray, offsets: Sequence[float]) -> np.ndarray:
    """Rows (texts, dimensions) less one offset for each label; a row has the labels of a passage side by side."""
    if not offsets or rows.shape[1] % len(offsets):  # Of another width than torch's, which has its own check.
        return rows
    return rows - np.tile(np.array(offsets, dtype=np.float32), rows.shape[1] // len(offsets))


def write(folder: Path, reference: Reference) -> None:
    """Write the reference into an existing folder: the arrays to embeddings.npz, the rest to reference.json."""
    np.savez(folder / "embeddings.npz", texts=reference.embeddings, hard=reference.hard_embeddings)
    record = {
        "facts": reference.facts,
        "scores": reference.scores,
        "vocabulary_size": reference.vocabulary_size,
        "scripts": reference.scripts,
        "batch_size": reference.batch_size,
        "offsets": reference.offsets,
        "hard": reference.hard_texts,
        "tokens": reference.tokens,
        "hard_texts_left_out": reference.hard_texts_left_out,
    }
    if reference.queries is not None:
        record["query_texts"] = reference.query_texts
        queries.write(folder, reference.queries)
    if reference.counts:
        record |= {"counts": reference.counts, "hard_counts": reference.hard_counts}
    files.write_json(folder / "reference.json", record)
    coverage.write(folder, reference.coverage)
    if reference.other_side is not None:
        between_sides.write(folder, reference.other_side)


def read(folder: Path) -> Reference:
    """Read what `write` wrote."""
    record = files.read_json(folder / "reference.json")
    hard_texts = record.pop("hard")
    with np.load(folder / "embeddings.npz") as arrays:
        return Reference(
            embeddings=arrays["texts"],
            hard_texts=hard_texts,
            hard_embeddings=arrays["hard"],
            coverage=coverage.read(folder),
            queries=queries.read(folder),
            other_side=between_sides.read(folder),
            **record,
        )
