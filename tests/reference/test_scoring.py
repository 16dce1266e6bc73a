"""A model's scores on labelled tasks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.loading.variant import EmbeddingVariant, PairVariant
from foundry.reference import scoring

SIMILARITY: Task = {
    "kind": "similarity",
    "first": ["A man eats.", "A man eats."],
    "second": ["A man is eating.", "Rain."],
    "scores": [0.9, 0.1],
}
RETRIEVAL: Task = {
    "kind": "retrieval",
    "queries": {"q0": "On the sea"},
    "corpus": {"d0": "On the sea", "d1": "On money", "d2": "On wind and rain"},
    "relevant": {"q0": ["d0"]},
}


class CountingModel:
    """Gives each text its length, and remembers what it was asked for."""

    prompts: dict[str, str] = {}  # noqa: RUF012
    similarity_fn_name, similarity, model_card_data = "cosine", None, None

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def __iter__(self) -> Iterator[Any]:
        """The modules, of which none is a Router."""
        return iter(())

    def encode(self, texts: list[str], **options: Any) -> np.ndarray:
        self.encoded += texts
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

    encode_query = encode


def test_scores_on_both_kinds_of_task(tiny: Path) -> None:
    variant = loader.load(tiny / "onnx", "onnx")
    scores = scoring.score_tasks(variant, 8, {"search": RETRIEVAL, "sts": SIMILARITY}, [], np.empty((0, 32)))
    assert scores["search"] == 1.0  # the query is the document, word for word
    assert scores["sts"] == pytest.approx(1.0)


def test_repeated_texts_are_embedded_once() -> None:
    model = CountingModel()
    encoder = scoring.CachedEncoder(EmbeddingVariant(model), 8)
    encoder.remember(["aa"], np.array([[2.0, 1.0]], dtype=np.float32))
    assert encoder.encode(["aa", "b", "b"])[:, 0].tolist() == [2, 1, 1]
    assert encoder.encode_query(["b"], convert_to_tensor=True).shape == (1, 2)
    assert model.encoded == ["b"]


def test_with_prompts_a_query_is_another_text_than_a_document() -> None:
    model = CountingModel()
    model.prompts = {"query": "query: "}
    encoder = scoring.CachedEncoder(EmbeddingVariant(model), 8)
    encoder.encode(["b"])
    encoder.encode_query(["b"])
    assert model.encoded == ["b", "b"]


def test_a_reranker_gets_the_relevant_documents_and_the_others_apart() -> None:
    [sample] = scoring.reranking_samples(RETRIEVAL)
    assert sample == {"query": "On the sea", "positive": ["On the sea"], "negative": ["On money", "On wind and rain"]}


def test_several_labels_rank_nothing() -> None:
    class Classifier:
        num_labels = 3

    assert scoring.score_pairs(PairVariant(Classifier()), 8, {"sts": SIMILARITY}) == {}
