"""The lookup tables of a torch model: words, positions, token types. Each row is frozen as a few numbers.

A table of 250,000 rows takes 768 MB, so a row is frozen as its products with 32 random directions (the lemma of Johnson
and Lindenstrauss 1984): the distance of two rows is that of their products, give or take an eighth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from foundry.loading.variant import LoadedVariant
from foundry.reference import factors, sequences

# The rows of a table from one number up to another, by every way to read them.
Read = Callable[[int, int], list[np.ndarray]]

DIRECTIONS = 32
CHUNK_ROWS = 16_384


@dataclass(frozen=True)
class Table:
    """What is frozen of one table."""

    width: int
    projections: np.ndarray  # (rows, directions), float32
    lengths: np.ndarray  # (rows,), float32: of the rows themselves
    factors: tuple[float, ...] = (1.0,)  # by which the model multiplies all rows; a graph may hold them so multiplied

    @property
    def usual_length(self) -> float:
        """The median length of the rows, by which half precision keeps small numbers; never zero."""
        return max(float(np.median(self.lengths)), 1e-12)


def project(rows: np.ndarray) -> np.ndarray:
    """The products of rows (rows, width) with the random directions of that width: (rows, directions), float32."""
    width = rows.shape[1]
    directions = np.random.default_rng(width).normal(scale=DIRECTIONS**-0.5, size=(width, DIRECTIONS))
    products: np.ndarray = rows.astype(np.float32) @ directions.astype(np.float32)
    return products


def lookups(variant: LoadedVariant) -> dict[str, Any]:
    """The torch modules that look rows up, by name, each table once; empty for an ONNX or OpenVINO variant."""
    import torch

    model = variant.transformer.auto_model
    if not isinstance(model, torch.nn.Module):
        return {}
    modules = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding)}
    # A table may be there under several names.
    by_table = {module.weight.data_ptr(): name for name, module in reversed(list(modules.items()))}
    return {name: modules[name] for name in reversed(list(by_table.values()))}


def read_rows(module: Any, start: int, end: int) -> np.ndarray:
    """The rows from `start` up to `end` of the table of a torch module: (rows, width), float32."""
    # Not what the module gives for a number: BART's positions take something else and add to it.
    rows: np.ndarray = module.weight[start:end].detach().float().cpu().numpy()
    return rows


def freeze(variant: LoadedVariant) -> dict[str, Table]:
    """Every table of a torch model, by its name there."""
    tables = {}
    modules = lookups(variant)
    transformer = variant.transformer
    factors_of_tables = factors.find(
        transformer.auto_model, modules, lambda: transformer(dict(sequences.template(variant)[0]))
    )
    for name, module in modules.items():
        projections, lengths = [], []
        for start in range(0, module.num_embeddings, CHUNK_ROWS):
            rows = read_rows(module, start, min(start + CHUNK_ROWS, module.num_embeddings))
            projections.append(project(rows))
            lengths.append(np.linalg.norm(rows, axis=1))
        tables[name] = Table(
            rows.shape[1], np.concatenate(projections), np.concatenate(lengths), factors_of_tables[name]
        )
    return tables


def word_table(variant: LoadedVariant, tables: Mapping[str, Table]) -> str | None:
    """Which of the tables holds the words; None where torch does not say, or looks them up in another way."""
    try:
        words = variant.transformer.auto_model.get_input_embeddings()
    except (AttributeError, NotImplementedError):  # transformers' models say so in this way
        return None
    same = [name for name, module in lookups(variant).items() if module is words]
    return next((name for name in same if name in tables), None)
