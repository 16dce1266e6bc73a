"""Labelled tasks, frozen beside the texts, and a model's scores on them by Sentence Transformers' own evaluators."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foundry.base.errors import FoundryError
from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.loading.encoders import Prompted


class CachedEncoder:
    """A model that embeds each text once, however often an evaluator asks for it.

    Similarity data repeats its texts: the 1,225 pairs of Lee et al. are 50 documents.
    """

    def __init__(self, model: Any, batch_size: int) -> None:
        self._model, self._batch_size = model, batch_size
        self._known: dict[tuple[str, str | None, str], np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def remember(self, texts: Sequence[str], embeddings: np.ndarray) -> None:
        """Take over what `encode` gave for these texts."""
        self._known |= {("encode", None, text): row for text, row in zip(texts, embeddings, strict=True)}

    def encode(self, sentences: Sequence[str], **options: Any) -> Any:
        return self._embed("encode", sentences, options)

    def encode_query(self, sentences: Sequence[str], **options: Any) -> Any:
        return self._embed("encode_query", sentences, options)

    def encode_document(self, sentences: Sequence[str], **options: Any) -> Any:
        return self._embed("encode_document", sentences, options)

    def _embed(self, how: str, sentences: Sequence[str], options: dict[str, Any]) -> Any:
        import torch

        prompt = options.get("prompt")
        # Without prompts of its own a model embeds queries and documents alike, and what is known of one serves all.
        kind = how if prompt or any(self._model.prompts.values()) else "encode"
        missing = [text for text in dict.fromkeys(sentences) if (kind, prompt, text) not in self._known]
        if missing:
            embed = getattr(self._model, how)
            rows = embed(missing, prompt=prompt, batch_size=self._batch_size, convert_to_numpy=True)
            self._known |= {(kind, prompt, text): row for text, row in zip(missing, rows, strict=True)}
        stacked = np.stack([self._known[kind, prompt, text] for text in sentences])
        return torch.from_numpy(stacked) if options.get("convert_to_tensor") else stacked


def score_tasks(
    model: Any, batch_size: int, tasks: Mapping[str, Task], known: Sequence[str], embeddings: np.ndarray
) -> dict[str, float]:
    """Each task's score by a loaded model of any kind; the embeddings of the `known` texts are not made again."""
    if loader.of_pairs(model):
        return score_pairs(model, batch_size, tasks)
    if isinstance(model, Prompted):  # the evaluators say themselves which text is a query
        return score(CachedEncoder(model.model, batch_size), tasks)
    encoder = CachedEncoder(model, batch_size)
    encoder.remember(known, embeddings)
    return score(encoder, tasks)


def score_pairs(model: Any, batch_size: int, tasks: Mapping[str, Task]) -> dict[str, float]:
    """Each task's score by a CrossEncoder: Spearman correlation for similarity, NDCG@10 of the reranked corpus.

    Raises:
        FoundryError: for a CrossEncoder of several labels, whose scores rank nothing by themselves.
    """
    from sentence_transformers.cross_encoder.evaluation import (
        CrossEncoderCorrelationEvaluator,
        CrossEncoderRerankingEvaluator,
    )

    if tasks and model.num_labels != 1:
        raise FoundryError(f"a CrossEncoder of {model.num_labels} labels cannot be scored on tasks; take them out")
    scores = {}
    for name, task in tasks.items():
        evaluator: Any
        if task["kind"] == "similarity":
            pairs = list(zip(task["first"], task["second"], strict=True))
            evaluator = CrossEncoderCorrelationEvaluator(pairs, task["scores"], write_csv=False)
        else:
            samples = [
                {
                    "query": query,
                    "positive": [task["corpus"][one] for one in task["relevant"][key]],
                    "negative": [text for one, text in task["corpus"].items() if one not in set(task["relevant"][key])],
                }
                for key, query in task["queries"].items()
            ]
            evaluator = CrossEncoderRerankingEvaluator(samples, batch_size=batch_size, write_csv=False)
        scores[name] = float(evaluator(model)[evaluator.primary_metric])
    return scores


def score(model: CachedEncoder, tasks: Mapping[str, Task]) -> dict[str, float]:
    """Each task's score: Spearman correlation for similarity, NDCG@10 for retrieval."""
    from sentence_transformers.sentence_transformer.evaluation import (
        EmbeddingSimilarityEvaluator,
        InformationRetrievalEvaluator,
    )

    scores = {}
    for name, task in tasks.items():
        evaluator: Any
        if task["kind"] == "similarity":
            evaluator = EmbeddingSimilarityEvaluator(
                task["first"], task["second"], task["scores"], main_similarity=model.similarity_fn_name, write_csv=False
            )
        else:
            relevant = {query: set(documents) for query, documents in task["relevant"].items()}
            evaluator = InformationRetrievalEvaluator(task["queries"], task["corpus"], relevant, write_csv=False)
        scores[name] = float(evaluator(model)[evaluator.primary_metric])
    return scores
