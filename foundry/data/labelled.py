"""Labelled tasks: data on which people judged, frozen beside the texts."""

import csv
import json
from typing import Literal, TypedDict

from foundry.base.errors import FoundryError
from foundry.data import sources, tables
from foundry.data.settings import NanoBeir, Retrieval, SimilarityMatrix, SimilarityPairs, TaskSettings


class Task(TypedDict, total=False):
    """One frozen task: similarity has the first three keys filled, retrieval the last three."""

    kind: Literal["similarity", "retrieval"]
    first: list[str]
    second: list[str]
    scores: list[float]
    queries: dict[str, str]
    corpus: dict[str, str]
    relevant: dict[str, list[str]]


def freeze_similarity(name: str, task: SimilarityPairs | SimilarityMatrix) -> Task:
    """Pairs of texts with the score that people gave them.

    Raises:
        FoundryError: when a score is not a number, or the matrix does not fit the documents.
    """
    if isinstance(task, SimilarityPairs):
        first, second, scores = tables.columns(task.pairs, task.columns)
        try:
            numbers = [float(score) for score in scores]
        except (TypeError, ValueError) as error:
            raise FoundryError(f"task {name}: column {task.columns[2]} holds what is not a number: {error}") from error
    else:
        documents = [line.strip() for line in tables.texts(task.documents) if line.strip()]
        path = sources.local_path(task.matrix)
        matrix = [[float(value) for value in line.split()] for line in path.read_text().splitlines() if line.strip()]
        if [len(row) for row in matrix] != [len(documents)] * len(documents):
            raise FoundryError(
                f"task {name}: {path} is no matrix of {len(documents)} rows and columns, one per document"
            )
        pairs = [(i, j) for i in range(len(documents)) for j in range(i + 1, len(documents))]
        first, second = [documents[i] for i, _ in pairs], [documents[j] for _, j in pairs]
        numbers = [matrix[i][j] for i, j in pairs]
    if len(set(numbers)) < 2:
        raise FoundryError(f"task {name}: {len(numbers)} pairs, all with one score, rank nothing")
    return {"kind": "similarity", "first": list(map(str, first)), "second": list(map(str, second)), "scores": numbers}


def freeze_beir(name: str, task: Retrieval) -> Task:
    """A corpus, queries and judgements from a folder in BEIR's layout; queries without a judgement are left out.

    Raises:
        FoundryError: when a file is missing, or no judgement fits the queries and the corpus.
    """
    folder = sources.local_path(task.beir)
    qrels = folder / "qrels" / f"{task.split}.tsv"
    for path in (folder / "corpus.jsonl", folder / "queries.jsonl", qrels):
        if not path.is_file():
            raise FoundryError(
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
        raise FoundryError(f"task {name}: no judgement of {qrels} names a query and a document that are there")
    kept = {query: text for query, text in queries.items() if query in relevant}
    return {"kind": "retrieval", "queries": kept, "corpus": corpus, "relevant": relevant}


def freeze_nanobeir(name: str, task: NanoBeir) -> dict[str, Task]:
    """NanoBEIR's sets by name, as Sentence Transformers loads them from the Hub.

    Raises:
        FoundryError: for a name that is none, and when the Hub cannot be reached.
    """
    from sentence_transformers.sentence_transformer.evaluation import NanoBEIREvaluator

    try:
        loaded = NanoBEIREvaluator(task.nanobeir, write_csv=False).evaluators
    except ValueError as error:
        raise FoundryError(f"task {name}: {error} {error.__cause__ or ''}") from error
    return {
        f"{name}_{key}": {
            "kind": "retrieval",
            "queries": dict(zip(one.queries_ids, one.queries, strict=True)),
            "corpus": dict(zip(one.corpus_ids, one.corpus, strict=True)),
            "relevant": {query: sorted(one.relevant_docs[query]) for query in one.queries_ids},
        }
        for key, one in zip(task.nanobeir, loaded, strict=True)
    }


def freeze_tasks(tasks: dict[str, TaskSettings]) -> dict[str, Task]:
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
