"""JSON Lines, or one JSON array of objects: exactly what stands there, with the line or the item of each object."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.data import text_files, values


def records(path: Path, encoding: str = "utf-8") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object as its place, such as `data.jsonl, line 3`, and its values by key. Blank lines are passed over.

    JSON Lines is read line by line. A file whose first character is `[` is one array, which is read as a whole.

    Raises:
        FoundryError: when the file cannot be read, or holds what is no JSON object.
    """
    numbered = ((number, line) for number, line in enumerate(text_files.lines(path, encoding), 1) if line.strip())
    first = next(numbered, None)
    if first is None:
        return
    every = itertools.chain([first], numbered)
    if first[1].lstrip().startswith("["):
        yield from _items(path, first[0], "".join(line for _, line in every))
        return
    for number, line in every:
        place = f"{path}, line {number}"
        try:
            record = json.loads(line.rstrip("\n"))
        except (ValueError, RecursionError) as error:
            raise FoundryError(
                f"{place}: is no JSON ({_reason(error)}); JSON Lines has one object on each line, and else "
                "the whole file is one array of objects"
            ) from error
        yield place, _object(place, record)


def _items(path: Path, first_line: int, content: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        items = json.loads(content)
    except json.JSONDecodeError as error:
        raise FoundryError(
            f"{path}, line {first_line - 1 + error.lineno}: is no JSON array ({error.msg}, column {error.colno})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise FoundryError(f"{path}: is no JSON array ({_reason(error)})") from error
    for number, item in enumerate(items, 1):
        yield f"{path}, item {number}", _object(f"{path}, item {number}", item)


def _object(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FoundryError(f'{place}: is {values.kind(value)}; an object is expected, such as {{"text": "…"}}')
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
