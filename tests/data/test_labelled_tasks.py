"""Labelled tasks of each layout, frozen; what people ask of them most often."""

import json
from pathlib import Path

import pytest

from foundry.base.errors import FoundryError
from foundry.data import labelled
from foundry.data.settings import PathSource, PathTexts, Retrieval, SimilarityMatrix, SimilarityPairs


def write_pairs(folder: Path, score: str = "0.9") -> PathTexts:
    rows = f"A man eats.,A man is eating.,{score}\nA man eats.,Rain.,0.1\n"
    (folder / "sts.csv").write_text(f"sentence1,sentence2,score\n{rows}")
    return PathTexts(path=str(folder / "sts.csv"))


def test_a_local_similarity_file(tmp_path: Path) -> None:
    frozen = labelled.freeze_similarity("sts", SimilarityPairs(pairs=write_pairs(tmp_path)))
    assert frozen["first"] == ["A man eats.", "A man eats."]
    assert frozen["scores"] == [0.9, 0.1]
    columns = ("sentence1", "sentence2", "stars")
    with pytest.raises(FoundryError, match="no column 'stars'"):
        labelled.freeze_similarity("sts", SimilarityPairs(pairs=write_pairs(tmp_path), columns=columns))
    with pytest.raises(FoundryError, match="not a number"):
        labelled.freeze_similarity("sts", SimilarityPairs(pairs=write_pairs(tmp_path, "high")))
    with pytest.raises(FoundryError, match="rank nothing"):
        labelled.freeze_similarity("sts", SimilarityPairs(pairs=write_pairs(tmp_path, "0.1")))


def test_a_matrix_must_fit_its_documents(tmp_path: Path) -> None:
    (tmp_path / "documents.txt").write_text("one\ntwo\n")
    (tmp_path / "matrix.txt").write_text("1 0.5\n0.5\n")
    documents, matrix = (str(tmp_path / name) for name in ("documents.txt", "matrix.txt"))
    task = SimilarityMatrix(documents=PathTexts(path=documents), matrix=PathSource(path=matrix))
    with pytest.raises(FoundryError, match="no matrix of 2 rows"):
        labelled.freeze_similarity("lee", task)


def write_beir(folder: Path) -> Retrieval:
    (folder / "qrels").mkdir(parents=True)
    corpus = [
        {"_id": f"d{i}", "title": "On", "text": text} for i, text in enumerate(("the sea", "money", "wind and rain"))
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    queries = [{"_id": "q0", "text": "On the sea"}, {"_id": "q1", "text": "without a judgement"}]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\td1\t0\n")
    return Retrieval(beir=PathSource(path=str(folder)))


def test_a_folder_in_beirs_layout(tmp_path: Path) -> None:
    frozen = labelled.freeze_beir("search", write_beir(tmp_path / "beir"))
    assert frozen["queries"] == {"q0": "On the sea"}
    assert frozen["relevant"] == {"q0": ["d0"]}
    assert frozen["corpus"]["d2"] == "On wind and rain"


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_beir_folder_that_lacks_a_file(tmp_path: Path, missing: str) -> None:
    task = write_beir(tmp_path / "beir")
    (tmp_path / "beir" / missing).unlink()
    with pytest.raises(FoundryError, match=f"{missing} is not there"):
        labelled.freeze_beir("search", task)


def test_nanobeir_without_the_hub_is_an_error() -> None:
    from foundry.data.settings import NanoBeir

    with pytest.raises(FoundryError, match=r"task nano: .*not valid NanoBEIR"):
        labelled.freeze_nanobeir("nano", NanoBeir(nanobeir=["no-such-set"]))
    with pytest.raises(FoundryError, match="task nano: Could not load"):
        labelled.freeze_nanobeir("nano", NanoBeir(nanobeir=["msmarco"]))
