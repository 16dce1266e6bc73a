"""Checks that a text's embedding does not depend on the batch that it stands in."""

from collections.abc import Mapping, Sequence

import numpy as np

from foundry.loading.items import PASSAGES_PER_QUERY, Query
from foundry.loading.variant import LoadedVariant
from foundry.reference import sequences
from foundry.reference.reference import Reference
from foundry.validation.results import Check, at_least, at_most
from foundry.validation.settings import Thresholds
from foundry.variants.facts import Facts

BATCH_TEXTS = 32
SEQUENCE_BATCHES = (8, 24, 64, 100, 128)  # sizes of batches of short sequences, of which many cost little
TEXTS_BESIDE_LONG = 4  # each is padded to the full length, so these cost the most
LONG_TEXT_WORDS = 512


def measure(variant: LoadedVariant, texts: Sequence[str], expected: Reference) -> tuple[dict[str, np.ndarray], int]:
    """Centred cosines (texts,) of texts embedded alone with the same texts in each kind of batch, by its name; and
    how many values differ when the same batch is embedded twice.
    """
    items = variant.items(texts[:BATCH_TEXTS])
    first_items = items[:TEXTS_BESIDE_LONG]
    [long_item] = variant.items([" ".join(["long"] * LONG_TEXT_WORDS)])
    # A query is as many inputs as it has passages; with so many to a batch, all of them stand in one.
    inputs_per_item = len(first_items[0].passages) if isinstance(first_items[0], Query) else 1
    one_batch = (len(first_items) + 1) * inputs_per_item
    alone = variant.encode_each(items, batch_size=1)
    batch_of_32 = expected.less_offsets(variant.encode(items, batch_size=32))
    beside_long = variant.encode_each([*first_items, long_item], batch_size=one_batch)[:-1]
    repeated = expected.less_offsets(variant.encode(items, batch_size=32))

    def joined(rows: Sequence[np.ndarray]) -> np.ndarray:
        return expected.less_offsets(np.concatenate(rows))

    batch_cosines = {
        "batch_of_32": expected.centred_cosines(batch_of_32, joined(alone)),
        "beside_a_long_one": expected.centred_cosines(joined(beside_long), joined(alone[: len(first_items)])),
    }
    return batch_cosines, int((repeated != batch_of_32).sum())


def batches_needed(tokens: Sequence[int], facts: Facts) -> list[tuple[int, int]]:
    """The batches that `measure` makes of texts with so many tokens: how many inputs, and how many tokens each has."""
    per_item = PASSAGES_PER_QUERY if facts["kind"] == "CrossEncoder" else 1
    # A word is seldom more than two tokens, and the tokenizer truncates.
    long = min(2 * LONG_TEXT_WORDS, facts["max_seq_length"] or 2 * LONG_TEXT_WORDS)
    beside_long = ((TEXTS_BESIDE_LONG + 1) * per_item, long)
    return [(BATCH_TEXTS, max(tokens[:BATCH_TEXTS], default=0)), beside_long]


def measure_sequences(
    variant: LoadedVariant, ids: np.ndarray, expected: Reference
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cosines of short sequences of ids (sequences, tokens) alone with the same in batches of many sizes, by name; and
    the rows of all of them alone.

    The sequences have one length: nothing is padded, and a row's place in the batch is all that differs.
    """
    alone = expected.less_offsets(sequences.encode(variant, ids, batch_size=1))
    result = {}
    for size in SEQUENCE_BATCHES:
        rows = expected.less_offsets(sequences.encode(variant, ids[:size], batch_size=size))
        result[f"batch_of_{size}_short"] = expected.centred_cosines(
            expected.as_rows(rows), expected.as_rows(alone[: len(rows)])
        )
    return result, alone


def batches(batch_cosines: Mapping[str, np.ndarray], changed_values: int, limits: Thresholds) -> list[Check]:
    """The worst kind of batch, by mean and by minimum, and that the same batch twice gives the same bits."""
    worst = min(batch_cosines.values(), key=lambda cosine: cosine.mean())
    lowest = min(cosine.min() for cosine in batch_cosines.values())
    return [
        at_least("consistency_mean_cosine", worst.mean(), limits.consistency_mean_cosine, worst),
        at_least("consistency_min_cosine", lowest, limits.consistency_min_cosine),
        at_most("values_changed_on_repeat", changed_values, 0),
    ]
