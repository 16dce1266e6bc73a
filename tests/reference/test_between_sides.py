"""What is between the two sides of a Router: similarities, scores and what of the other side is frozen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.reference import between_sides, scoring
from foundry.reference.between_sides import OtherSide
from foundry.variants import other_side

GENERATOR = np.random.default_rng(0)
QUERIES, DOCUMENTS = (GENERATOR.normal(size=(6, 8)).astype(np.float32) for _ in range(2))
TEXTS = ["a short one", "another text, which is longer", ""]
SEARCH: Task = {
    "kind": "retrieval",
    "queries": {"q0": "On the sea", "q1": "On money"},
    "corpus": {"d0": "On the sea", "d1": "On money", "d2": "On wind and rain"},
    "relevant": {"q0": ["d0"], "q1": ["d1"]},
}
SIMILARITY: Task = {"kind": "similarity", "first": ["A"], "second": ["B"], "scores": [0.9]}


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities_are_those_of_sentence_transformers(name: str) -> None:
    from sentence_transformers.util import SimilarityFunction

    expected = SimilarityFunction.to_similarity_fn(name)(QUERIES, DOCUMENTS).numpy()
    for other, own in ((OtherSide("document", DOCUMENTS, {}), QUERIES), (OtherSide("query", QUERIES, {}), DOCUMENTS)):
        assert other.similarities(own, name) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("own", ["query", "document"])
def test_the_other_side_embeds_texts_and_its_part_of_a_search(checkpoint: Path, tmp_path: Path, own: Any) -> None:
    other_side.write(tmp_path / "other", checkpoint, own, "SentenceTransformer", trusted=False)
    frozen = between_sides.freeze(tmp_path / "other", TEXTS, {"search": SEARCH, "sts": SIMILARITY}, batch_size=2)
    assert frozen is not None
    between_sides.write(tmp_path, frozen)
    read = between_sides.read(tmp_path)
    assert read is not None
    torch = loader.load(checkpoint, "torch")
    asked = list(SEARCH["corpus" if own == "query" else "queries"].values())
    for side in (frozen, read):
        assert side.role == other_side.opposite(own)
        assert side.embeddings == pytest.approx(torch.encode(TEXTS), abs=1e-6)
        assert list(side.tasks) == ["search"]
        assert side.tasks["search"] == pytest.approx(torch.encode(asked), abs=1e-6)


def test_a_model_that_is_no_side_has_nothing_frozen(checkpoint: Path, tmp_path: Path) -> None:
    other_side.write(tmp_path / "other", checkpoint, None, "SentenceTransformer", trusted=False)
    assert between_sides.freeze(tmp_path / "other", TEXTS, {}, batch_size=2) is None
    assert between_sides.read(tmp_path) is None


@pytest.mark.parametrize("role", ["query", "document"])
def test_a_search_is_scored_by_both_sides(checkpoint: Path, role: Any) -> None:
    variant = loader.load(checkpoint, "torch")
    texts = between_sides.task_texts(SEARCH, role)
    rows = variant.encode(texts)
    tasks: dict[str, Task] = {"search": SEARCH}

    def score(other: OtherSide | None) -> float:
        return scoring.score_tasks(variant, 8, tasks, [], np.empty((0, 32)), other)["search"]

    assert score(None) == 1.0  # each query is a document, word for word
    assert score(OtherSide(role, rows[:0], {"search": rows})) == 1.0
    # The other side has taken one of these two for the other.
    swapped = rows[[1, 0, *range(2, len(rows))]]
    assert score(OtherSide(role, rows[:0], {"search": swapped})) < 1.0
    with pytest.raises(KeyError):
        score(OtherSide(role, rows[:0], {}))
