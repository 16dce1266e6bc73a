"""Labelled tasks: data on which people judged, frozen beside the texts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypedDict

from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.data import beir, sources, tables, text_files, values
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


@contextmanager
def errors_begin_with(subject: str) -> Iterator[None]:
    """Begin the message of an error with the part of the settings that it is about."""
    try:
        yield
    except FoundryError as error:
        raise FoundryError(f"{subject}: {error}") from error


def freeze_similarity(name: str, task: SimilarityPairs | SimilarityMatrix) -> Task:
    """Pairs of texts with the score that people gave them.

    Raises:
        FoundryError: when a text is missing, a score is no finite number, the matrix does not fit the documents, or
            all scores are the same.
    """
    with errors_begin_with(f"task {name}"):
        pairs = read_pairs(task) if isinstance(task, SimilarityPairs) else read_matrix(task)
        if len({score for _, _, score in pairs}) < 2:
            raise FoundryError(f"{len(pairs)} pairs without two different scores rank nothing")
    return {
        "kind": "similarity",
        "first": [first for first, _, _ in pairs],
        "second": [second for _, second, _ in pairs],
        "scores": [score for _, _, score in pairs],
    }


def read_pairs(task: SimilarityPairs) -> list[tuple[str, str, float]]:
    """Both texts and the score of each row."""
    first, second, score = task.columns
    return [
        (values.filled_text(place, first, row[0]), values.filled_text(place, second, row[1]),
         values.number(place, score, row[2]))
        for place, row in tables.rows(task.pairs, task.columns)
    ]  # fmt: skip


def read_matrix(task: SimilarityMatrix) -> list[tuple[str, str, float]]:
    """Each two documents with the score in the upper half of the matrix."""
    documents = [document for text in tables.texts(task.documents) if (document := text.strip())]
    path = sources.local_file(task.matrix)
    matrix = [
        [
            values.number(f"{path}, line {number}", f"column {column}", cell)
            for column, cell in enumerate(line.split(), 1)
        ]
        for number, line in enumerate(text_files.lines(path), 1)
        if line.strip()
    ]
    if [len(row) for row in matrix] != [len(documents)] * len(documents):
        raise FoundryError(f"{path} is no matrix of {len(documents)} rows and columns, one per document")
    return [
        (documents[i], documents[j], matrix[i][j])
        for i in range(len(documents))
        for j in range(i + 1, len(documents))
    ]  # fmt: skip


def freeze_beir(name: str, task: Retrieval) -> Task:
    """A corpus, queries and judgements from a folder in BEIR's layout.

    Queries without a relevant document, and judgements on what is not in the folder, are left out; their number is
    printed.

    Raises:
        FoundryError: when a file is missing or wrong, or no judgement fits the queries and the corpus.
    """
    with errors_begin_with(f"task {name}"):
        folder = sources.local_folder(task.beir)
        qrels, corpus_file, queries_file = (
            beir.file_in(folder, file) for file in (f"qrels/{task.split}.tsv", "corpus.jsonl", "queries.jsonl")
        )
        corpus, queries = beir.read_texts(corpus_file), beir.read_texts(queries_file)
        judgements = beir.read_judgements(qrels)
        relevant: dict[str, list[str]] = {}
        unknown = 0
        for judgement in judgements:
            if judgement.query not in queries or judgement.document not in corpus:
                unknown += 1
            elif judgement.score > 0:
                relevant.setdefault(judgement.query, []).append(judgement.document)
        if not relevant:
            raise FoundryError(f"no judgement of {qrels} names a query and a relevant document that are there")
        if empty := [query for query in relevant if not queries[query]]:
            raise FoundryError(f"{queries_file}: query {empty[0]} is judged, and its text is empty")
    kept = {query: text for query, text in queries.items() if query in relevant}
    for count, what in (
        (unknown, f"of {len(judgements)} judgements left out: they name a query or document that is not there"),
        (len(queries) - len(kept), f"of {len(queries)} queries left out: no document is judged relevant to them"),
        (sum(not text for text in corpus.values()), f"of {len(corpus)} documents have no text; they stay, as empty"),
    ):
        if count:
            say(f"task {name}: {count} {what}")
    return {"kind": "retrieval", "queries": kept, "corpus": corpus, "relevant": relevant}


def freeze_nanobeir(name: str, task: NanoBeir) -> dict[str, Task]:
    """NanoBEIR's sets by name, as Sentence Transformers loads them from the Hub.

    Raises:
        FoundryError: for an unknown name, and when the Hub cannot be reached.
    """
    from sentence_transformers.sentence_transformer.evaluation import NanoBEIREvaluator

    try:
        loaded = NanoBEIREvaluator(task.nanobeir, write_csv=False).evaluators
    except ValueError as error:
        raise FoundryError(f"task {name}: {error} {error.__cause__ or ''}") from error
    return {
        f"{name}_{key}": {
            "kind": "retrieval",
            "queries": dict(zip(evaluator.queries_ids, evaluator.queries, strict=True)),
            "corpus": dict(zip(evaluator.corpus_ids, evaluator.corpus, strict=True)),
            "relevant": {query: sorted(evaluator.relevant_docs[query]) for query in evaluator.queries_ids},
        }
        for key, evaluator in zip(task.nanobeir, loaded, strict=True)
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
