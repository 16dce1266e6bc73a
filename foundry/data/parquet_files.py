"""Parquet files, in batches of rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.data import values

BATCH_ROWS = 4096


def rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[Any]]]:
    """Each row as its place, such as `data.parquet, row 3`, and its values of the wanted columns, in their order.

    Raises:
        FoundryError: when the file cannot be read, or lacks a column.
    """
    # Imported here: a build from text files alone does without the second that this takes.
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with path.open("rb") as opened, pyarrow.parquet.ParquetFile(opened) as file:
            values.require_columns(str(path), columns, file.schema_arrow.names)
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                for row in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
                    number += 1
                    yield f"{path}, row {number}", list(row)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FoundryError(f"{path} cannot be read as parquet: {' '.join(str(error).split())}") from error
