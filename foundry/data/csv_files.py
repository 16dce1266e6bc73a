"""CSV files, exactly: every cell is the text that stands there, and a row that does not fit the header is an error.

Python's csv module reads the cells. Libraries for data frames guess types: there, `NA` is no text and `007` is 7.
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from foundry.base.errors import FoundryError
from foundry.data import text_files, values

DELIMITERS = (",", ";", "\t", "|")
TAB_ENDINGS = (".tsv", ".tsv.gz")


def rows(
    path: Path, columns: Sequence[str], encoding: str = "utf-8", delimiter: str | None = None, quotes: bool = True
) -> Iterator[tuple[str, list[str]]]:
    """Each row as its place, such as `data.csv, line 3`, and its cells of the wanted columns, in their order.

    Args:
        delimiter: by default the first of comma, semicolon, tab and bar (for `.tsv`, tab comes first) by which
            the header has all wanted columns.
        quotes: whether quotation marks enclose a cell; otherwise they are characters like any other.

    Raises:
        FoundryError: when the file cannot be read, lacks a column, or a row does not have the header's number of cells.
    """
    # The default limit for a cell, 131,072 characters, is less than a long document has.
    csv.field_size_limit(sys.maxsize)
    tried = [delimiter] if delimiter else _delimiters(path)
    delimiter, header = _header(path, columns, encoding, tried, quotes)
    indices = [header.index(name) for name in columns]
    records = _records(path, encoding, delimiter, quotes)
    next(records)
    width = None
    for line, cells in records:
        place = f"{path}, line {line}"
        if width is None:
            # Some programs end each row, but not the header, with a delimiter. Then every row must have one.
            ends_with_delimiter = len(header) > 1 and len(cells) == len(header) + 1 and not cells[-1].strip()
            width = len(header) + ends_with_delimiter
        if len(cells) != width or any(cell.strip() for cell in cells[len(header) :]):
            raise FoundryError(
                f"{place}: {len(cells)} cells, and {width} are expected for the columns {values.listed(header)} "
                f"(separated by {_name(delimiter)}; a cell that holds one stands in quotation marks)"
            )
        yield place, [cells[index] for index in indices]


def _delimiters(path: Path) -> list[str]:
    is_tab = path.name.lower().endswith(TAB_ENDINGS)
    return sorted(DELIMITERS, key=lambda delimiter: is_tab and delimiter != "\t")


def _header(
    path: Path, columns: Sequence[str], encoding: str, delimiters: Sequence[str], quotes: bool
) -> tuple[str, list[str]]:
    """The delimiter by which the header has the wanted columns, and the header's names."""
    headers: dict[str, list[str]] = {}
    error: FoundryError | None = None
    for delimiter in delimiters:
        try:
            _, cells = next(_records(path, encoding, delimiter, quotes), (0, []))
        except _BadQuotes as wrong:  # by another delimiter, the quotation marks may stand right
            error = wrong
            continue
        headers[delimiter] = [cell.strip() for cell in cells]
        if set(columns) <= set(headers[delimiter]):
            break
    if not headers:
        raise error or FoundryError(f"{path} is empty")
    header = max(headers.values(), key=lambda cells: (set(columns) <= set(cells), len(cells)))
    if not header:
        raise FoundryError(f"{path} has no line with the names of its columns")
    for name in columns:
        if name not in header:
            raise FoundryError(
                f"{path} has no column {name!r}; its columns are {values.listed(header)}, as its first line has them"
            )
        if header.count(name) > 1:
            raise FoundryError(f"{path} has the column {name!r} {header.count(name)} times: {values.listed(header)}")
    return next(delimiter for delimiter, cells in headers.items() if cells is header), header


class _BadQuotes(FoundryError):
    """Quotation marks that do not enclose a cell."""


def _records(path: Path, encoding: str, delimiter: str, quotes: bool) -> Iterator[tuple[int, list[str]]]:
    """Each record that is no blank line, as the number of its first line and its cells."""
    reader = csv.reader(
        text_files.lines(path, encoding, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        skipinitialspace=True,  # of `a, "b"` the second cell is enclosed in quotation marks, too
        strict=True,
    )
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) or len(cells) > 1:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise _BadQuotes(
            f"{path}: the record that begins on line {start} is no CSV ({error}). Within quotation marks, one is "
            'written twice (""); where they are ordinary characters, set `quotes: false`'
        ) from error


def _name(delimiter: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}.get(delimiter, repr(delimiter))
