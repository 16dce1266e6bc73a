"""The frozen texts: JSON Lines with `text`, and `group`, the length it was cut to."""

import json
from collections.abc import Sequence
from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError


def write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write one JSON object a line."""
    with files.replacing(path) as partial:
        partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows of a frozen file of texts.

    Raises:
        FoundryError: when there is none.
    """
    # Not str.splitlines: that also breaks at characters which may stand inside a text, such as U+2028.
    rows: list[dict[str, str]] = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    if not rows:
        raise FoundryError(f"{path} holds no texts; run `dvc repro sample`")
    return rows


def by_group(rows: Sequence[dict[str, str]]) -> dict[str, list[str]]:
    """The texts of each group, groups and texts in the order of the file."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row["text"])
    return groups
