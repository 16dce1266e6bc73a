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

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


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
        FoundryError: when a group has too few.
    """
    rows = []
    for group, wanted in groups.items():
        pool = [piece for piece in dict.fromkeys(pieces(documents, wanted.cut)) if piece not in taken]
        if len(pool) < wanted.count:
            raise FoundryError(
                f"sample.{name}.groups.{group} wants {wanted.count} texts, and {len(documents)} documents give "
                f"{len(pool)} (cut: {wanted.cut}). Name more sources, raise this set's share, or ask for fewer"
            )
        drawn = random.Random(f"{seed}/{group}").sample(pool, wanted.count)
        taken.update(drawn)
        rows += [{"group": group, "text": text} for text in drawn]
    return rows


def sample(settings: Sample, out: Path) -> None:
    """Freeze the texts of every set and the labelled tasks in the folder `out`.

    Raises:
        FoundryError: when a source holds too few texts, or a task is not what it is said to be.
    """
    hands: dict[str, list[str]] = {name: [] for name in settings.sets}
    for key, source in settings.sources.items():
        documents, empty, repeated = clean(tables.texts(source))
        if not documents:
            raise FoundryError(f"source {key} holds no text ({empty} empty)")
        say(f"{key}: {len(documents)} documents; dropped {empty} empty, {repeated} repeated")
        shares = {name: texts_.share[key] for name, texts_ in settings.sets.items() if key in texts_.share}
        for name, hand in deal(documents, shares, f"{settings.seed}/{key}").items():
            hands[name] += hand
    taken: set[str] = set()
    drawn = {
        name: draw(hands[name], chosen.groups, taken, name, f"{settings.seed}/{name}")
        for name, chosen in settings.sets.items()
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
    for name, frozen in tasks.items():
        size = frozen.get("scores") or frozen.get("queries") or ()
        say(f"task {name}: {frozen['kind']}, {len(size)} {'pairs' if 'scores' in frozen else 'queries'}")
