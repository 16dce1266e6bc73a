"""Static int8 from calibration texts to a variant's folder, for either runtime.

The graph runs on one text at a time, without padding. Sentence Transformers' recipe pads all texts to one length, so
that most of the tokens that its quantizer sees are padding.
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
from foundry.head import adding
from foundry.int8 import planning, search
from foundry.int8.settings import Calibrate
from foundry.loading import tokenization
from foundry.loading.items import make_items, tokenizer_inputs
from foundry.loading.prompts import is_query, with_prompt
from foundry.variants import checkpoint_folder, variant_folder

SEED = 0
COPIES_TO_TRY = (0, 32)  # in a search, besides the row's


class Graph(Protocol):
    """A graph of one of the runtimes."""

    @property
    def input_names(self) -> set[str]:
        """The names of the graph's inputs."""

    def products(self) -> list[planning.Product]:
        """Every product of tokens with a constant matrix, in running order."""

    def score_sources(self) -> list[str]:
        """The queries and keys whose products, attention's scores, are to be computed on integers, too."""

    def run(self, inputs: Sequence[dict[str, np.ndarray]], sources: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """For each input, the values of the source tensors, (tokens, channels)."""

    def write(self, target: Path, plan: planning.Plan) -> None:
        """Write the graph with the plan's products in int8."""


def spread_sample(rows: Sequence[dict[str, str]], samples: int | None) -> list[str]:
    """`samples` texts evenly spread over the rows, so that every group keeps its share; all texts for None.

    Raises:
        FoundryError: when there are fewer rows.
    """
    count = len(rows) if samples is None else samples
    if count > len(rows):
        raise FoundryError(
            f"samples is {count}, and there are {len(rows)} calibration texts; raise sample.calibration's counts"
        )
    return [rows[index * len(rows) // count]["text"] for index in range(count)]


def tokenize(folder: Path, calibration_texts: Sequence[str], names: set[str]) -> list[dict[str, np.ndarray]]:
    """Each text as the graph's named inputs, (1, tokens) of int64: the tokens that the model itself reads, with its
    prompts, lower case, arguments and lengths."""
    kind = checkpoint_folder.kind(folder)
    prompts, default = checkpoint_folder.prompts(folder)
    # Of a MultiVectorEncoder, a query and a document with the same text are not the same tokens.
    tasks = ["query" if is_query(text) else "document" for text in calibration_texts]
    if kind != "CrossEncoder":
        has_queries = checkpoint_folder.query_table(folder) is None
        calibration_texts = [with_prompt(text, prompts, default, has_queries) for text in calibration_texts]
    # A CrossEncoder reads pairs: with a text's own whole, and with another's.
    items = make_items(calibration_texts, kind, passages_per_query=2)
    inputs = tokenizer_inputs(items)
    prompt = prompts.get(default or "") if kind == "CrossEncoder" else None
    if kind == "MultiVectorEncoder":
        read = tokenization.by_model(folder, inputs, tasks=tasks)
    elif tokenization.is_plain(folder) and not prompt:
        read = tokenization.by_file(folder, inputs)
    else:
        read = tokenization.by_model(folder, inputs, prompt=prompt)
    return [{name: value for name, value in fields.items() if name in names} for fields in read]


def products_in_scope(products: Sequence[planning.Product], row: Calibrate) -> list[planning.Product]:
    """The products that the row's `ignored_scope` does not leave in floating point.

    Raises:
        FoundryError: when `ignored_scope` names a product that the graph does not have, or all products.
    """
    scope = row.ignored_scope
    names = [product.name for product in products]
    unknown = set(scope.names) - set(names)
    unknown |= {pattern for pattern in scope.patterns if not any(re.search(pattern, name) for name in names)}
    if unknown:
        raise FoundryError(
            f"ignored_scope names {', '.join(sorted(unknown))}, which the graph does not have; "
            f"its products are, for instance, {', '.join(names[:3])}"
        )
    patterns = [*map(re.escape, scope.names), *scope.patterns]
    in_scope = [product for product in products if not any(re.search(pattern, product.name) for pattern in patterns)]
    if not in_scope:
        raise FoundryError(f"the row leaves no product to quantize, of {len(products)}")
    return in_scope


def record_activations(
    graph: Graph, inputs: Sequence[dict[str, np.ndarray]], sources: Sequence[str]
) -> dict[str, planning.Activations]:
    """The values of the source tensors on the inputs, by source.

    Sources with one row for each text are left out: they come after pooling, where a product runs once for each text,
    and int8 would gain no time and make scores worse.

    Raises:
        FoundryError: when a value is not finite.
    """
    rng = np.random.default_rng(SEED)
    activations = {source: planning.Activations() for source in sources}
    for values in track(graph.run(inputs, sources), "calibrating", total=len(inputs)):
        lengths = {source: len(tokens) for source, tokens in values.items()}
        sampled = planning.sample_tokens(max(lengths.values()), rng)
        for source, tokens in values.items():
            if not np.isfinite(tokens).all():
                raise FoundryError(f"tensor {source} is not finite on a calibration text; the graph is damaged")
            if lengths[source] < max(lengths.values()):
                activations.pop(source, None)
            elif source in activations:
                activations[source].add(tokens, sampled)
    return activations


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
        FoundryError: as `spread_sample`, `products_in_scope` and `record_activations` do.
    """
    sample = spread_sample(texts.read(calibration_texts), row.samples)
    products = products_in_scope(graph.products(), row)
    sources = list(dict.fromkeys(product.source for product in products))
    scores = graph.score_sources()
    activations = record_activations(graph, tokenize(folder, sample, graph.input_names), [*sources, *scores])
    largest = {source: float(activations.pop(source).largest.max()) for source in scores if source in activations}
    products = [product for product in products if product.source in activations]

    def builder(settings: Calibrate) -> search.Build:
        # Planned when the first graph of these settings is built, and used for all of them.
        plan = cache(lambda: planning.plan(products, activations, settings, keep=row.budget is not None))

        def build(target: Path, excluded: frozenset[str]) -> None:
            weights = {name: weight for name, weight in plan().weights.items() if name not in excluded}
            graph.write(target, planning.Plan(plan().inputs, weights, largest))

        return build

    if row.budget is not None:
        units = search.units((product.source, product.name, product.size) for product in products)
        settings = {"the row's own settings": row} | {
            f"outlier_copies: {copies}": row.model_copy(update={"outlier_copies": copies})
            for copies in COPIES_TO_TRY
            if "outlier_copies" not in row.model_fields_set
        }
        builders = {label: builder(label_settings) for label, label_settings in settings.items()}
        search.search(variant, folder, units, builders, evaluation, row.budget, row.search, out)
        return
    with files.replacing_folder(out) as partial:
        builder(row)(variant_folder.prepare(partial, folder, variant), frozenset())
        record = {"products": len(products), "texts": len(sample), variant_folder.HEAD: adding.add(partial, variant)}
        variant_folder.write_record(partial, folder, record)
    say(f"{out}: {len(products)} products in int8, calibrated on {len(sample)} texts")
