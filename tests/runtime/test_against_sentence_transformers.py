"""The runtime beside Sentence Transformers with the same file: the same tokens, embeddings, words and scores."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundry_runtime import Embedder, Reranker, SparseEmbedder, UnusableModel, batches, sparse

from foundry.base import files
from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.loading import loader
from foundry.reference.hard_texts import HARD_TEXTS
from foundry.reference.nasty_texts import nasty_texts
from tests.support.checkpoints import make_kind
from tests.support.projects import TINY_VARIANTS
from tests.support.texts import documents

GRAPHS = [name for name in TINY_VARIANTS if name != "torch"]
TEXTS = [*documents()[:6], *HARD_TEXTS.values(), *(text[:30] for text in documents()[:6])]


@pytest.mark.parametrize("variant", GRAPHS)
def test_embeddings_of_every_variant(tiny: Path, variant: str) -> None:
    theirs, ours = loader.load(tiny / variant, variant), Embedder(tiny / variant, variant, verify=False, threads=2)
    assert ours.max_seq_length == theirs.max_seq_length == 64
    assert ours.similarity_fn_name == theirs.similarity_name
    assert ours.prompts == theirs.prompts
    assert ours.token_ids(TEXTS) == theirs.token_ids(TEXTS)
    is_dynamic = "qint8_avx512" in variant  # its embeddings change with the batch, and batches are cut by other lengths
    for size in (1,) if is_dynamic else (1, 4):
        expected, actual = theirs.encode(TEXTS, batch_size=size), ours.encode(TEXTS, batch_size=size)
        assert actual.shape == expected.shape
        assert abs(actual - expected).max() < 1e-5, size
    expected = theirs.model.encode(TEXTS[0], normalize_embeddings=True, truncate_dim=7)
    assert abs(ours.encode(TEXTS[0], normalize=True, truncate_dim=7) - expected).max() < 1e-5
    if not is_dynamic:
        assert abs(ours.encode(TEXTS) - theirs.encode(TEXTS)).max() < 1e-5


def test_batches_that_are_padded_for_amx(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "openvino" in GRAPHS
    monkeypatch.setattr(batches, "ALIGNED_FROM", 9)
    ours = Embedder(tiny / "openvino", "openvino", verify=False, threads=2)
    expected = ours.encode(TEXTS)
    shapes: list[tuple[int, ...]] = []
    pad = ours._tokens.pad

    def watched(*arguments: Any) -> dict[str, np.ndarray]:
        inputs = pad(*arguments)
        shapes.append(inputs["input_ids"].shape)
        return inputs

    monkeypatch.setattr(ours._tokens, "pad", watched)
    ours._is_aligned = True
    for size in (None, 1, 3):
        assert abs(ours.encode(TEXTS, batch_size=size) - expected).max() < 1e-5
    widths = {width for _, width in shapes}
    assert {width for width in widths if width >= 9 and width % 8} == set()
    assert {width for width in widths if width < 9} != set()


def test_a_published_folder(published: Path) -> None:
    record = files.read_json(published / "foundry.json")
    theirs = loader.load(published, "onnx")
    for variant in record["variants"]:
        if variant == "torch":
            continue
        rows = Embedder(published, variant).encode(TEXTS[:4])
        if "qint8" not in variant:
            assert abs(rows - theirs.encode(TEXTS[:4])).max() < 1e-3, variant
    assert Embedder(published).variant in record["variants"]


def test_tokens_of_nasty_texts(tiny: Path) -> None:
    texts = nasty_texts(400, documents())
    theirs, ours = loader.load(tiny / "onnx", "onnx"), Embedder(tiny / "onnx", "onnx", verify=False)
    assert ours.token_ids(texts) == theirs.token_ids(texts)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("sentence_bert_config.json", "do_lower_case", True),
        ("tokenizer_config.json", "do_lower_case", False),
        ("tokenizer_config.json", "strip_accents", False),
        ("tokenizer_config.json", "truncation_side", "left"),
        ("tokenizer_config.json", "padding_side", "left"),
        ("tokenizer_config.json", "model_max_length", 20),
        ("sentence_bert_config.json", "max_seq_length", None),
        ("sentence_bert_config.json", "max_seq_length", 11),
    ],
)
def test_tokens_by_other_settings(tiny: Path, tmp_path: Path, name: str, key: str, value: Any) -> None:
    folder = Path(shutil.copytree(tiny / "onnx", tmp_path / "onnx"))
    if key == "do_lower_case" and value:  # or the tokenizer makes lower case anyway
        config = files.read_json(folder / "tokenizer_config.json")
        files.write_json(folder / "tokenizer_config.json", {**config, "do_lower_case": False})
    if key == "model_max_length":
        settings = files.read_json(folder / "sentence_bert_config.json")
        files.write_json(folder / "sentence_bert_config.json", {**settings, "max_seq_length": None})
    files.write_json(folder / name, {**files.read_json(folder / name), key: value})
    texts = [*TEXTS, "ÀÉÎ Ünïcode ACCENTS", " ".join(documents())]
    theirs, ours = loader.load(folder, "onnx"), Embedder(folder, "onnx", verify=False)
    assert ours.token_ids(texts) == theirs.token_ids(texts)
    assert ours.max_seq_length == theirs.max_seq_length
    # In one batch, because with padding on the left the positions of a text's tokens change with the batch.
    size = len(texts)
    assert abs(ours.encode(texts, batch_size=size) - theirs.encode(texts, batch_size=size)).max() < 1e-5


KINDS = {"sparse": ("SparseEncoder", 1), "reranker": ("CrossEncoder", 1), "classifier": ("CrossEncoder", 3)}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("kinds")
    for name, (kind, labels) in KINDS.items():
        exporting.build("onnx", make_kind(root / f"{name} checkpoint", kind, labels), OnnxExport(), root / name)
    return {name: root / name for name in KINDS}


def test_sparse_embeddings(kinds: dict[str, Path]) -> None:
    folder = kinds["sparse"]
    theirs, ours = loader.load(folder, "onnx").model, SparseEmbedder(folder, "onnx", verify=False, threads=2)
    expected = theirs.encode(TEXTS, convert_to_sparse_tensor=False).numpy()
    actual = ours.encode(TEXTS)
    assert (len(actual), actual.shape) == (len(TEXTS), expected.shape)
    assert abs(actual.to_dense() - expected).max() < 1e-5
    assert 0 < len(actual.values) < expected.size
    assert ours.similarity_fn_name == theirs.similarity_fn_name == "dot"
    assert np.allclose(ours.similarity(actual, actual), theirs.similarity(expected, expected).numpy(), atol=1e-3)
    few = theirs.encode(TEXTS[:3], convert_to_sparse_tensor=False, max_active_dims=4).numpy()
    assert abs(ours.encode_query(TEXTS[:3], max_active_dims=4).to_dense() - few).max() < 1e-5
    words = theirs.decode(theirs.encode(TEXTS[:2]), top_k=3)
    assert [[word for word, _ in row] for row in ours.decode(ours.encode(TEXTS[:2]), top_k=3)] == [
        [word for word, _ in row] for row in words
    ]
    assert ours.encode([]).shape == (0, expected.shape[1])
    indices, values = actual[-1]
    assert np.array_equal(actual.to_dense()[-1, indices], values)
    with pytest.raises(UnusableModel, match="load it with SparseEmbedder"):
        Embedder(folder, "onnx", verify=False)
    assert isinstance(actual, sparse.SparseEmbeddings)


@pytest.mark.parametrize("name", ["reranker", "classifier"])
def test_scores(kinds: dict[str, Path], name: str) -> None:
    theirs, ours = loader.load(kinds[name], "onnx").model, Reranker(kinds[name], "onnx", verify=False, threads=2)
    pairs = [(TEXTS[i], TEXTS[-i]) for i in range(len(TEXTS))]
    assert ours.token_ids(pairs) == [theirs.preprocess([pair])["input_ids"][0].tolist() for pair in pairs]
    expected = theirs.predict(pairs)
    assert ours.predict(pairs).shape == expected.shape == ((len(pairs),) if name == "reranker" else (len(pairs), 3))
    assert np.ptp(expected) > 0.01
    assert abs(ours.predict(pairs) - expected).max() < 1e-5
    assert abs(ours.predict(pairs[0]) - expected[0]).max() < 1e-5
    assert abs(ours.predict([list(pair) for pair in pairs], prompt="a prompt ") - theirs.predict(
        pairs, prompt="a prompt ")).max() < 1e-5  # fmt: skip
    softened = theirs.predict(pairs, apply_softmax=True)
    assert abs(ours.predict(pairs, apply_softmax=name == "classifier") - softened).max() < (
        1e-5 if name == "classifier" else 2
    )
    assert len(ours.predict([])) == 0
    with pytest.raises(TypeError, match="is no pair of texts"):
        ours.predict([("a", "b"), ("a",)])
    if name == "classifier":
        with pytest.raises(ValueError, match="rank needs a model with one label"):
            ours.rank("a", ["b"])
        return
    ranked = ours.rank(TEXTS[0], TEXTS[1:6], top_k=3, return_documents=True)
    expected_rank = theirs.rank(TEXTS[0], TEXTS[1:6], top_k=3, return_documents=True)
    assert [row["corpus_id"] for row in ranked] == [row["corpus_id"] for row in expected_rank]
    assert [row["text"] for row in ranked] == [row["text"] for row in expected_rank]
    assert np.allclose([row["score"] for row in ranked], [row["score"] for row in expected_rank], atol=1e-5)
