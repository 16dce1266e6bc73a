"""Texts and columns out of a file of any format, or out of a data set on the Hub."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.data import csv_files, hub_data, json_files, parquet_files, sources, text_files, values, yaml_files
from foundry.data.settings import HubTexts, PackageTexts, PathTexts

FORMATS = {
    ".txt": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".yml": "yaml",
    ".yaml": "yaml",
}


def texts(source: HubTexts | PathTexts | PackageTexts) -> Iterator[str]:
    """Every document of a source, in its order; an empty text where the source has null.

    Raises:
        FoundryError: when it cannot be read, has no such column, or holds what is neither a text nor null.
    """
    if not isinstance(source, HubTexts) and _format(source) == "text":
        for line in text_files.lines(sources.local_file(source), source.encoding):
            yield line.rstrip("\n")
    elif not isinstance(source, HubTexts) and _format(source) == "yaml":
        yield from yaml_files.texts(sources.local_file(source), source.column, source.encoding)
    else:
        for place, [value] in rows(source, [source.column]):
            yield "" if value is None else values.text(place, source.column, value)


def rows(source: HubTexts | PathTexts | PackageTexts, columns: Sequence[str]) -> Iterator[tuple[str, list[Any]]]:
    """Each row of a table as its place, such as `data.csv, line 3`, and its values of the wanted columns.

    Raises:
        FoundryError: when it cannot be read, or has no such column.
    """
    if isinstance(source, HubTexts):
        yield from hub_data.rows(source, columns)
        return
    path, kind = sources.local_file(source), _format(source)
    if kind == "csv":
        yield from csv_files.rows(path, columns, source.encoding, source.delimiter, source.quotes)
    elif kind == "json":
        for place, record in json_files.records(path, source.encoding):
            values.require_columns(place, columns, list(record))
            yield place, [record[name] for name in columns]
    elif kind == "parquet":
        yield from parquet_files.rows(path, columns)
    else:
        raise FoundryError(
            f"{path} is read as {kind}, which has no columns, and {', '.join(columns)} are wanted; "
            "a table is a CSV, JSON Lines or Parquet file (set `format:` where the ending does not say so)"
        )


def user_texts(path: Path) -> list[str]:
    """The texts of a file that a user names on the command line, without empty ones and surrounding white space.

    The ending says how it is read: CSV, JSON Lines, Parquet and YAML by their column or key `text`, anything else
    one text a line.

    Raises:
        FoundryError: when it cannot be read, or holds no text.
    """
    known = _format_by_ending(path) is not None
    source = PathTexts(path=str(path)) if known else PathTexts(path=str(path), format="text")
    stripped = (text.strip() for text in texts(source))
    if not (filled := [text for text in stripped if text]):
        raise FoundryError(f"{path} holds no text")
    return filled


def _format(source: PathTexts | PackageTexts) -> str:
    kind = source.format or _format_by_ending(Path(source.path))
    if kind is None:
        endings = ", ".join(FORMATS)
        raise FoundryError(
            f"{source.path}: its ending is none of {endings} (.gz may follow); "
            f"set `format:` to {', '.join(sorted(set(FORMATS.values())))}"
        )
    return kind


def _format_by_ending(path: Path) -> str | None:
    name = path.with_suffix("") if text_files.is_compressed(path) else path
    return FORMATS.get(name.suffix.lower())
