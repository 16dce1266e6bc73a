"""Checks of every row that a model looks up: of each word of its vocabulary, position and token type.

A graph's rows are compared with torch's as the graph holds them, dequantized: one wrong row of 30,000 is seen, which in
the embedding of a text is one word among many. What the graph then computes of the rows is seen by sequences of ids.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foundry.loading import loader
from foundry.loading.variant import LoadedVariant
from foundry.reference import sequences, tables
from foundry.reference.coverage import Coverage
from foundry.reference.tables import CHUNK_ROWS, Read, Table
from foundry.validation import onnx_lookups, openvino_lookups
from foundry.validation.results import Check, at_least, at_most
from foundry.validation.settings import Thresholds
from foundry.variants import naming, variant_folder

LARGEST_DISTANCE = 0.5  # A row of zeros is at 1, another word's at 1.4, and one in uint8 at 0.2 at most.
# Of a SparseEncoder's columns in int8: nothing is left of torch's column where a word is lost. With random weights,
# dynamic int8 leaves 0.38 in the best of four sequences, at a distance of 1.1.
LEAST_SHARE = 0.25
LARGEST_DISTANCE_OF_COLUMNS = 2.0
FLOATING_POINT = 0.99  # From this lowest cosine up, a variant is in floating point, and so are its rows.
SHORT_ROW = 0.5  # Rows shorter than this share of the usual length are measured by it: untrained ones are near zero.
SEQUENCES = 128  # that go through the graph in any case
BATCH_SIZE = 64


class Rows(NamedTuple):
    """What was compared of one table of torch's."""

    rows: int
    wrong: int | None  # None where the graph has no table like it


def compare(
    folder: Path, variant: str, loaded: LoadedVariant, expected: Coverage, limits: Thresholds
) -> dict[str, Rows]:
    """Each table of torch's with the one that is most like it in a variant."""
    allowed = largest_distance(limits)
    unknown = {name: Rows(len(table.lengths), None) for name, table in expected.tables.items()}
    try:
        readers = list(_lookups(folder, variant, loaded, expected.tables))
        wrong = {
            name: [count for read in reads if (count := wrong_rows(table, read, allowed)) is not None]
            for name, table in expected.tables.items()
            if (reads := [read for found, read in readers if found in (name, len(table.lengths))])
        }
    except loader.load_errors():  # of a part of the graph that does not stand alone: sequences of ids are left
        return unknown
    return unknown | {name: Rows(unknown[name].rows, min(counts)) for name, counts in wrong.items() if counts}


def wrong_columns(variant: LoadedVariant, expected: Coverage, limits: Thresholds) -> int | None:
    """For how many words of its vocabulary a SparseEncoder computes something else than torch; None for other kinds. In
    its embedding most of them are zero, and a word that is lost looks like the others.

    A word is wrong where it is so in each of several sequences: dynamic int8 takes its scale from the sequence, and may
    lose much of a single one. In int8, rounding adds what has no direction: there, what counts is how much of torch's
    column is left.
    """
    columns = expected.output_columns
    if not columns.size:
        return None
    computed = sequences.output_columns(variant, expected.sequences)
    lengths = np.linalg.norm(columns, axis=1)  # (sequences, vocabulary)
    usual_lengths = np.maximum(lengths, SHORT_ROW * np.median(lengths, axis=1, keepdims=True))
    distances = np.linalg.norm(computed - columns, axis=1) / usual_lengths
    right = distances <= largest_distance(limits)
    if limits.min_cosine < FLOATING_POINT:
        products = (computed * columns).sum(axis=1)
        right = (products >= LEAST_SHARE * lengths**2) & (distances <= LARGEST_DISTANCE_OF_COLUMNS)
    return int((~right).all(axis=0).sum())


def largest_distance(limits: Thresholds) -> float:
    """How far a row may be from torch's, in units of its length; in floating point, as far as two embeddings with the
    lowest cosine that is allowed."""
    if limits.min_cosine < FLOATING_POINT:
        return LARGEST_DISTANCE
    return float(np.sqrt(2 * (1 - limits.min_cosine)))


def _lookups(
    folder: Path, variant: str, loaded: LoadedVariant, expected: Mapping[str, Table]
) -> Iterator[tuple[str | int, Read]]:
    """How the rows of each table of a variant are read, by torch's name or by how many there are."""
    rows = {len(table.lengths) for table in expected.values()}
    backend = naming.backend(variant)
    if backend == "onnx":
        yield from onnx_lookups.find(variant_folder.weights_path(folder, variant), rows)
    elif backend == "openvino":
        import openvino

        yield from openvino_lookups.find(openvino.Core().read_model(variant_folder.weights_path(folder, variant)), rows)
    else:
        for name, module in tables.lookups(loaded).items():
            yield name, lambda start, end, module=module: [tables.read_rows(module, start, end)]  # type: ignore[misc]


def wrong_rows(table: Table, read: Read, allowed: float) -> int | None:
    """How many rows are further than `allowed` from torch's, by the way to read them and the factor of all rows with
    which they are the fewest; None where no way gives rows of this width."""
    wrong: dict[tuple[int, float], int] = {}
    for start in range(0, len(table.lengths), CHUNK_ROWS):
        end = min(start + CHUNK_ROWS, len(table.lengths))
        lengths = np.maximum(table.lengths[start:end], SHORT_ROW * table.usual_length)
        for way, rows in enumerate(read(start, end)):
            if rows.shape[-1:] != (table.width,) or rows.size != (end - start) * table.width:
                continue
            projections = tables.project(rows.reshape(end - start, table.width))  # A factor may give it a third axis.
            for factor in table.factors:
                distance = np.linalg.norm(projections / factor - table.projections[start:end], axis=1) / lengths
                count = int((~(distance <= allowed)).sum())  # what is not a number is wrong
                wrong[way, factor] = wrong.get((way, factor), 0) + count
    return min(wrong.values(), default=None)


def has_words(rows: Mapping[str, Rows], expected: Coverage) -> bool:
    """Whether every word was compared in the graph's own table."""
    words = rows.get(expected.word_table or "")
    return words is not None and words.wrong is not None


def sample(count: int, most: int) -> np.ndarray:
    """So many numbers below `count` at regular distances, in whole groups of those that make a CrossEncoder's row."""
    groups = count // sequences.PAIRS_PER_ROW
    kept = np.linspace(0, groups - 1, min(groups, most // sequences.PAIRS_PER_ROW)).astype(int)
    numbers: np.ndarray = (kept[:, None] * sequences.PAIRS_PER_ROW + np.arange(sequences.PAIRS_PER_ROW)).reshape(-1)
    return numbers


def rows_as_torch(rows: Mapping[str, Rows], columns: int | None) -> list[Check]:
    """That no row of any table is another one than torch's, and of a SparseEncoder no `columns` of its output."""
    checks = [at_most("wrong_rows", sum(table.wrong or 0 for table in rows.values()), 0)]
    return checks if columns is None else [*checks, at_most("wrong_columns", columns, 0)]


def sequences_as_torch(sequence_cosines: np.ndarray, limits: Thresholds) -> list[Check]:
    """That sequences of any words have torch's embedding."""
    if not len(sequence_cosines):
        return []
    return [at_least("sequences_min_cosine", sequence_cosines.min(), limits.hard_min_cosine)]
