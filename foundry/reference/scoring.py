"""A model's scores on labelled tasks, by Sentence Transformers' own evaluators."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foundry.data.labelled import Task
from foundry.loading.multi_vector import MultiVectorVariant
from foundry.loading.prompts import Method
from foundry.loading.variant import EmbeddingVariant, LoadedVariant, PairVariant
from foundry.reference import between_sides
from foundry.reference.between_sides import OtherSide


class CachedEncoder:
    """What an evaluator takes for a model, but each text is embedded once, however often the evaluator asks for it.

    Similarity data repeats its texts: the 1,225 pairs of Lee et al. are 50 documents.
    """

    def __init__(self, variant: EmbeddingVariant, batch_size: int) -> None:
        self._variant, self._batch_size = variant, batch_size
        self._embeddings: dict[tuple[str, str | None, str], np.ndarray] = {}
        self._of_other_side: dict[tuple[str, str], np.ndarray] = {}
        # All else that evaluators ask a model for.
        self.similarity_fn_name = variant.model.similarity_fn_name
        self.similarity = variant.model.similarity
        self.model_card_data = variant.model.model_card_data

    def remember(self, texts: Sequence[str], embeddings: np.ndarray) -> None:
        """Take embeddings (texts, dimensions) that `encode` gave for these texts without a prompt."""
        self._embeddings |= {("encode", None, text): row for text, row in zip(texts, embeddings, strict=True)}

    def remember_other_side(self, task: Task, name: str, other: OtherSide) -> None:
        """Take what the other side of a Router gave for its part of a retrieval task."""
        method, texts = f"encode_{other.role}", between_sides.task_texts(task, other.role)
        self._of_other_side = {(method, text): row for text, row in zip(texts, other.tasks[name], strict=True)}

    def encode(self, sentences: Sequence[str], **options: Any) -> Any:
        """As SentenceTransformer.encode, of whose options `prompt` and `convert_to_tensor` count."""
        return self._embed("encode", sentences, options)

    def encode_query(self, sentences: Sequence[str], **options: Any) -> Any:
        """As SentenceTransformer.encode_query, with the same options as `encode`."""
        return self._embed("encode_query", sentences, options)

    def encode_document(self, sentences: Sequence[str], **options: Any) -> Any:
        """As SentenceTransformer.encode_document, with the same options as `encode`."""
        return self._embed("encode_document", sentences, options)

    def _embed(self, method: Method, sentences: Sequence[str], options: dict[str, Any]) -> Any:
        import torch

        if any(method == of_other for of_other, _ in self._of_other_side):
            given = np.stack([self._of_other_side[method, text] for text in sentences])
            return torch.from_numpy(given) if options.get("convert_to_tensor") else given
        prompt = options.get("prompt")
        # Without prompts a model embeds queries and documents alike, and what is known of one serves all.
        group = method if prompt or self._variant.has_prompts else "encode"
        missing = [text for text in dict.fromkeys(sentences) if (group, prompt, text) not in self._embeddings]
        if missing:
            rows = self._variant.embed(missing, self._batch_size, method, prompt)
            self._embeddings |= {(group, prompt, text): row for text, row in zip(missing, rows, strict=True)}
        stacked = np.stack([self._embeddings[group, prompt, text] for text in sentences])
        return torch.from_numpy(stacked) if options.get("convert_to_tensor") else stacked


def score_tasks(
    variant: LoadedVariant,
    batch_size: int,
    tasks: Mapping[str, Task],
    texts: Sequence[str],
    embeddings: np.ndarray,
    other: OtherSide | None = None,
) -> dict[str, float]:
    """Each task's score by a variant of any kind.

    `embeddings` are those of the `texts`, and are not made again where a task asks for one of these texts. `other` is
    the other side of a Router, which embeds its part of retrieval tasks.
    """
    if isinstance(variant, PairVariant):
        return score_pairs(variant, batch_size, tasks)
    if isinstance(variant, MultiVectorVariant):
        return score_multi_vector(variant, batch_size, tasks)
    if not isinstance(variant, EmbeddingVariant):
        raise TypeError(f"no evaluators for a {type(variant).__name__}")
    encoder = CachedEncoder(variant, batch_size)
    if not variant.has_prompts:  # With prompts, the evaluators say themselves which text is a query.
        encoder.remember(texts, embeddings)
    return score_embeddings(encoder, tasks, other)


def score_pairs(variant: PairVariant, batch_size: int, tasks: Mapping[str, Task]) -> dict[str, float]:
    """Each task's score by a CrossEncoder: Spearman correlation for similarity, NDCG@10 of the reranked corpus.

    None by a CrossEncoder of several labels: it gives a pair several scores, which rank nothing.
    """
    from sentence_transformers.cross_encoder.evaluation import (
        CrossEncoderCorrelationEvaluator,
        CrossEncoderRerankingEvaluator,
    )

    if variant.model.num_labels != 1:
        return {}
    scores = {}
    for name, task in tasks.items():
        evaluator: Any
        if task["kind"] == "similarity":
            pairs = list(zip(task["first"], task["second"], strict=True))
            evaluator = CrossEncoderCorrelationEvaluator(pairs, task["scores"], write_csv=False)
        else:
            samples = reranking_samples(task)
            evaluator = CrossEncoderRerankingEvaluator(samples, batch_size=batch_size, write_csv=False)
        scores[name] = float(evaluator(variant.model)[evaluator.primary_metric])
    return scores


def score_multi_vector(variant: MultiVectorVariant, batch_size: int, tasks: Mapping[str, Task]) -> dict[str, float]:
    """NDCG@10 by a MultiVectorEncoder for each retrieval task. None for similarity, for which Sentence Transformers has
    no evaluator of this kind: MaxSim of a query with a document is another score than that of the two the other way
    round."""
    from sentence_transformers.multi_vector_encoder.evaluation import MultiVectorInformationRetrievalEvaluator

    scores = {}
    for name, task in tasks.items():
        if task["kind"] == "retrieval":
            relevant = {query: set(documents) for query, documents in task["relevant"].items()}
            evaluator = MultiVectorInformationRetrievalEvaluator(
                task["queries"], task["corpus"], relevant, batch_size=batch_size, write_csv=False
            )
            scores[name] = float(evaluator(variant.model)[evaluator.primary_metric])
    return scores


def why_left_out(kind: str) -> str:
    """Why a task has no score by a model of this kind."""
    if kind == "MultiVectorEncoder":
        return "a MultiVectorEncoder scores documents for a query, and no pair of texts that are neither"
    return f"this {kind} gives a pair several scores, which rank nothing"


def reranking_samples(task: Task) -> list[dict[str, Any]]:
    """Each query of a retrieval task with the corpus in two parts, as CrossEncoderRerankingEvaluator takes it."""
    samples = []
    for query_id, query in task["queries"].items():
        relevant = set(task["relevant"][query_id])
        samples.append(
            {
                "query": query,
                "positive": [task["corpus"][document_id] for document_id in task["relevant"][query_id]],
                "negative": [text for document_id, text in task["corpus"].items() if document_id not in relevant],
            }
        )
    return samples


def score_embeddings(
    encoder: CachedEncoder, tasks: Mapping[str, Task], other: OtherSide | None = None
) -> dict[str, float]:
    """Each task's score by embeddings: Spearman correlation for similarity, NDCG@10 for retrieval."""
    from sentence_transformers.sentence_transformer.evaluation import (
        EmbeddingSimilarityEvaluator,
        InformationRetrievalEvaluator,
    )

    scores = {}
    for name, task in tasks.items():
        evaluator: Any
        if task["kind"] == "similarity":
            similarity = encoder.similarity_fn_name
            evaluator = EmbeddingSimilarityEvaluator(
                task["first"], task["second"], task["scores"], main_similarity=similarity, write_csv=False
            )
        else:
            if other is not None:
                encoder.remember_other_side(task, name, other)
            relevant = {query: set(documents) for query, documents in task["relevant"].items()}
            evaluator = InformationRetrievalEvaluator(task["queries"], task["corpus"], relevant, write_csv=False)
        scores[name] = float(evaluator(encoder)[evaluator.primary_metric])
    return scores
