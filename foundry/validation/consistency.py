"""Checks that a text's embedding does not depend on the batch that it stands in."""

from collections.abc import Mapping, Sequence

import numpy as np

from foundry.loading.items import Query
from foundry.loading.variant import LoadedVariant
from foundry.reference.closeness import cosines
from foundry.reference.reference import Reference
from foundry.validation.results import Check, at_least, at_most
from foundry.validation.settings import Thresholds

BATCH_TEXTS = 32
TEXTS_BESIDE_LONG = 4  # each is padded to the full length, so these cost the most
LONG_TEXT_WORDS = 512


def measure(variant: LoadedVariant, texts: Sequence[str], expected: Reference) -> tuple[dict[str, np.ndarray], int]:
    """Cosines (texts,) of texts embedded alone with the same texts in each kind of batch, by its name; and how many
    values differ when the same batch is embedded twice.
    """
    items = variant.items(texts[:BATCH_TEXTS])
    first_items = items[:TEXTS_BESIDE_LONG]
    [long_item] = variant.items([" ".join(["long"] * LONG_TEXT_WORDS)])
    # A query is as many inputs as it has passages; with so many to a batch, all of them stand in one.
    inputs_per_item = len(first_items[0].passages) if isinstance(first_items[0], Query) else 1
    one_batch = (len(first_items) + 1) * inputs_per_item
    alone = expected.centred(variant.encode(items, batch_size=1))
    batch_of_32 = expected.centred(variant.encode(items, batch_size=32))
    batch_of_8 = expected.centred(variant.encode(items, batch_size=8))
    beside_long = expected.centred(variant.encode([*first_items, long_item], batch_size=one_batch))[:-1]
    repeated = expected.centred(variant.encode(items, batch_size=32))
    batch_cosines = {
        "batch_of_8": cosines(batch_of_8, alone),
        "batch_of_32": cosines(batch_of_32, alone),
        "beside_a_long_one": cosines(beside_long, alone[: len(first_items)]),
    }
    return batch_cosines, int((repeated != batch_of_32).sum())


def batches(batch_cosines: Mapping[str, np.ndarray], changed_values: int, limits: Thresholds) -> list[Check]:
    """The worst kind of batch, by mean and by minimum, and that the same batch twice gives the same bits."""
    worst = min(batch_cosines.values(), key=lambda cosine: cosine.mean())
    lowest = min(cosine.min() for cosine in batch_cosines.values())
    return [
        at_least("consistency_mean_cosine", worst.mean(), limits.consistency_mean_cosine, worst),
        at_least("consistency_min_cosine", lowest, limits.consistency_min_cosine),
        at_most("values_changed_on_repeat", changed_values, 0),
    ]
