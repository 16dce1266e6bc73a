"""Checks of a model that looks queries up in a table: they are torch's to the last bit, however computed."""

from collections.abc import Sequence

from foundry.loading.variant import LoadedVariant
from foundry.reference import queries
from foundry.reference.queries import Queries
from foundry.reference.reference import Reference
from foundry.validation.results import Check, at_most


def asked(texts: Sequence[str], expected: Reference) -> list[str]:
    """The texts that are looked up, in the order of the reference; none where the model has no table."""
    return [] if expected.queries is None else [*texts, *expected.query_texts]


def checks(variant: LoadedVariant, texts: Sequence[str], expected: Reference) -> list[Check]:
    """That a variant has torch's table, and that Sentence Transformers looks texts up in it as torch did."""
    if expected.queries is None:
        return []
    found = queries.make(variant, asked(texts, expected))
    if found is None:
        return [at_most("different_queries", len(expected.queries.starts) - 1, 0)]
    return [
        at_most("different_query_weights", expected.queries.different_weights(found), 0),
        at_most("different_queries", expected.queries.different(found), 0),
    ]


def by_runtime(found: Queries | None, expected: Reference) -> list[Check]:
    """That foundry_runtime looks texts up as torch did."""
    if expected.queries is None:
        return []
    different = len(expected.queries.starts) - 1
    if found is not None:
        different = max(expected.queries.different(found), expected.queries.different_weights(found))
    return [at_most("runtime_different_queries", different, 0)]
