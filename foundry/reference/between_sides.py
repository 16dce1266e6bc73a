"""What a model that is one side of a Router is compared with beside torch's own embeddings: those of the other side.

Documents are found by similarities between the sides, which neither side has by itself. So the other side embeds all
validation texts by torch, and what retrieval tasks ask it for, and these are frozen. A variant of this side is then
compared with torch's other side: two variants together move a similarity by what each moves it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from foundry_runtime.router import Role

from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.loading.variant import EmbeddingVariant
from foundry.reference import closeness
from foundry.variants import other_side

FILE = "other_side.npz"
ROLE, TEXTS, TASK = "role", "texts", "task_"
DISTANCES = {"euclidean": "euclidean", "manhattan": "cityblock"}  # scipy's names


@dataclass(frozen=True)
class OtherSide:
    """Torch's embeddings by the other side of a Router, float32."""

    role: Role  # of this other side
    embeddings: np.ndarray  # (texts, dimensions): the validation texts
    tasks: Mapping[str, np.ndarray]  # by retrieval task: its queries, or its documents, (texts, dimensions)

    def similarities(self, own: np.ndarray, name: str) -> np.ndarray:
        """How alike each text as a query is to each as a document, (texts, texts), by a similarity of Sentence
        Transformers' names; larger where they are more alike.

        `own` are embeddings (texts, dimensions) of the same texts by the model's own side.
        """
        queries, documents = (self.embeddings, own) if self.role == "query" else (own, self.embeddings)
        if name in DISTANCES:
            from scipy.spatial.distance import cdist

            return -np.asarray(cdist(queries, documents, DISTANCES[name]))
        if name == "cosine":
            queries, documents = closeness.directions(queries), closeness.directions(documents)
        matrix: np.ndarray = queries.astype(np.float64) @ documents.astype(np.float64).T
        return matrix


def task_texts(task: Task, role: Role) -> list[str]:
    """What a retrieval task asks one side to embed: its queries, or its documents; nothing of a similarity task."""
    if task["kind"] != "retrieval":
        return []
    return list((task["queries"] if role == "query" else task["corpus"]).values())


def freeze(folder: Path, texts: Sequence[str], tasks: Mapping[str, Task], batch_size: int) -> OtherSide | None:
    """The embeddings that the other side in `folder` gives by torch; None of a model that is no side of a Router."""
    side = other_side.read(folder)
    if side is None:
        return None
    variant = _load(folder, side)
    asked = {name: task_texts(task, side.role) for name, task in tasks.items()}
    return OtherSide(
        side.role,
        variant.embed(texts, batch_size),
        {name: variant.embed(group, batch_size) for name, group in asked.items() if group},
    )


def _load(folder: Path, side: other_side.OtherSide) -> EmbeddingVariant:
    """The other side by torch; it may be a table of words, of which there is no variant that `loader` would load."""
    import sentence_transformers

    with loader.errors_only(logging.getLogger("sentence_transformers")):
        model = getattr(sentence_transformers, side.kind)(
            str(folder), device="cpu", local_files_only=True, trust_remote_code=side.trust_remote_code
        )
    variant = loader.CLASSES[side.kind](model)
    if not isinstance(variant, EmbeddingVariant):
        raise TypeError(f"no sides of a {side.kind}")
    return variant


def write(folder: Path, side: OtherSide) -> None:
    """Write the other side's embeddings into an existing folder."""
    arrays = {ROLE: np.array(side.role), TEXTS: side.embeddings}
    arrays |= {f"{TASK}{name}": rows for name, rows in side.tasks.items()}
    # Compressed, because most of a sparse embedding is zeros.
    np.savez_compressed(folder / FILE, allow_pickle=False, **arrays)


def read(folder: Path) -> OtherSide | None:
    """Read what `write` wrote; None where it wrote nothing."""
    if not (folder / FILE).is_file():
        return None
    with np.load(folder / FILE) as arrays:
        role: Role = "query" if str(arrays[ROLE]) == "query" else "document"
        tasks = {name.removeprefix(TASK): arrays[name] for name in arrays.files if name.startswith(TASK)}
        return OtherSide(role, arrays[TEXTS], tasks)
