"""MultiVectorEmbedder: what Sentence Transformers gives of the same file; a query's expansion, lengths, skip list."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundry_runtime import MultiVectorEmbedder, UnusableModel
from foundry_runtime.max_sim import max_sim

from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.loading import loader
from tests.support.checkpoints import DOCUMENT_LENGTH, EXPANDED_TO, make_multi_vector
from tests.support.texts import documents

QUERIES = ["what is it", "a query, with punctuation?", "", "words " * 40]
BRACKETS = 2  # of the prompt, `[D]`, which this tokenizer cuts up
FIXED = {"strategy": "fixed", "length": EXPANDED_TO, "attend": False, "token": None}
SETTINGS: dict[str, dict[str, Any]] = {
    "fixed, not attended": {},
    "fixed, attended": {"query_expansion": {**FIXED, "attend": True}},
    "at least": {"query_expansion": {**FIXED, "strategy": "min"}, "query_length": 20},
    "at least, without an end": {"query_expansion": {**FIXED, "strategy": "min", "token": "the"}},
    "none": {"query_expansion": None, "query_length": 9, "document_length": None},
}


def exported(folder: Path, **settings: Any) -> Path:
    """The ONNX variant of a tiny model with these settings of its transformer."""
    exporting.build("onnx", make_multi_vector(folder, **settings), OnnxExport(), folder / "onnx")
    return folder / "onnx"


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX variant of the tiny model."""
    return exported(tmp_path_factory.mktemp("late"))


def changed(late: Path, target: Path, name: str, **values: Any) -> Path:
    """A copy of the variant with other values in one of its settings files."""
    target.mkdir()
    for path in late.iterdir():
        (target / path.name).symlink_to(path)
    content = json.loads((late / name).read_text())
    place = target / name
    if "/" in name:
        place.parent.unlink()
        place.parent.mkdir()
    else:
        place.unlink()
    place.write_text(json.dumps({**content, **values}))
    return target


FAST = ("fixed, not attended", "at least")
BY_SETTINGS = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS]


@pytest.mark.parametrize("settings", BY_SETTINGS)
@pytest.mark.usefixtures("graphs_load")
def test_it_gives_what_sentence_transformers_gives(tmp_path: Path, settings: str) -> None:
    folder = exported(tmp_path, **SETTINGS[settings])
    model, reference = MultiVectorEmbedder(folder, "onnx", verify=False), loader.load(folder, "onnx").model
    texts = [*documents()[:6], "punctuation, and more: much more!"]
    queries, vectors = model.encode_query(QUERIES), model.encode_document(texts)
    expected_queries, expected = reference.encode_query(QUERIES), reference.encode_document(texts)
    for given, theirs in zip([*queries, *vectors], [*expected_queries, *expected], strict=True):
        assert given.dtype == np.float32
        assert given.shape == theirs.shape
        assert np.abs(given - theirs.numpy()).max() < 1e-5
    plain = zip(model.encode(texts), reference.encode(texts), strict=True)
    assert all(np.abs(given - theirs.numpy()).max() < 1e-5 for given, theirs in plain)
    scores = reference.similarity(expected_queries, expected).numpy()
    assert np.abs(model.similarity(queries, vectors) - scores).max() < 1e-4


def test_a_query_is_expanded_and_a_document_cut(late: Path) -> None:
    model = MultiVectorEmbedder(late, "onnx", verify=False)
    assert [len(rows) for rows in model.encode_query(QUERIES)] == [EXPANDED_TO] * len(QUERIES)
    assert len(model.encode_document("word " * 100)) == DOCUMENT_LENGTH - BRACKETS
    assert model.encode_query("one").shape == (EXPANDED_TO, 16)
    assert model.encode_query([]) == model.encode_document(iter(())) == []


def test_punctuation_counts_in_a_query_alone(late: Path) -> None:
    model = MultiVectorEmbedder(late, "onnx", verify=False)
    bare, with_commas = (len(model.encode_document(text)) for text in ("one two", "one, two!"))
    assert bare == with_commas
    assert len(model.encode("one, two!")) == len(model.encode("one two"))


def test_batches_and_streams_change_nothing(late: Path) -> None:
    texts = documents()[:20]
    alone = MultiVectorEmbedder(late, "onnx", verify=False, streams=1)
    several = MultiVectorEmbedder(late, "onnx", verify=False, threads=2, streams=2, batch_tokens=64)
    for one, other in zip(alone.encode_document(texts, batch_size=1), several.encode_document(texts), strict=True):
        assert np.abs(one - other).max() < 1e-5


def test_max_sim_by_hand() -> None:
    query = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    documents_ = [np.array([[1.0, 0.0]], np.float32), np.array([[0.5, 0.5], [0.0, 2.0]], np.float32)]
    assert max_sim([query], documents_).tolist() == [[1.0, 2.5]]
    assert max_sim([query], documents_, by_length=True).tolist() == [[0.5, 1.25]]
    assert max_sim([], documents_).shape == (0, 2)
    with pytest.raises(ValueError, match="document 1 has no vectors"):
        max_sim([query], [query, query[:0]])


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("sentence_bert_config.json", {"query_expansion": {**FIXED, "strategy": "other"}}, "its query_expansion is"),
        ("sentence_bert_config.json", {"query_expansion": {**FIXED, "more": 1}}, "its query_expansion is"),
        ("sentence_bert_config.json", {"query_expansion": {**FIXED, "token": "nowhere"}}, "does not have"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "xtr"}, "similarity 'xtr' is not known"),
    ],
)
def test_what_is_not_known_is_refused(
    late: Path, tmp_path: Path, name: str, values: dict[str, Any], message: str
) -> None:
    folder = changed(late, tmp_path / "changed", name, **values)
    with pytest.raises(UnusableModel, match=message):
        MultiVectorEmbedder(folder, "onnx", verify=False)


def test_another_module_is_refused(late: Path, tmp_path: Path) -> None:
    folder = changed(late, tmp_path / "changed", "config_sentence_transformers.json")
    rows = json.loads((late / "modules.json").read_text())
    pooling = {
        "idx": 4, "name": "4", "path": "4_Pooling",
        "type": "sentence_transformers.multi_vector_encoder.modules.token_pooling.HierarchicalTokenPooling",
    }  # fmt: skip
    (folder / "modules.json").unlink()
    (folder / "modules.json").write_text(json.dumps([*rows, pooling]))
    with pytest.raises(UnusableModel, match="HierarchicalTokenPooling, which is not computed here"):
        MultiVectorEmbedder(folder, "onnx", verify=False)
