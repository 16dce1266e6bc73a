"""The checks of a variant against the reference, each a value and its threshold."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from foundry.loading import loader
from foundry.loading.encoders import Item, Query, items, tokenizable
from foundry.reference import reference
from foundry.reference.closeness import (
    bootstrap_interval,
    cosines,
    rank_correlation,
    recall_of_neighbours,
    similarities,
)
from foundry.reference.reference import Reference
from foundry.validation.results import Check
from foundry.validation.settings import Thresholds

SETTINGS = ("similarity", "prompts", "truncate_dim")  # facts that must be the source's


CONSISTENCY_TEXTS = 32


BESIDE_LONG_TEXTS = 4  # each is padded to the full length, so these cost the most


BESIDE_LONG_WORDS = 512


def at_least(name: str, value: float, threshold: float, values: np.ndarray | None = None) -> Check:
    """A check that passes from the threshold up; with the single `values`, also the interval of their mean."""
    interval = list(bootstrap_interval(values)) if values is not None and np.isfinite(values).all() else None
    return _check(name, value, threshold, ">=", bool(value >= threshold), interval)


def at_most(name: str, value: float, threshold: float) -> Check:
    """A check that passes up to the threshold."""
    return _check(name, value, threshold, "<=", bool(value <= threshold), None)


def _check(
    name: str, value: float, threshold: float, relation: Any, passed: bool, interval: list[float] | None
) -> Check:
    number = float(value) if np.isfinite(value) else None  # what is not a number never passes
    return {
        "check": name,
        "value": number,
        "threshold": threshold,
        "relation": relation,
        "passed": passed,
        "interval": interval,
    }


def integrity(model: Any, expected: Reference, some: Sequence[Item], hard: Sequence[Item]) -> list[Check]:
    """Tokenizer, maximum length, pooling and every other setting are the source's; each check counts what differs."""
    own = reference.facts(model)
    tokens = reference.token_ids(model, [*some, *hard])
    given = set(model.preprocess([tokenizable(some[0])])) if hasattr(model[0].auto_model, "input_names") else set()
    needed = set(getattr(model[0].auto_model, "input_names", ()))
    return [
        at_most("different_tokens", sum(a != b for a, b in zip(tokens, expected.tokens, strict=True)), 0),
        at_most("different_max_length", own["max_seq_length"] != expected.facts["max_seq_length"], 0),
        at_most("different_modules", own["modules"] != expected.facts["modules"], 0),
        at_most(
            "different_settings",
            sum(own[key] != expected.facts[key] for key in ("similarity", "prompts", "truncate_dim")),
            0,
        ),
        at_most("inputs_not_given", len(needed - given), 0),
    ]


def parity(embeddings: np.ndarray, expected: np.ndarray, limits: Thresholds) -> list[Check]:
    """Closeness of embeddings (texts, dimensions) to those of torch, of the same shape.

    The largest difference is in units of torch's mean embedding length, which is 1 for a normalized model.
    """
    checks = [
        at_most("different_dimensions", abs(embeddings.shape[-1] - expected.shape[-1]), 0),
        at_most("non_finite_values", int((~np.isfinite(embeddings)).sum()), 0),
    ]
    if embeddings.shape != expected.shape:
        return checks
    cosine = cosines(embeddings, expected)
    difference = np.abs(embeddings - expected).max() / np.linalg.norm(expected, axis=1).mean()
    return [
        *checks,
        at_least("mean_cosine", cosine.mean(), limits.mean_cosine, cosine),
        at_least("p5_cosine", np.percentile(cosine, 5), limits.p5_cosine),
        at_least("p1_cosine", np.percentile(cosine, 1), limits.p1_cosine),
        at_least("min_cosine", cosine.min(), limits.min_cosine),
        at_most("max_abs_diff", difference, limits.max_abs_diff),
    ]


def hard_parity(embeddings: np.ndarray, expected: Reference, limits: Thresholds) -> list[Check]:
    """Closeness on the hard texts, and that none of them gives NaN or infinity."""
    cosine = cosines(embeddings, expected.hard_embeddings)
    return [
        at_most("hard_non_finite_values", int((~np.isfinite(embeddings)).sum()), 0),
        at_least("hard_min_cosine", cosine.min(), limits.hard_min_cosine),
    ]


def ranking(embeddings: np.ndarray, expected: np.ndarray, limits: Thresholds) -> list[Check]:
    """Whether each text keeps its nearest neighbours, and all similarities their order."""
    own, theirs = similarities(embeddings), similarities(expected)
    recall = recall_of_neighbours(own, theirs)
    return [
        at_least("recall_at_10", recall.mean(), limits.recall_at_10, recall),
        at_least("similarity_spearman", rank_correlation(own, theirs), limits.similarity_spearman),
    ]


def active_dimensions(embeddings: np.ndarray, expected: np.ndarray, limits: Thresholds) -> Check:
    """Of the dimensions that are active in a text's sparse vector, its own or torch's, the share that is in both."""
    own, theirs = embeddings > 0, expected > 0
    either = (own | theirs).sum(axis=1)
    overlap = np.where(either == 0, 1.0, (own & theirs).sum(axis=1) / np.maximum(either, 1))
    return at_least("active_dimensions", overlap.mean(), limits.active_dimensions, overlap)


def passage_order(scores: np.ndarray, expected: np.ndarray, limits: Thresholds) -> Check:
    """Of any two passages of a query, whether they are in torch's order, by scores (queries, passages, labels).

    Weighted by how far apart torch has them: two that it hardly tells apart may change places.
    """
    first, second = np.triu_indices(expected.shape[1], 1)
    theirs, own = (one[:, first] - one[:, second] for one in (expected, scores))
    weights = np.abs(theirs)
    kept = (weights * (theirs * own > 0)).sum(axis=(1, 2)) / np.maximum(weights.sum(axis=(1, 2)), 1e-12)
    return at_least("passage_order", kept.mean(), limits.passage_order, kept)


def contexts(model: Any, chosen: Sequence[str], expected: Reference) -> tuple[dict[str, np.ndarray], int]:
    """Cosines of texts embedded alone with the same texts in batches of 8 and 32 and padded beside a very long one;
    and how many values differ when the same batch is embedded twice.
    """

    of_pairs = loader.of_pairs(model)

    def embed(some: Sequence[Item], batch_size: int) -> np.ndarray:
        return expected.centred(model.encode(list(some), batch_size=batch_size, show_progress_bar=False))

    some = items(chosen[:CONSISTENCY_TEXTS], of_pairs)
    few = some[:BESIDE_LONG_TEXTS]
    alone, of_32 = embed(some, 1), embed(some, 32)
    [long] = items([" ".join(["long"] * BESIDE_LONG_WORDS)], of_pairs)
    width = len(few[0].passages) if isinstance(few[0], Query) else 1  # so that all stand in one batch
    found = {
        "batch_of_8": cosines(embed(some, 8), alone),
        "batch_of_32": cosines(of_32, alone),
        "beside_a_long_one": cosines(embed([*few, long], (len(few) + 1) * width)[:-1], alone[: len(few)]),
    }
    return found, int((embed(some, 32) != of_32).sum())


def consistency(found: dict[str, np.ndarray], changed_values: int, limits: Thresholds) -> list[Check]:
    """The worst of the contexts, by mean and by minimum, and that the same batch twice gives the same bits."""
    worst = min(found.values(), key=lambda cosine: cosine.mean())
    lowest = min(cosine.min() for cosine in found.values())
    return [
        at_least("consistency_mean_cosine", worst.mean(), limits.consistency_mean_cosine, worst),
        at_least("consistency_min_cosine", lowest, limits.consistency_min_cosine),
        at_most("values_changed_on_repeat", changed_values, 0),
    ]


def task_ratios(scores: dict[str, float], expected: Reference, limits: Thresholds) -> list[Check]:
    """The score on each task as a ratio to torch's."""
    return [
        at_least(f"task_ratio_{name}", value / expected.scores[name], limits.task_ratio)
        for name, value in scores.items()
    ]
