"""Columns of texts and numbers out of a file, or out of a data set on the Hub."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.data import sources
from foundry.data.settings import HubTexts, PackageTexts, PathTexts

FORMATS = {".txt": "text", ".csv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}


def texts(source: HubTexts | PathTexts | PackageTexts) -> list[str]:
    """Every document of a source, in its order.

    Raises:
        FoundryError: when it cannot be read, or has no such column.
    """
    if not isinstance(source, HubTexts) and _format(source) == "text":
        return _lines(sources.local_path(source), source.encoding)
    return ["" if value is None else str(value) for value in columns(source, [source.column])[0]]


def columns(source: HubTexts | PathTexts | PackageTexts, names: Sequence[str]) -> list[list[Any]]:
    """The named columns of a table, in the order of the names.

    Raises:
        FoundryError: when it cannot be read, or has no such column.
    """
    if isinstance(source, HubTexts):
        return _from_hub(source, names)
    path, kind = sources.local_path(source), _format(source)
    if kind == "text":
        raise FoundryError(f"{path} is a text file without columns, and {', '.join(names)} are wanted")
    import datasets

    options = {"encoding": source.encoding} if kind == "csv" else {}
    # A cache of our own: the library's would answer for a file that has changed within the same second.
    with tempfile.TemporaryDirectory() as cache:
        try:
            table = datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=cache, **options)
        except (datasets.exceptions.DatasetGenerationError, ValueError) as error:
            raise FoundryError(f"{path} cannot be read as {kind}: {error.__cause__ or error}") from error
        return _values(table, names, str(path))


def _format(source: PathTexts | PackageTexts) -> str:
    kind = source.format or FORMATS.get(Path(source.path).suffix)
    if kind is None:
        known = ", ".join(sorted(set(FORMATS.values())))
        raise FoundryError(f"{source.path}: its ending says no format; set `format:` to one of {known}")
    return kind


def _lines(path: Path, encoding: str) -> list[str]:
    try:
        return path.read_text(encoding=encoding).split("\n")
    except UnicodeDecodeError as error:
        raise FoundryError(
            f"{path} is not {encoding}: {error.reason} at byte {error.start}; set `encoding:`"
        ) from error


def _from_hub(source: HubTexts, names: Sequence[str]) -> list[list[Any]]:
    """Columns of a data set at its pinned revision."""
    import datasets
    import requests
    from huggingface_hub.errors import HfHubHTTPError

    try:
        table = datasets.load_dataset(source.hub, source.config, split=source.split, revision=source.revision)
    except HfHubHTTPError as error:
        raise FoundryError(f"the Hub refuses data set {source.hub} at {source.revision}: {error}") from error
    except (requests.RequestException, ConnectionError) as error:
        raise FoundryError(
            f"the Hub cannot be reached, and data set {source.hub} comes from there ({type(error).__name__}). "
            "Connect this machine, or name a local source: {path: ...} or {package: ..., path: ...}"
        ) from error
    except (ValueError, FileNotFoundError) as error:
        raise FoundryError(
            f"data set {source.hub} ({source.config}, {source.split}) cannot be read: {error}"
        ) from error
    return _values(table, names, source.hub)


def _values(table: Any, names: Sequence[str], where: str) -> list[list[Any]]:
    if missing := [name for name in names if name not in table.column_names]:
        raise FoundryError(f"{where} has no column {missing[0]!r}; its columns are {', '.join(table.column_names)}")
    return [list(table[name]) for name in names]
