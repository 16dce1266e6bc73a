"""Retrieval data in BEIR's layout: corpus.jsonl, queries.jsonl and qrels/<split>.tsv, each of which may be gzipped."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from foundry.base.errors import FoundryError
from foundry.data import json_files, text_files, values

HEADER = ("query-id", "corpus-id", "score")
# By their number, the fields of a line of judgements that are HEADER's: in TREC's layout, a second field is not used.
FIELDS_WITHOUT_HEADER = {3: (0, 1, 2), 4: (0, 2, 3)}


class Judgement(NamedTuple):
    """How relevant a document is to a query; more than 0 is relevant."""

    query: str
    document: str
    score: float


def file_in(folder: Path, name: str) -> Path:
    """A file of BEIR's layout, plain or gzipped.

    Raises:
        FoundryError: when there is neither.
    """
    path = folder / name
    if path.is_file():
        return path
    compressed = folder / f"{name}.gz"
    if compressed.is_file():
        return compressed
    raise FoundryError(
        f"{path} is not there; BEIR's layout is corpus.jsonl, queries.jsonl and qrels/<split>.tsv, or each with .gz"
    )


def read_texts(path: Path) -> dict[str, str]:
    """Documents or queries by id: the title, where there is one, and the text.

    The id is `_id`, or else `id`. A text may be empty, as some documents of BEIR's are; a title may be missing or null.

    Raises:
        FoundryError: names the line of an object without an id or a text, or of an id that was there before.
    """
    read: dict[str, str] = {}
    for place, record in json_files.records(path):
        key = "_id" if "_id" in record else "id"
        values.require_columns(place, ["_id" if key not in record else key, "text"], list(record))
        identifier = values.identifier(place, key, record[key])
        text = values.text(place, "text", record["text"])
        title = record.get("title")
        if title is not None:
            text = f"{values.text(place, 'title', title)} {text}"
        if identifier in read:
            raise FoundryError(f"{place}: a second object with the {key} {identifier!r}")
        read[identifier] = text.strip()
    if not read:
        raise FoundryError(f"{path} holds no objects")
    return read


def read_judgements(path: Path) -> list[Judgement]:
    """Every judgement, once.

    With BEIR's header, columns may stand in any order. Without a header, a line has a query, a document and a score,
    or TREC's four fields. Fields are separated by tabs, or else by white space.

    Raises:
        FoundryError: names the line that has another number of fields, a score that is no finite number, or another
            score than an earlier line for the same query and document.
    """
    scores: dict[tuple[str, str], float] = {}
    lines = _fields(path)
    _, first = next(lines, ("", []))
    if not first:
        raise FoundryError(f"{path} holds no judgements")
    if set(HEADER) <= set(first):
        indices = tuple(first.index(name) for name in HEADER)
    elif len(first) in FIELDS_WITHOUT_HEADER and _is_number(first[-1]):
        indices, lines = FIELDS_WITHOUT_HEADER[len(first)], _fields(path)
    else:
        raise FoundryError(
            f"{path}: its first line has {values.listed(first)}; expected is the header {', '.join(HEADER)}, or none "
            "and lines of three fields, or TREC's four"
        )
    for place, fields in lines:
        if len(fields) != len(first):
            raise FoundryError(f"{place}: {len(fields)} fields, and {len(first)} are expected, as in the first line")
        query, document, written = (fields[index] for index in indices)
        values.filled_text(place, HEADER[0], query)
        values.filled_text(place, HEADER[1], document)
        score = values.number(place, HEADER[2], written)
        if scores.setdefault((query, document), score) != score:
            raise FoundryError(
                f"{place}: query {query} and document {document} have the score {score:g} here and "
                f"{scores[query, document]:g} in an earlier line"
            )
    return [Judgement(query, document, score) for (query, document), score in scores.items()]


def _fields(path: Path) -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(text_files.lines(path), 1):
        if line.strip():
            fields = line.split("\t") if "\t" in line else line.split()
            yield f"{path}, line {number}", [field.strip() for field in fields]


def _is_number(written: str) -> bool:
    try:
        float(written)
    except ValueError:
        return False
    return True
