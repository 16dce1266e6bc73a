"""What every variant is compared with: torch's embeddings and scores, and what kind of model it is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foundry.base import files
from foundry.variants.facts import Facts


@dataclass(frozen=True)
class Reference:
    """The reference of one model, as `embed` froze it."""

    embeddings: np.ndarray  # (texts, dimensions), float32: the validation texts, less `offset`
    hard_texts: dict[str, str]  # by name
    hard_embeddings: np.ndarray  # (hard texts, dimensions), float32, each embedded alone, less `offset`
    tokens: list[list[int]]  # token ids of the validation texts, then of the hard texts
    facts: Facts
    scores: dict[str, float]  # by task
    vocabulary_size: int
    batch_size: int  # in which the validation texts were embedded
    offset: float  # the mean of a CrossEncoder's scores, which would drown their differences in a cosine; else 0

    def centred(self, rows: np.ndarray) -> np.ndarray:
        """Rows (texts, dimensions) of a variant less `offset`, to be compared with the embeddings here."""
        return rows - np.float32(self.offset) if self.offset else rows

    @property
    def vocabulary_covered(self) -> int:
        """How many entries of the vocabulary occur in the texts: damage to the row of any other entry goes unseen."""
        return len({token for ids in self.tokens for token in ids})


def write(folder: Path, reference: Reference) -> None:
    """Write the reference into an existing folder: the arrays to embeddings.npz, the rest to reference.json."""
    np.savez(folder / "embeddings.npz", texts=reference.embeddings, hard=reference.hard_embeddings)
    record = {
        "facts": reference.facts,
        "scores": reference.scores,
        "vocabulary_size": reference.vocabulary_size,
        "batch_size": reference.batch_size,
        "offset": reference.offset,
        "hard": reference.hard_texts,
        "tokens": reference.tokens,
    }
    files.write_json(folder / "reference.json", record)


def read(folder: Path) -> Reference:
    """Read what `write` wrote."""
    record = files.read_json(folder / "reference.json")
    hard_texts = record.pop("hard")
    with np.load(folder / "embeddings.npz") as arrays:
        return Reference(embeddings=arrays["texts"], hard_texts=hard_texts, hard_embeddings=arrays["hard"], **record)
