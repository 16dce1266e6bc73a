"""What covers all that a model can be asked: every length, every word, every row of its tables, by torch's numbers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from foundry.base import files
from foundry.loading.items import Item, Query
from foundry.loading.variant import LoadedVariant
from foundry.reference import lengths, sequences, tables, token_rows
from foundry.reference.lengths import TextOfLength
from foundry.reference.tables import Table


@dataclass(frozen=True)
class Coverage:
    """Inputs beside the validation and the hard texts, with torch's rows of them.

    Rows are as torch gives them: `Reference.centred` makes them comparable.
    """

    texts: list[TextOfLength] = field(default_factory=list)  # in the order of their lengths
    first_rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))  # of the first item of each
    second_rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    lengths_left_out: list[int] = field(default_factory=list)  # for which torch would not have had the memory
    # How many rows each item has in these two; empty where each has one.
    first_counts: list[int] = field(default_factory=list)
    second_counts: list[int] = field(default_factory=list)
    sequences: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))  # (sequences, tokens)
    sequence_rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    # What a SparseEncoder computes before it drops what is negative: (sequences, tokens, vocabulary).
    output_columns: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    tables: dict[str, Table] = field(default_factory=dict)  # by torch's name
    word_table: str | None = None
    words: int = 0  # of the vocabulary, in the sequences
    torch_writes_out_attention: bool = False
    longest_in_batch: int | None = None  # of the texts, what there is memory for in a batch; None for all of them

    def without_lengths(self, too_long: Collection[int]) -> "Coverage":
        """The same without the texts of these lengths, which are said to be left out."""
        kept = [index for index, text in enumerate(self.texts) if text.tokens not in too_long]
        return replace(
            self,
            texts=[self.texts[index] for index in kept],
            first_rows=token_rows.selected(self.first_rows, self.first_counts, kept),
            second_rows=token_rows.selected(self.second_rows, self.second_counts, kept),
            first_counts=[self.first_counts[index] for index in kept] if self.first_counts else [],
            second_counts=[self.second_counts[index] for index in kept] if self.second_counts else [],
            lengths_left_out=sorted({*self.lengths_left_out, *too_long}),
        )


def freeze(
    torch: LoadedVariant,
    texts: Sequence[str],
    tried: Sequence[int],
    left_out: list[int],
    columns: int,
    writes_out_attention: bool,
) -> Coverage:
    """Torch's rows of texts of the `tried` lengths, each alone, of the vocabulary's words, and its tables.

    `columns` is how many numbers a row has.
    """
    of_length = lengths.make(torch, texts, tried)
    tables_of_model = tables.freeze(torch)
    word_table = tables.word_table(torch, tables_of_model)
    ids = sequences.make(torch, columns, len(tables_of_model[word_table].lengths) if word_table else None)
    special = sequences.special_ids(torch)
    first_rows, first_counts = token_rows.encode(torch, [text.first for text in of_length], batch_size=1)
    second_rows, second_counts = token_rows.encode(torch, [text.second for text in of_length], batch_size=1)
    return Coverage(
        texts=of_length,
        first_rows=first_rows,
        second_rows=second_rows,
        first_counts=first_counts,
        second_counts=second_counts,
        lengths_left_out=left_out,
        sequences=ids,
        sequence_rows=sequences.encode(torch, ids, batch_size=64) if len(ids) else np.zeros((0, columns), np.float32),
        output_columns=sequences.output_columns(torch, ids),
        tables=tables_of_model,
        word_table=word_table,
        words=sequences.words_in(ids, special),
        torch_writes_out_attention=writes_out_attention,
    )


def summary(coverage: Coverage) -> list[str]:
    """What is covered, for people."""
    tokens = [text.tokens for text in coverage.texts]
    lines = [f"{len(tokens)} lengths from {min(tokens)} to {max(tokens)} tokens"] if tokens else []
    if left_out := coverage.lengths_left_out:
        lines.append(f"lengths from {min(left_out)} tokens left out: there is no memory for them here")
    rows = ", ".join(f"{len(table.lengths)} rows of {name}" for name, table in coverage.tables.items())
    return [*lines, f"{coverage.words} words of the vocabulary in sequences; {rows or 'no tables'}"]


def write(folder: Path, coverage: Coverage) -> None:
    """Write the coverage into an existing folder: the arrays to coverage.npz, the rest to coverage.json."""
    arrays = {
        "first_rows": coverage.first_rows,
        "second_rows": coverage.second_rows,
        "sequences": coverage.sequences.astype(np.int32),
        "sequence_rows": coverage.sequence_rows,
        "output_columns": coverage.output_columns,
    }
    for number, table in enumerate(coverage.tables.values()):
        # In half precision, which is enough to tell rows from each other, as shares of the usual length.
        shares = (table.projections / table.usual_length).astype(np.float16)
        arrays |= {f"projections_{number}": shares, f"lengths_{number}": table.lengths}
    np.savez(folder / "coverage.npz", allow_pickle=False, **arrays)
    record = {
        "texts": [[text.tokens, _to_json(text.first), _to_json(text.second)] for text in coverage.texts],
        "lengths_left_out": coverage.lengths_left_out,
        "tables": {name: {"width": table.width, "factors": table.factors} for name, table in coverage.tables.items()},
        "word_table": coverage.word_table,
        "words": coverage.words,
        "torch_writes_out_attention": coverage.torch_writes_out_attention,
    }
    if coverage.first_counts:
        record |= {"first_counts": coverage.first_counts, "second_counts": coverage.second_counts}
    files.write_json(folder / "coverage.json", record)


def read(folder: Path) -> Coverage:
    """Read what `write` wrote."""
    record = files.read_json(folder / "coverage.json")
    texts = [TextOfLength(tokens, _from_json(first), _from_json(second)) for tokens, first, second in record["texts"]]
    with np.load(folder / "coverage.npz") as arrays:
        tables_by_name = {}
        for number, (name, settings) in enumerate(record["tables"].items()):
            projections = arrays[f"projections_{number}"].astype(np.float32)
            table = Table(settings["width"], projections, arrays[f"lengths_{number}"], tuple(settings["factors"]))
            tables_by_name[name] = replace(table, projections=table.projections * np.float32(table.usual_length))
        return Coverage(
            texts=texts,
            first_rows=arrays["first_rows"],
            second_rows=arrays["second_rows"],
            lengths_left_out=record["lengths_left_out"],
            first_counts=record.get("first_counts", []),
            second_counts=record.get("second_counts", []),
            sequences=arrays["sequences"].astype(np.int64),
            sequence_rows=arrays["sequence_rows"],
            output_columns=arrays["output_columns"],
            tables=tables_by_name,
            word_table=record["word_table"],
            words=record["words"],
            torch_writes_out_attention=record["torch_writes_out_attention"],
        )


def _to_json(item: Item) -> Any:
    return item if isinstance(item, str) else {"query": item.text, "passages": item.passages}


def _from_json(item: Any) -> Item:
    return item if isinstance(item, str) else Query(item["query"], tuple(item["passages"]))
