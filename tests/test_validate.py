"""validate: every check by itself, on arrays with known answers and on the tiny model; test_damage.py has the real."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.base.errors import FoundryError
from foundry.data import labelled
from foundry.data.settings import PathSource, PathTexts, Retrieval, SimilarityMatrix, SimilarityPairs
from foundry.reference import closeness, reference, scoring
from foundry.validation import checking, results, validating
from foundry.validation.settings import Thresholds
from foundry.variants import variant_folder
from tests.support.projects import TINY_VARIANTS
from tests.support.stages import validate_in

LOOSE = Thresholds(
    mean_cosine=0.9, p5_cosine=0.9, p1_cosine=0.9, min_cosine=0.9, max_abs_diff=0.1, hard_min_cosine=0.9,
    consistency_mean_cosine=0.9, consistency_min_cosine=0.9, recall_at_10=0.9, similarity_spearman=0.9, task_ratio=0.9,
    active_dimensions=0.9, passage_order=0.9,
)  # fmt: skip
RANDOM = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)


def failed(checks: list[results.Check]) -> set[str]:
    return {row["check"] for row in checks if not row["passed"]}


@pytest.mark.parametrize("variant", TINY_VARIANTS)
def test_untouched_variants_pass(project: Callable[..., Path], tiny: Path, variant: str) -> None:
    result = validate_in(project(), tiny, variant, tiny / variant)
    assert result["verdict"] == "passed", results.why_failed(result)
    assert result["files"] == dict(variant_folder.hashes(tiny / variant))
    assert result["texts"] == 48
    assert len(result["worst"]) == 10
    assert {"mean_cosine", "hard_min_cosine", "consistency_min_cosine", "recall_at_10", "task_ratio_own"} <= {
        row["check"] for row in result["checks"]
    }


def test_on_failure_stop_ends_with_an_error_after_the_result_is_written(
    project: Callable[..., Path], tiny: Path
) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["validate"]["on_failure"] = "stop"
        raw["validate"]["overrides"]["onnx_O2"] = {"max_abs_diff": 1e-12}

    root = project(change)
    with pytest.raises(FoundryError, match=r"onnx_O2 failed, and validate.on_failure is stop: max_abs_diff"):
        validate_in(root, tiny, "onnx_O2", tiny / "onnx_O2")
    assert json.loads((root / "validation/tiny/onnx_O2.json").read_text())["verdict"] == "failed"


def test_what_does_not_load_fails_and_says_why(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny / "onnx", tmp_path / "damaged")
    path = variant_folder.weights_path(folder, "onnx")
    path.write_bytes(path.read_bytes()[:5000])
    result = validate_in(project(), tiny, "onnx", folder)
    assert result["verdict"] == "failed"
    assert "does not load" in str(result["reason"])


def test_skipped_is_neither_passed_nor_failed(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    variant_folder.skip(tmp_path / "skipped", "onnx_O2", "no such fusion")
    result = validate_in(project(), tiny, "onnx_O2", tmp_path / "skipped")
    assert (result["verdict"], result["reason"], result["checks"]) == ("skipped", "no such fusion", [])


# --- Checks on arrays with known answers


def test_each_threshold_decides() -> None:
    assert not failed(checking.parity(RANDOM, RANDOM, LOOSE))
    one_bad = RANDOM.copy()
    one_bad[7] = -one_bad[7]
    assert failed(checking.parity(one_bad, RANDOM, LOOSE)) == {"min_cosine", "p1_cosine", "max_abs_diff"}


def test_nan_never_passes_and_is_no_number_in_the_file() -> None:
    poisoned = RANDOM.copy()
    poisoned[3, 2] = np.nan
    checks = checking.parity(poisoned, RANDOM, LOOSE)
    assert {"non_finite_values", "mean_cosine", "min_cosine", "max_abs_diff"} <= failed(checks)
    assert next(row["value"] for row in checks if row["check"] == "mean_cosine") is None
    assert validating.worst_texts([str(i) for i in range(50)], poisoned, RANDOM)[0]["text"] == "3"


@pytest.mark.parametrize("width", [4, 9])
def test_another_width_fails(width: int) -> None:
    assert failed(checking.parity(np.ones((50, width)), RANDOM, LOOSE)) == {"different_dimensions"}


def test_the_interval_holds_the_mean_and_narrows_with_more_texts() -> None:
    values = np.random.default_rng(1).normal(0.99, 0.01, size=400)
    low, high = closeness.bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    few = closeness.bootstrap_interval(values[:25])
    assert few[1] - few[0] > 2 * (high - low)
    assert closeness.bootstrap_interval(values) == (low, high)


def test_cosines() -> None:
    left = np.array([[1, 0], [1, 1], [0, 0], [0, 0]], dtype=np.float32)
    right = np.array([[0, 1], [2, 2], [0, 0], [1, 0]], dtype=np.float32)
    assert closeness.cosines(left, right) == pytest.approx([0, 1, 1, 0])


def test_neighbours() -> None:
    angles = np.linspace(0, 1.5, 12)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    own = closeness.similarities(circle)
    assert closeness.recall_of_neighbours(own, own, k=3).tolist() == [1.0] * 12
    assert closeness.rank_correlation(own, own) == pytest.approx(1)
    shuffled = closeness.similarities(circle[np.random.default_rng(0).permutation(12)])
    assert closeness.recall_of_neighbours(shuffled, own, k=3).mean() < 0.6
    assert closeness.rank_correlation(-own, own) == pytest.approx(-1)


def test_the_worst_context_decides() -> None:
    found = {"batch_of_8": np.array([1.0, 1.0]), "batch_of_32": np.array([0.8, 0.9])}
    checks = checking.consistency(found, changed_values=3, limits=LOOSE)
    assert {row["check"]: row["value"] for row in checks} == {
        "consistency_mean_cosine": pytest.approx(0.85),
        "consistency_min_cosine": pytest.approx(0.8),
        "values_changed_on_repeat": 3,
    }
    assert failed(checks) == {"consistency_mean_cosine", "consistency_min_cosine", "values_changed_on_repeat"}


def test_hard_texts_reach_the_maximum_length_exactly(tiny: Path) -> None:
    expected = reference.read(tiny.parent.parent / "reference/tiny")
    tokens = dict(zip(expected.hard, expected.tokens[48:], strict=True))
    assert len(tokens["exactly_max_length"]) == 64
    assert tokens["exactly_max_length"] != tokens["beyond_max_length"]
    assert len(tokens["beyond_max_length"]) == len(tokens["repeated_words"]) == 64
    assert len(tokens["empty"]) == 2
    assert 0 < expected.vocabulary_covered <= expected.vocabulary_size


# --- Tasks of one's own


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


def test_a_folder_in_beirs_layout(tmp_path: Path, tiny: Path) -> None:
    from foundry.loading import loader

    frozen = labelled.freeze_beir("search", write_beir(tmp_path / "beir"))
    assert frozen["queries"] == {"q0": "On the sea"}
    assert frozen["relevant"] == {"q0": ["d0"]}
    assert frozen["corpus"]["d2"] == "On wind and rain"
    sts = labelled.freeze_similarity("sts", SimilarityPairs(pairs=write_pairs(tmp_path)))
    encoder = scoring.CachedEncoder(loader.load(tiny / "onnx", "onnx"), 8)
    scores = scoring.score(encoder, {"search": frozen, "sts": sts})
    assert scores["search"] == 1.0  # the query is the document, word for word
    assert scores["sts"] == pytest.approx(1.0)


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_beir_folder_that_lacks_a_file(tmp_path: Path, missing: str) -> None:
    task = write_beir(tmp_path / "beir")
    (tmp_path / "beir" / missing).unlink()
    with pytest.raises(FoundryError, match=f"{missing} is not there"):
        labelled.freeze_beir("search", task)


def test_nanobeir_without_the_hub_says_so() -> None:
    from foundry.data.settings import NanoBeir

    with pytest.raises(FoundryError, match=r"task nano: .*not valid NanoBEIR"):
        labelled.freeze_nanobeir("nano", NanoBeir(nanobeir=["no-such-set"]))
    with pytest.raises(FoundryError, match="task nano: Could not load"):
        labelled.freeze_nanobeir("nano", NanoBeir(nanobeir=["msmarco"]))


def test_repeated_texts_are_embedded_once() -> None:
    class Model:
        prompts: dict[str, str] = {}  # noqa: RUF012
        seen: list[str] = []  # noqa: RUF012

        def encode(self, texts: list[str], **options: Any) -> np.ndarray:
            self.seen += texts
            return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

        encode_query = encode

    model = Model()
    encoder = scoring.CachedEncoder(model, 8)
    encoder.remember(["aa"], np.array([[2.0, 1.0]], dtype=np.float32))
    assert encoder.encode(["aa", "b", "b"])[:, 0].tolist() == [2, 1, 1]
    assert encoder.encode_query(["b"], convert_to_tensor=True).shape == (1, 2)
    assert model.seen == ["b"]


def test_active_dimensions_are_those_in_both_of_those_in_either() -> None:
    torch = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    same = checking.active_dimensions(torch * 0.5, torch, LOOSE)
    assert (same["value"], same["passed"]) == (1.0, True)
    other = checking.active_dimensions(np.array([[1.0, 0.0, 3.0, 0.0], [0.0] * 4]), torch, LOOSE)
    assert other["value"] == pytest.approx((1 / 3 + 1) / 2)
    assert not other["passed"]
