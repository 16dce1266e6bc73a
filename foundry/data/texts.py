"""The frozen texts: JSON Lines with `text`, and `group`, the length it was cut to."""

import json
from collections.abc import Sequence
from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.data import json_files, values


def write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write one JSON object a line."""
    with files.replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows of a frozen file of texts.

    Raises:
        FoundryError: when it is not there, holds no texts, or is not what `write` wrote.
    """
    rows = [
        {key: values.text(place, key, value) for key, value in record.items()}
        for place, record in json_files.records(path)
    ]
    if not rows:
        raise FoundryError(f"{path} holds no texts; run `dvc repro sample`")
    return rows


def by_group(rows: Sequence[dict[str, str]]) -> dict[str, list[str]]:
    """The texts of each group, groups and texts in the order of the file."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row["text"])
    return groups
