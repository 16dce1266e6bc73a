"""Labelled data: pairs, matrices and BEIR's layout, read exactly or refused with the file and the line."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.data import labelled
from foundry.data.settings import PathSource, PathTexts, Retrieval, SimilarityMatrix, SimilarityPairs
from tests.data.conftest import Freeze

DOCUMENTS = [{"_id": "d0", "title": "On", "text": "the sea"}, {"_id": "d1", "text": "money"}]
QUERIES = [{"_id": "q0", "text": "On the sea"}, {"_id": "q1", "text": "never judged"}]


def json_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_beir(folder: Path, **contents: str) -> Path:
    """A folder in BEIR's layout; `corpus`, `queries` and `qrels` replace the content of a file."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(contents.get("corpus", json_lines(DOCUMENTS)))
    (folder / "queries.jsonl").write_text(contents.get("queries", json_lines(QUERIES)))
    qrels = contents.get("qrels", "query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\td1\t0\n")
    (folder / "qrels/test.tsv").write_text(qrels)
    return folder


def freeze_beir(folder: Path) -> labelled.Task:
    return labelled.freeze_beir("search", Retrieval(beir=PathSource(path=str(folder))))


def error_of(folder: Path) -> str:
    """The message of the error, which is one line and names the task."""
    with pytest.raises(FoundryError) as raised:
        freeze_beir(folder)
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith("task search: ")
    return message


# --- BEIR ------------------------------------------------------------------------------------------------


WHOLE = {"d0": "On the sea", "d1": "money"}
CORPORA = {
    "no line break at the end": (json_lines(DOCUMENTS)[:-1], WHOLE),
    "blank lines and Windows line breaks": (json_lines(DOCUMENTS).replace("\n", "\r\n\r\n"), WHOLE),
    "a byte order mark": ("\ufeff" + json_lines(DOCUMENTS), WHOLE),
    "a title that is null": (
        json_lines([DOCUMENTS[0], {"_id": "d1", "title": None, "text": "money"}]),
        WHOLE,
    ),
    "id in place of _id": (json_lines([{"id": "d0", "text": "a"}, {"id": "d1", "text": "b"}]), {"d0": "a", "d1": "b"}),
    "line separators within a text": (
        json.dumps({"_id": "d0", "text": "a\u2028b"}, ensure_ascii=False),
        {"d0": "a\u2028b"},
    ),
    "an empty text": (json_lines([{"_id": "d0", "title": "", "text": ""}]), {"d0": ""}),
}


@pytest.mark.parametrize("case", CORPORA)
def test_every_document_of_a_corpus_is_read(tmp_path: Path, case: str) -> None:
    content, expected = CORPORA[case]
    frozen = freeze_beir(write_beir(tmp_path / "beir", corpus=content))
    assert frozen["corpus"] == expected
    assert frozen["queries"] == {"q0": "On the sea"}
    assert frozen["relevant"] == {"q0": ["d0"]}


def test_ids_as_numbers(tmp_path: Path) -> None:
    corpus = json_lines([{"_id": 7, "text": "a"}, {"_id": "007", "text": "b"}])
    folder = write_beir(tmp_path / "beir", corpus=corpus, queries='{"_id": 1, "text": "q"}', qrels="1\t007\t2\n1\t7\t1")
    frozen = freeze_beir(folder)
    assert frozen["corpus"] == {"7": "a", "007": "b"}
    assert frozen["relevant"] == {"1": ["007", "7"]}


@pytest.mark.parametrize(
    "qrels",
    [
        "q0\td0\t1\nq0\td1\t0\n",
        "q0\td0\t1.0\nq0\td1\t0",
        "q0 0 d0 1\nq0 0 d1 0\n",
        "q0\t0\td0\t1\n\nq0\t0\td1\t-1\n",
        "\ufeffquery-id\tcorpus-id\tscore\r\nq0\td0\t1\r\n",
        "score\tquery-id\tcorpus-id\n1\tq0\td0\n",
        "query-id corpus-id score\nq0 d0 1\nq0 d0 1\n",
    ],
)
def test_judgements_with_and_without_a_header_and_as_trec_has_them(tmp_path: Path, qrels: str) -> None:
    assert freeze_beir(write_beir(tmp_path / "beir", qrels=qrels))["relevant"] == {"q0": ["d0"]}


def test_the_stage_freezes_gzipped_files_and_says_what_is_left_out(
    tmp_path: Path, freeze: Freeze, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = json_lines([*DOCUMENTS, {"_id": "d2", "text": ""}])
    folder = write_beir(tmp_path / "beir", corpus=corpus, qrels="q0\td0\t1\nq0\td9\t1\nq9\td0\t1\n")
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    frozen = files.read_json(freeze(tasks={"search": {"beir": {"path": str(folder)}}}) / "tasks.json")["search"]
    assert frozen["corpus"] == {**WHOLE, "d2": ""}
    assert frozen["relevant"] == {"q0": ["d0"]}
    output = capsys.readouterr().out
    assert "search: 2 of 3 judgements left out: they name a query or document that is not there" in output
    assert "search: 1 of 2 queries left out: no document is judged relevant to them" in output
    assert "search: 1 of 3 documents have no text" in output


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"corpus": '{"_id": "d0", "text": null}'}, "corpus.jsonl, line 1: 'text' is null"),
        ({"corpus": '{"_id": "d0", "text": ["a"]}'}, "corpus.jsonl, line 1: 'text' is a list"),
        ({"corpus": '\n{"_id": "d0", "title": 7, "text": "a"}'}, "corpus.jsonl, line 2: 'title' is the number 7"),
        ({"corpus": '{"_id": "d0"}'}, "corpus.jsonl, line 1 has no column 'text'; its columns are _id"),
        ({"corpus": '{"docid": "d0", "text": "a"}'}, "corpus.jsonl, line 1 has no column '_id'"),
        ({"corpus": '{"_id": 1.5, "text": "a"}'}, "corpus.jsonl, line 1: '_id' is the number 1.5"),
        ({"corpus": '{"_id": "", "text": "a"}'}, "corpus.jsonl, line 1: '_id' is empty"),
        ({"corpus": '{"_id": true, "text": "a"}'}, "corpus.jsonl, line 1: '_id' is the truth value true"),
        ({"corpus": json_lines([*DOCUMENTS, DOCUMENTS[0]])}, "corpus.jsonl, line 3: a second object with the _id 'd0'"),
        ({"corpus": json_lines(DOCUMENTS) + '{"_id": "d2", "te'}, "corpus.jsonl, line 3: is no JSON"),
        ({"corpus": ""}, "corpus.jsonl is empty"),
        ({"corpus": "\n"}, "corpus.jsonl holds no objects"),
        ({"queries": '{"_id": "q0", "text": " "}'}, "queries.jsonl: query q0 is judged, and its text is empty"),
        ({"qrels": "q0\td0\tnan\n"}, "test.tsv, line 1: 'score' is the text 'nan', not a number"),
        ({"qrels": "query-id\tcorpus-id\tscore\nq0\td0\tinf\n"}, "test.tsv, line 2: 'score' is the text 'inf'"),
        ({"qrels": "q0\td0\t1\nq0\td1\thigh\n"}, "test.tsv, line 2: 'score' is the text 'high', not a number"),
        ({"qrels": "q0\td0\t1\nq0\td1\n"}, "test.tsv, line 2: 2 fields, and 3 are expected"),
        ({"qrels": "q0\td0\t1\n\td1\t1\n"}, "test.tsv, line 2: 'query-id' is empty"),
        ({"qrels": "q0\td0\t1\nq0\td0\t0\n"}, "have the score 0 here and 1 in an earlier line"),
        ({"qrels": "qid\tdocid\trel\nq0\td0\t1\n"}, "has qid, docid, rel; expected is the header query-id"),
        ({"qrels": "q0 d0\n"}, "its first line has q0, d0; expected"),
        ({"qrels": "\n"}, "test.tsv holds no judgements"),
        ({"qrels": "q0\td0\t0\n"}, "names a query and a relevant document that are there"),
        ({"qrels": "q0\td7\t1\n"}, "names a query and a relevant document that are there"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_beir_folder_is_one_line(tmp_path: Path, contents: dict[str, str], message: str) -> None:
    assert message in error_of(write_beir(tmp_path / "beir", **contents))


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_beir_folder_that_lacks_a_file(tmp_path: Path, missing: str) -> None:
    folder = write_beir(tmp_path / "beir")
    (folder / missing).unlink()
    assert f"{missing} is not there; BEIR's layout is" in error_of(folder)


def test_a_beir_folder_that_is_a_file_or_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file; the path of a folder is expected" in error_of(tmp_path / "file")
    folder = write_beir(tmp_path / "beir")
    (folder / "corpus.jsonl").write_bytes('{"_id": "d0", "text": "Grüße"}'.encode("latin-1"))
    assert "corpus.jsonl is not UTF-8 (line 1, byte 0xfc" in error_of(folder)


# --- Pairs -----------------------------------------------------------------------------------------------


def pairs_of(path: Path, **settings: Any) -> labelled.Task:
    task = SimilarityPairs(pairs=PathTexts(path=str(path), **settings))
    return labelled.freeze_similarity("sts", task)


def test_pairs_are_read_as_they_stand(tmp_path: Path, freeze: Freeze) -> None:
    rows = [("NA", "007", 1), ("null", "a, b", 0.25)]
    (tmp_path / "sts.CSV").write_text(
        '\ufeffid;score;sentence2;sentence1\n1;1;007;NA\n2;2.5e-1;"a, b";null\n', encoding="utf-8"
    )
    (tmp_path / "sts.jsonl").write_text(
        json_lines([{"sentence1": a, "sentence2": b, "score": score} for a, b, score in rows])
    )
    expected = {"kind": "similarity", "first": ["NA", "null"], "second": ["007", "a, b"], "scores": [1.0, 0.25]}
    tasks = {name: {"pairs": {"path": str(tmp_path / f"sts.{name}")}} for name in ("CSV", "jsonl")}
    assert files.read_json(freeze(tasks=tasks) / "tasks.json") == {"CSV": expected, "jsonl": expected}


@pytest.mark.parametrize("score", ["nan", "inf", "-Infinity", "1e999", "high", "", "0,5", "1_0", "None"])
def test_a_score_that_is_no_finite_number_is_refused(tmp_path: Path, score: str) -> None:
    (tmp_path / "sts.csv").write_text(f'sentence1,sentence2,score\na,b,1\na,c,"{score}"\n')
    with pytest.raises(FoundryError, match=r"^task sts: .*sts\.csv, line 3: 'score' is the text '.*', not a number.*$"):
        pairs_of(tmp_path / "sts.csv")


@pytest.mark.parametrize("score", ["NaN", "Infinity", "1e999", "null", "true", "[1]", "9" * 400])
def test_and_in_json_too(tmp_path: Path, score: str) -> None:
    (tmp_path / "sts.jsonl").write_text(f'{{"sentence1": "a", "sentence2": "b", "score": {score}}}\n')
    with pytest.raises(FoundryError, match=r"^task sts: .*sts\.jsonl, line 1: 'score' is .*, not a number.*$"):
        pairs_of(tmp_path / "sts.jsonl")


def test_a_pair_without_a_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sts.csv").write_text("sentence1,sentence2,score\na,b,1\n,c,0\n")
    with pytest.raises(FoundryError, match="line 3: 'sentence1' is empty"):
        pairs_of(tmp_path / "sts.csv")
    (tmp_path / "sts.jsonl").write_text('{"sentence1": "a", "sentence2": null, "score": 1}\n')
    with pytest.raises(FoundryError, match="line 1: 'sentence2' is null, and a text is expected"):
        pairs_of(tmp_path / "sts.jsonl")
    (tmp_path / "sts.txt").write_text("a\n")
    with pytest.raises(FoundryError, match="is read as text, which has no columns"):
        pairs_of(tmp_path / "sts.txt")
    (tmp_path / "sts.csv").write_text("sentence1,sentence2,score\n")
    with pytest.raises(FoundryError, match="0 pairs without two different scores rank nothing"):
        pairs_of(tmp_path / "sts.csv")


# --- A matrix --------------------------------------------------------------------------------------------


def matrix_of(folder: Path, matrix: str) -> labelled.Task:
    (folder / "documents.txt").write_text("\ufeffone\n\ntwo\nthree")
    (folder / "matrix.txt").write_text(matrix)
    documents = PathTexts(path=str(folder / "documents.txt"))
    task = SimilarityMatrix(documents=documents, matrix=PathSource(path=str(folder / "matrix.txt")))
    return labelled.freeze_similarity("lee", task)


def test_a_matrix_of_similarities(tmp_path: Path) -> None:
    frozen = matrix_of(tmp_path, "\ufeff1 0.1 0.2\r\n\r\n0\t1\t.5\n0 0 1")
    assert frozen["first"] == ["one", "one", "two"]
    assert frozen["second"] == ["two", "three", "three"]
    assert frozen["scores"] == [0.1, 0.2, 0.5]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("1 0.1 nan\n0 1 0\n0 0 1\n", "line 1: 'column 3' is the text 'nan', not a number"),
        ("1 0.1 0\n0 1 inf\n0 0 1\n", "line 2: 'column 3' is the text 'inf', not a number"),
        ("1,0,0\n", "line 1: 'column 1' is the text '1,0,0', not a number"),
        ("1 0\n0 1\n", "is no matrix of 3 rows and columns"),
        ("1 0 0\n0 1 0\n", "is no matrix of 3 rows and columns"),
        ("", "matrix.txt is empty"),
    ],
)
def test_a_matrix_that_is_none(tmp_path: Path, matrix: str, message: str) -> None:
    with pytest.raises(FoundryError) as raised:
        matrix_of(tmp_path, matrix)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
