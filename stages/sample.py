"""Freeze seeded texts for calibration, validation and benchmark, which never share a document or a text; and tasks."""

import csv
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stages.shared import command, files, params, sources, tables, texts
from stages.shared.command import StageError
from stages.shared.params import NanoBeir, Retrieval, SimilarityMatrix, SimilarityPairs, TextGroup
from stages.shared.progress import say
from stages.shared.tasks import Task

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


def freeze_similarity(name: str, task: SimilarityPairs | SimilarityMatrix) -> Task:
    """Pairs of texts with the score that people gave them.

    Raises:
        StageError: when a score is not a number, or the matrix does not fit the documents.
    """
    if isinstance(task, SimilarityPairs):
        first, second, scores = tables.columns(task.pairs, task.columns)
        try:
            numbers = [float(score) for score in scores]
        except (TypeError, ValueError) as error:
            raise StageError(f"task {name}: column {task.columns[2]} holds what is not a number: {error}") from error
    else:
        documents = [line.strip() for line in tables.texts(task.documents) if line.strip()]
        path = sources.local_path(task.matrix)
        matrix = [[float(value) for value in line.split()] for line in path.read_text().splitlines() if line.strip()]
        if [len(row) for row in matrix] != [len(documents)] * len(documents):
            raise StageError(f"task {name}: {path} is no matrix of {len(documents)} rows and columns, one per document")
        pairs = [(i, j) for i in range(len(documents)) for j in range(i + 1, len(documents))]
        first, second = [documents[i] for i, _ in pairs], [documents[j] for _, j in pairs]
        numbers = [matrix[i][j] for i, j in pairs]
    if len(set(numbers)) < 2:
        raise StageError(f"task {name}: {len(numbers)} pairs, all with one score, rank nothing")
    return {"kind": "similarity", "first": list(map(str, first)), "second": list(map(str, second)), "scores": numbers}


def freeze_beir(name: str, task: Retrieval) -> Task:
    """A corpus, queries and judgements from a folder in BEIR's layout; queries without a judgement are left out.

    Raises:
        StageError: when a file is missing, or no judgement fits the queries and the corpus.
    """
    folder = sources.local_path(task.beir)
    qrels = folder / "qrels" / f"{task.split}.tsv"
    for path in (folder / "corpus.jsonl", folder / "queries.jsonl", qrels):
        if not path.is_file():
            raise StageError(
                f"task {name}: {path} is not there; BEIR's layout is corpus.jsonl, queries.jsonl, qrels/*.tsv"
            )
    corpus, queries = (
        {
            row["_id"]: f"{row.get('title', '')} {row['text']}".strip()
            for row in map(json.loads, (folder / file).read_text(encoding="utf-8").split("\n")[:-1])
        }
        for file in ("corpus.jsonl", "queries.jsonl")
    )
    relevant: dict[str, list[str]] = {}
    with qrels.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if float(row["score"]) > 0 and row["query-id"] in queries and row["corpus-id"] in corpus:
                relevant.setdefault(row["query-id"], []).append(row["corpus-id"])
    if not relevant:
        raise StageError(f"task {name}: no judgement of {qrels} names a query and a document that are there")
    kept = {query: text for query, text in queries.items() if query in relevant}
    return {"kind": "retrieval", "queries": kept, "corpus": corpus, "relevant": relevant}


def freeze_nanobeir(name: str, task: NanoBeir) -> dict[str, Task]:
    """NanoBEIR's sets by name, as Sentence Transformers loads them from the Hub.

    Raises:
        StageError: for a name that is none, and when the Hub cannot be reached.
    """
    from sentence_transformers.sentence_transformer.evaluation import NanoBEIREvaluator

    try:
        loaded = NanoBEIREvaluator(task.nanobeir, write_csv=False).evaluators
    except ValueError as error:
        raise StageError(f"task {name}: {error} {error.__cause__ or ''}") from error
    return {
        f"{name}_{key}": {
            "kind": "retrieval",
            "queries": dict(zip(one.queries_ids, one.queries, strict=True)),
            "corpus": dict(zip(one.corpus_ids, one.corpus, strict=True)),
            "relevant": {query: sorted(one.relevant_docs[query]) for query in one.queries_ids},
        }
        for key, one in zip(task.nanobeir, loaded, strict=True)
    }


def freeze_tasks(tasks: dict[str, params.Task]) -> dict[str, Task]:
    """Every task's data, as it will be scored."""
    frozen: dict[str, Task] = {}
    for name, task in tasks.items():
        if isinstance(task, NanoBeir):
            frozen |= freeze_nanobeir(name, task)
        elif isinstance(task, Retrieval):
            frozen[name] = freeze_beir(name, task)
        else:
            frozen[name] = freeze_similarity(name, task)
    return frozen


def main(model: str, out: Path) -> None:
    settings = params.read().of(model).sample
    hands: dict[str, list[str]] = {name: [] for name in settings.sets}
    for key, source in settings.sources.items():
        documents, empty, repeated = clean(tables.texts(source))
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
    tasks = freeze_tasks(settings.tasks)
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


if __name__ == "__main__":
    command.run(main)
