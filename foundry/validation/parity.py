"""Checks that a variant's embeddings, or a CrossEncoder's scores, are torch's."""

from collections.abc import Mapping, Sequence

import numpy as np

from foundry.reference import token_rows
from foundry.reference.closeness import cosines, mean_rank_correlation, rank_correlation, recall_of_neighbours
from foundry.reference.reference import Reference
from foundry.validation.results import Check, at_least, at_most
from foundry.validation.settings import Thresholds


def values(embeddings: np.ndarray, expected: np.ndarray) -> list[Check]:
    """As many dimensions as torch's (texts, dimensions), and no NaN or infinity."""
    return [
        at_most("different_dimensions", abs(embeddings.shape[-1] - expected.shape[-1]), 0),
        at_most("non_finite_values", int((~np.isfinite(embeddings)).sum()), 0),
    ]


def closeness(
    embeddings: np.ndarray, expected: np.ndarray, limits: Thresholds, counts: Sequence[int] = ()
) -> list[Check]:
    """Closeness of embeddings (texts, dimensions) to those of torch, of the same shape; or of the vectors of tokens,
    (tokens, dimensions), of which each text has as many as `counts` say.

    The largest difference is in units of torch's mean embedding length, which is 1 for a normalized model.
    """
    cosine = cosines(embeddings, expected)
    difference = np.abs(embeddings - expected).max() / np.linalg.norm(expected, axis=1).mean()
    return [
        at_least("mean_cosine", cosine.mean(), limits.mean_cosine, token_rows.per_text(cosine, counts)),
        at_least("p5_cosine", np.percentile(cosine, 5), limits.p5_cosine),
        at_least("p1_cosine", np.percentile(cosine, 1), limits.p1_cosine),
        at_least("min_cosine", cosine.min(), limits.min_cosine),
        at_most("max_abs_diff", difference, limits.max_abs_diff),
    ]


def centred_closeness(cosine: np.ndarray, limits: Thresholds, counts: Sequence[int] = ()) -> list[Check]:
    """Closeness by cosines (texts,), or (tokens,), to torch after torch's mean is taken off both.

    Where a model's embeddings all point much the same way, the plain cosine of two different texts is near 1, and what
    tells them apart may be lost without being seen in it.
    """
    return [
        at_least("mean_centred_cosine", cosine.mean(), limits.mean_centred_cosine, token_rows.per_text(cosine, counts)),
        at_least("p5_centred_cosine", np.percentile(cosine, 5), limits.p5_centred_cosine),
        at_least("p1_centred_cosine", np.percentile(cosine, 1), limits.p1_centred_cosine),
        at_least("min_centred_cosine", cosine.min(), limits.min_centred_cosine),
    ]


def hard_texts(embeddings: np.ndarray, cosine: np.ndarray, limits: Thresholds) -> list[Check]:
    """That none of the hard texts gives NaN or infinity, and closeness on them, by centred cosines (hard texts,)."""
    return [
        at_most("hard_non_finite_values", int((~np.isfinite(embeddings)).sum()), 0),
        at_least("hard_min_cosine", cosine.min(), limits.hard_min_cosine),
    ]


def ranking(
    embeddings: np.ndarray, expected: np.ndarray, limits: Thresholds, counts: Sequence[int] = ()
) -> list[Check]:
    """Each text keeps its nearest neighbours, and all similarities keep their order.

    With `counts` they are MaxSim's, which is one way round alone: the order of the documents counts for each query.
    """
    similarity, expected_similarity = (token_rows.similarities(rows, counts) for rows in (embeddings, expected))
    recall = recall_of_neighbours(similarity, expected_similarity)
    correlate = mean_rank_correlation if len(counts) else rank_correlation
    correlation = correlate(similarity, expected_similarity)
    return [
        at_least("recall_at_10", recall.mean(), limits.recall_at_10, recall),
        at_least("similarity_spearman", correlation, limits.similarity_spearman),
    ]


def between_sides(embeddings: np.ndarray, expected: Reference, limits: Thresholds) -> list[Check]:
    """Of one side of a Router, that each query keeps its nearest documents, and all documents their order: the variant
    embeds one of the two, and torch's other side the other. A text is not looked for by itself."""
    if expected.other_side is None:
        return []
    name = expected.facts["similarity"]
    similarity, torchs = (expected.other_side.similarities(rows, name) for rows in (embeddings, expected.embeddings))
    recall = recall_of_neighbours(similarity, torchs)
    return [
        at_least("between_sides_recall_at_10", recall.mean(), limits.recall_at_10, recall),
        at_least("between_sides_order", mean_rank_correlation(similarity, torchs), limits.similarity_spearman),
    ]


def texts_of_other_lengths(count: int) -> Check:
    """That each text has as many vectors as torch's: each token that counts has one."""
    return at_most("texts_of_other_lengths", count, 0)


def active_dimensions(embeddings: np.ndarray, expected: np.ndarray, limits: Thresholds) -> Check:
    """The share of a text's active dimensions that are active in both sparse vectors, of those active in either."""
    active, expected_active = embeddings > 0, expected > 0
    in_either = (active | expected_active).sum(axis=1)
    in_both = (active & expected_active).sum(axis=1)
    overlap = np.where(in_either == 0, 1.0, in_both / np.maximum(in_either, 1))
    return at_least("active_dimensions", overlap.mean(), limits.active_dimensions, overlap)


def passage_order(scores: np.ndarray, expected: np.ndarray, limits: Thresholds) -> Check:
    """The share of pairs of passages that are in torch's order, by scores (queries, passages, labels).

    A pair is weighted by how far apart torch has them: two that it hardly tells apart may change places.
    """
    first, second = np.triu_indices(expected.shape[1], 1)
    distance, expected_distance = (array[:, first] - array[:, second] for array in (scores, expected))
    weights = np.abs(expected_distance)
    in_order = (weights * (expected_distance * distance > 0)).sum(axis=(1, 2))
    share = in_order / np.maximum(weights.sum(axis=(1, 2)), 1e-12)
    return at_least("passage_order", share.mean(), limits.passage_order, share)


def task_ratios(scores: Mapping[str, float], expected: Mapping[str, float], limits: Thresholds) -> list[Check]:
    """The score on each task as a ratio to torch's."""
    return [at_least(f"task_ratio_{name}", score / expected[name], limits.task_ratio) for name, score in scores.items()]
