"""Texts that a user brings: checked, shown, and put into the project as a source of texts."""

import itertools
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base import files, yaml_editing
from foundry.base.errors import FoundryError
from foundry.data import csv_files, json_files, tables
from foundry.data.settings import PathTexts
from foundry.ui import editing, jobs
from foundry.ui.workspaces import Workspace

FOLDER = "texts"
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt")
MOST_BYTES = 20_000_000
MOST_TEXTS = 100_000
MOST_FILES = 10
MOST_COLUMNS = 200
PREVIEW = 8
ROWS_TRIED = 20
LONGEST_SHOWN = 200  # characters
# Of a user's texts, the share that each set may use; the benchmark stays with the texts that it has.
SHARES = {"calibration": 0.4, "validation": 0.6}


class Preview(NamedTuple):
    """What was read of a file."""

    texts: list[str]  # the first ones
    number: int  # of texts
    longest: int  # in characters
    column: str


def read(path: Path, column: str = "text") -> Preview:
    """What a file holds, read as the pipeline reads it.

    Raises:
        FoundryError: when it is too large, of another kind, or cannot be read.
    """
    require_kind(path)
    require_size(path)
    first: list[str] = []
    count = longest = 0
    try:
        for text in tables.texts(source_of(str(path), column)):
            if not text.strip():
                continue
            count += 1
            longest = max(longest, len(text))
            if len(first) < PREVIEW:
                first.append(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…")
            if count > MOST_TEXTS:
                raise FoundryError(f"{path.name} has more than {MOST_TEXTS:,} texts, which are allowed")
    except FoundryError as error:
        raise FoundryError(str(error).replace(str(path), path.name)) from error
    if count == 0:
        raise FoundryError(f"{path.name} holds no text")
    return Preview(first, count, longest, column)


def require_kind(path: Path) -> None:
    """Check that a file's name ends as one of texts does.

    Raises:
        FoundryError: when it does not.
    """
    if path.suffix.lower() not in ENDINGS:
        raise FoundryError(f"{path.name}: its ending is none of {', '.join(ENDINGS)}")


def require_size(path: Path) -> None:
    """Check that a file is not too large, before anything of it is read.

    Raises:
        FoundryError: when it is, or is not there any more.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise FoundryError("this file is not here any more: choose it again") from error
    if size > MOST_BYTES:
        raise FoundryError(f"{path.name} has {size / 1e6:.1f} MB, and {MOST_BYTES / 1e6:.0f} are allowed")


def source_of(path: str, column: str) -> PathTexts:
    """How the pipeline is told to read the file."""
    return PathTexts(path=path, format="text" if path.lower().endswith(".txt") else None, column=column)


def columns(path: Path) -> list[str]:
    """The columns or keys of a table; empty for plain text, and where they cannot be read.

    Raises:
        FoundryError: when the file is too large.
    """
    require_size(path)
    try:
        if path.suffix.lower() in (".csv", ".tsv"):
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                header = file.readline(100_000)
            delimiter = max(csv_files.DELIMITERS, key=header.count)
            cells = [cell.strip().strip('"') for cell in header.strip().split(delimiter) if cell.strip()]
            return [cell for cell in cells if len(cell) <= LONGEST_SHOWN][:MOST_COLUMNS]
        if path.suffix.lower() != ".txt":
            _, record = next(json_files.records(path))
            names = [name for name, value in record.items() if isinstance(value, str) and len(name) <= LONGEST_SHOWN]
            return names[:MOST_COLUMNS]
    except (FoundryError, OSError, StopIteration):
        return []
    return []


def likely_column(path: Path, names: Sequence[str]) -> str:
    """Which of a table's columns holds the texts: `text`, or the one whose first cells are the longest."""
    if not names or "text" in names:
        return "text"
    try:
        rows = [cells for _, cells in itertools.islice(tables.rows(source_of(str(path), names[0]), names), ROWS_TRIED)]
    except FoundryError:
        return names[0]
    lengths = [sum(len(str(cells[index])) for cells in rows) for index in range(len(names))]
    return names[lengths.index(max(lengths))]


def keep(workspace: Workspace, uploaded: Path, name: Any, column: Any) -> Preview:
    """Put a file into the project and make it a source of texts in params.yaml.

    Args:
        uploaded: Where the server put it; it is removed there.
        name: What the source is called; the file gets this name, whatever it was called where it came from.

    Raises:
        FoundryError: when it cannot be read, or there are too many.
    """
    slug = editing.require_slug(name)
    wanted = str(column or "text")
    if len(wanted) > LONGEST_SHOWN or not wanted.isprintable():
        raise FoundryError(f"a column's name has at most {LONGEST_SHOWN} characters, and none that cannot be seen")
    preview = read(uploaded, wanted)
    with jobs.idle(workspace):
        _add_source(workspace, uploaded, slug, wanted)
    return preview


def _add_source(workspace: Workspace, uploaded: Path, slug: str, column: str) -> None:
    folder = workspace.root / FOLDER
    folder.mkdir(exist_ok=True)
    if len([path for path in folder.iterdir() if path.is_file()]) >= MOST_FILES:
        raise FoundryError(f"{FOLDER}/ holds {MOST_FILES} files, and no more are allowed")
    target = folder / f"{slug}{uploaded.suffix.lower()}"
    text = editing.shown(workspace)
    if editing.has_entry(text, ("sample", "sources", slug)) or target.exists():
        raise FoundryError(f"there is a source of texts called {slug} already: take another name")
    row = source_of(f"{FOLDER}/{target.name}", column).model_dump(exclude_defaults=True)
    text = yaml_editing.with_entry(text, ["sample", "sources"], slug, row)
    for part, share in SHARES.items():
        text = yaml_editing.with_entry(text, ["sample", part, "share"], slug, share)
    with files.replacing(target) as partial:
        shutil.copyfile(uploaded, partial)
    try:
        editing.write(workspace, text)
    except FoundryError:
        target.unlink()
        raise


def slug_of(name: str) -> str:
    """A name for a source, made of a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).stem).strip("_-")[:40] or "own"
