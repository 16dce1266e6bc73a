"""Freeze seeded texts for calibration, validation and benchmark, which never share a document or a text; and tasks."""

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.data import labelled, tables, texts
from foundry.data.settings import Sample, TextGroup

FIRST_UNSPACED = "\u2e80"  # from here on stand the scripts of Chinese and Japanese, whose words have no spaces
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


def clean(documents: Iterable[str]) -> tuple[list[str], int, int]:
    """Documents without surrounding space, empty ones (null among them) and repeated ones; how many were which."""
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


def split_by_share(documents: Sequence[str], shares: dict[str, float], seed: str) -> dict[str, list[str]]:
    """Split a source's documents among sets by share, each document to one set at most."""
    shuffled = list(documents)
    random.Random(seed).shuffle(shuffled)
    parts: dict[str, list[str]] = {}
    start, total = 0, 0.0
    for name, share in shares.items():
        total += share
        end = round(total * len(shuffled))
        parts[name] = shuffled[start:end]
        start = end
    return parts


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


def word_count(text: str) -> int:
    """How many words a text has; in a script without spaces, a third of its letters."""
    unspaced = sum(letter >= FIRST_UNSPACED for letter in text)
    return max(len(text.split()), unspaced // 3)


def candidates(documents: Sequence[str], group: TextGroup) -> list[str]:
    """All texts that a group may be drawn from, each once."""
    cut = dict.fromkeys(pieces(documents, group.cut))
    return [piece for piece in cut if group.max_words is None or word_count(piece) <= group.max_words]


def draw(
    documents: Sequence[str], groups: dict[str, TextGroup], drawn_before: set[str], name: str, seed: str
) -> list[dict[str, str]]:
    """Draw each group's texts from a set's documents, none of them in `drawn_before`, to which they are added.

    Raises:
        FoundryError: when a group has too few.
    """
    rows = []
    for group, wanted in groups.items():
        pool = [piece for piece in candidates(documents, wanted) if piece not in drawn_before]
        if len(pool) < wanted.count:
            limit = f", max_words: {wanted.max_words}" if wanted.max_words is not None else ""
            raise FoundryError(
                f"sample.{name}.groups.{group} wants {wanted.count} texts, and {len(documents)} documents give "
                f"{len(pool)} (cut: {wanted.cut}{limit}). Name more sources, raise this set's share, or ask for fewer"
            )
        drawn = random.Random(f"{seed}/{group}").sample(pool, wanted.count)
        drawn_before.update(drawn)
        rows += [{"group": group, "text": text} for text in drawn]
    return rows


def split_sources(settings: Sample) -> dict[str, list[str]]:
    """The documents of each set, out of all sources.

    Raises:
        FoundryError: when a source cannot be read, or holds no text.
    """
    documents_of: dict[str, list[str]] = {name: [] for name in settings.sets}
    for key, source in settings.sources.items():
        with labelled.errors_begin_with(f"source {key}"):
            documents, empty, repeated = clean(tables.texts(source))
        if not documents:
            raise FoundryError(f"source {key} holds no text ({empty} empty)")
        say(f"{key}: {len(documents)} documents; dropped {empty} empty, {repeated} repeated")
        shares = {name: text_set.share[key] for name, text_set in settings.sets.items() if key in text_set.share}
        for name, part in split_by_share(documents, shares, f"{settings.seed}/{key}").items():
            documents_of[name] += part
    return documents_of


def sample(settings: Sample, out: Path) -> None:
    """Freeze the texts of every set and the labelled tasks in the folder `out`.

    Raises:
        FoundryError: when a source holds too few texts, or a task's data are not of the form that its settings name.
    """
    documents_of = split_sources(settings)
    drawn_before: set[str] = set()
    drawn = {
        name: draw(documents_of[name], text_set.groups, drawn_before, name, f"{settings.seed}/{name}")
        for name, text_set in settings.sets.items()
    }
    tasks = labelled.freeze_tasks(settings.tasks)
    files.write_json(out / "tasks.json", tasks)
    for name, rows in drawn.items():
        texts.write(out / f"{name}.jsonl", rows)
        groups = ", ".join(
            f"{len(group)} {key} (mean {sum(map(len, group)) / len(group):.0f} characters)"
            for key, group in texts.by_group(rows).items()
        )
        say(f"{name}: {groups}")
    for name, task in tasks.items():
        size = task.get("scores") or task.get("queries") or ()
        say(f"task {name}: {task['kind']}, {len(size)} {'pairs' if 'scores' in task else 'queries'}")
