"""What an uploaded file of texts holds, read as the pipeline reads it.

The server has it read by a process of its own (`python -m foundry.ui.upload_reading`), with a limit of its memory:
twenty megabytes of JSON may become more than a gigabyte of lists. That process reads a `Question` as JSON from
standard input and prints an `Answer` as JSON.
"""

import contextlib
import itertools
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from foundry.base import command
from foundry.base.errors import FoundryError
from foundry.data import csv_files, json_files, tables
from foundry.data.settings import PathTexts
from foundry.ui import limits, short_commands
from foundry.ui.workspaces import Workspace

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt")
ADDRESS_SPACE = Path("/proc/self/statm")


class Preview(NamedTuple):
    """What was read of a file."""

    texts: list[str]  # the first ones
    number: int  # of texts
    longest: int  # in characters
    column: str


class Question(TypedDict):
    """What is asked of the process."""

    path: str
    column: str
    is_fixed: bool  # else the column is taken only where the file has it


class Answer(TypedDict):
    """What it found."""

    columns: list[str]
    texts: list[str]
    number: int
    longest: int
    column: str


def ask(workspace: Workspace, path: Path, column: str, is_fixed: bool) -> tuple[list[str], Preview]:
    """The columns of a file, and what it holds, read by a process of its own.

    Args:
        is_fixed: Whether the column is the one that a person named; else a likelier one is taken where it is not there.

    Raises:
        FoundryError: when it cannot be read, or reading it takes too much memory or time.
    """
    require_kind(path)
    require_size(path)
    question: Question = {"path": str(path), "column": column, "is_fixed": is_fixed}
    late = f"{path.name} took more than {limits.READING_SECONDS:.0f} seconds to read, which are allowed"
    printed = short_commands.run(workspace, ["foundry.ui.upload_reading"], question, limits.READING_SECONDS, late)
    answer: Answer = json.loads(printed.splitlines()[-1])
    return answer["columns"], Preview(answer["texts"], answer["number"], answer["longest"], answer["column"])


def main() -> None:
    question: Question = json.load(sys.stdin)
    path = Path(question["path"])
    limit_memory()
    try:
        found = answer(path, question["column"], question["is_fixed"])
    except MemoryError:
        found = None
    if found is None:  # here, what was read is given back
        raise FoundryError(
            f"{path.name} is too large to read: it takes more than {limits.READING_BYTES / 1e6:.0f} MB of memory; "
            "JSON Lines, CSV and plain text take less than one list in JSON"
        )
    print(json.dumps(found))


def limit_memory() -> None:
    """Let this process ask for so much memory more, and not for all of the machine's. macOS does not keep to it."""
    pages = int(ADDRESS_SPACE.read_text().split()[0]) if ADDRESS_SPACE.is_file() else 0
    most = pages * resource.getpagesize() + limits.READING_BYTES
    with contextlib.suppress(ValueError, OSError):  # there is a lower limit already
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def answer(path: Path, column: str, is_fixed: bool) -> Answer:
    """What a file holds, and its columns.

    Raises:
        FoundryError: when it cannot be read.
    """
    names = columns(path)
    if not is_fixed and column not in names:
        column = likely_column(path, names)
    preview = read(path, column)
    return {
        "columns": names, "texts": preview.texts, "number": preview.number, "longest": preview.longest,
        "column": preview.column,
    }  # fmt: skip


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
            if len(first) < limits.TEXTS_SHOWN:
                first.append(
                    text if len(text) <= limits.TEXT_CHARACTERS_SHOWN else f"{text[: limits.TEXT_CHARACTERS_SHOWN]}…"
                )
            if count > limits.TEXTS:
                raise FoundryError(f"{path.name} has more than {limits.TEXTS:,} texts, which are allowed")
    except FoundryError as error:
        raise FoundryError(str(error).replace(str(path), path.name).replace(f" in {path.parent} ", " ")) from error
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
    if size > limits.UPLOAD_BYTES:
        raise FoundryError(f"{path.name} has {size / 1e6:.1f} MB, and {limits.UPLOAD_BYTES / 1e6:.0f} are allowed")


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
            return [cell for cell in cells if len(cell) <= limits.TEXT_CHARACTERS_SHOWN][: limits.TEXT_COLUMNS]
        if path.suffix.lower() != ".txt":
            _, record = next(json_files.records(path))
            names = [
                name
                for name, value in record.items()
                if isinstance(value, str) and len(name) <= limits.TEXT_CHARACTERS_SHOWN
            ]
            return names[: limits.TEXT_COLUMNS]
    except (FoundryError, OSError, StopIteration):
        return []
    return []


def likely_column(path: Path, names: Sequence[str]) -> str:
    """Which of a table's columns holds the texts: `text`, or the one whose first cells are the longest."""
    if not names or "text" in names:
        return "text"
    try:
        rows = [
            cells
            for _, cells in itertools.islice(tables.rows(source_of(str(path), names[0]), names), limits.TEXT_ROWS_TRIED)
        ]
    except FoundryError:
        return names[0]
    lengths = [sum(len(str(cells[index])) for cells in rows) for index in range(len(names))]
    return names[lengths.index(max(lengths))]


if __name__ == "__main__":
    command.run_app(main)
