"""Static int8 from calibration texts to a variant's folder, for either runtime.

The texts go in one by one at their natural lengths. Sentence Transformers' own recipe pads them to one length, so that
most of what the quantizer sees is padding.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say, track
from foundry.data import texts
from foundry.int8 import planning, search
from foundry.int8.settings import Calibrate
from foundry.loading import tokenization
from foundry.loading.encoders import inputs, items, with_prompt
from foundry.variants import checkpoint_folder, variant_folder

SEED = 0
COPIES_TO_TRY = (0, 32)  # in a search, beside the row's own


class Graph(Protocol):
    """A graph of one of the runtimes."""

    @property
    def input_names(self) -> set[str]: ...

    def products(self) -> list[planning.Product]: ...

    def run(self, inputs: Sequence[dict[str, np.ndarray]], sources: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """For each input, the values of the source tensors, (tokens, channels)."""

    def write(self, target: Path, plan: planning.Plan) -> None:
        """Write the graph with the plan's products in int8."""


def choose(rows: Sequence[dict[str, str]], samples: int | None) -> list[str]:
    """`samples` texts evenly spread over the rows, so that every group keeps its share; by default all.

    Raises:
        FoundryError: when there are fewer.
    """
    count = len(rows) if samples is None else samples
    if count > len(rows):
        raise FoundryError(
            f"samples is {count}, and there are {len(rows)} calibration texts; raise sample.calibration's counts"
        )
    return [rows[index * len(rows) // count]["text"] for index in range(count)]


def tokenize(folder: Path, chosen: Sequence[str], names: set[str]) -> list[dict[str, np.ndarray]]:
    """Each text as the graph's named inputs, (1, tokens) of int64: the tokens that the model itself reads, with its
    prompts, lower case, arguments and lengths."""
    is_of_pairs = checkpoint_folder.kind(folder) == "CrossEncoder"
    # A CrossEncoder reads pairs: with a text's own whole, and with another's.
    if not is_of_pairs:
        prompts, default = checkpoint_folder.prompts(folder)
        chosen = [with_prompt(text, prompts, default) for text in chosen]
    read = inputs(items(chosen, is_of_pairs, passages=2))
    tokens = tokenization.by_file if tokenization.is_plain(folder) else tokenization.by_model
    return [{name: value for name, value in fields.items() if name in names} for fields in tokens(folder, read)]


def select(products: Sequence[planning.Product], row: Calibrate) -> list[planning.Product]:
    """The products that the row does not leave in floating point.

    Raises:
        FoundryError: when the row names what the graph does not have, or leaves nothing.
    """
    scope = row.ignored_scope
    for_instance = ", ".join(product.name for product in products[:3])
    unknown = set(scope.names) - {product.name for product in products}
    unknown |= {one for one in scope.patterns if not any(re.search(one, product.name) for product in products)}
    if unknown:
        raise FoundryError(
            f"ignored_scope names {', '.join(sorted(unknown))}, which the graph does not have; "
            f"its products are, for instance, {for_instance}"
        )
    patterns = [*map(re.escape, scope.names), *scope.patterns]
    kept = [product for product in products if not any(re.search(one, product.name) for one in patterns)]
    if not kept:
        raise FoundryError(f"the row leaves no product to quantize, of {len(products)}")
    return kept


def watch(
    graph: Graph, inputs: Sequence[dict[str, np.ndarray]], sources: Sequence[str]
) -> dict[str, planning.Activations]:
    """What the source tensors hold on the inputs; without those that hold one row a text, because they come after
    pooling, where a product runs once a text: nothing to gain, and a score to lose.

    Raises:
        FoundryError: when a value is not finite.
    """
    rng = np.random.default_rng(SEED)
    seen = {source: planning.Activations() for source in sources}
    for values in track(graph.run(inputs, sources), "calibrating", total=len(inputs)):
        lengths = {source: len(tokens) for source, tokens in values.items()}
        picked = planning.pick_tokens(max(lengths.values()), rng)
        for source, tokens in values.items():
            if not np.isfinite(tokens).all():
                raise FoundryError(f"tensor {source} is not finite on a calibration text; the graph is damaged")
            if lengths[source] < max(lengths.values()):
                seen.pop(source, None)
            elif source in seen:
                seen[source].add(tokens, picked)
    return seen


def calibrate(
    variant: str,
    graph: Graph,
    folder: Path,
    calibration_texts: Path,
    evaluation: search.EvaluationData,
    row: Calibrate,
    out: Path,
) -> None:
    """Make the variant's folder `out` from the graph of `folder`.

    Raises:
        FoundryError: as `choose`, `select` and `watch` do.
    """
    chosen = choose(texts.read(calibration_texts), row.samples)
    products = select(graph.products(), row)
    sources = list(dict.fromkeys(product.source for product in products))
    seen = watch(graph, tokenize(folder, chosen, graph.input_names), sources)
    products = [product for product in products if product.source in seen]

    def builder(settings: Calibrate) -> search.Build:
        # Once for all graphs of these settings, and not before the first of them is built.
        plan = cache(lambda: planning.plan(products, seen, settings, keep=row.budget is not None))

        def build(target: Path, excluded: frozenset[str]) -> None:
            kept = {name: weight for name, weight in plan().weights.items() if name not in excluded}
            graph.write(target, planning.Plan(plan().inputs, kept))

        return build

    if row.budget is not None:
        units = search.units((product.source, product.name, product.size) for product in products)
        settings = {"the row's own settings": row} | {
            f"outlier_copies: {copies}": row.model_copy(update={"outlier_copies": copies})
            for copies in COPIES_TO_TRY
            if "outlier_copies" not in row.model_fields_set
        }
        builders = {label: builder(one) for label, one in settings.items()}
        search.search(variant, folder, units, builders, evaluation, row.budget, row.search, out)
        return
    with files.replacing_folder(out) as partial:
        builder(row)(variant_folder.prepare(partial, folder, variant), frozenset())
        variant_folder.write_record(partial, folder, {"products": len(products), "texts": len(chosen)})
    say(f"{out}: {len(products)} products in int8, calibrated on {len(chosen)} texts")
