"""Variants that foundry_runtime runs, as the benchmark measures them: the rows of Sentence Transformers."""

from pathlib import Path

import pytest
from foundry_runtime import UnusableModel

from foundry.benchmarking.by_runtime import RuntimeVariant, write_tokenizer
from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.loading import loader
from foundry.loading.by_foundry_runtime import dense
from foundry.reference.closeness import cosines
from tests.support import architectures
from tests.support.checkpoints import make_kind
from tests.support.texts import documents

TEXTS = documents()[:6]


def exported(checkpoint: Path, target: Path) -> Path:
    exporting.build("onnx", checkpoint, OnnxExport(), target)
    return target


def lowest_cosine(folder: Path, by_runtime: RuntimeVariant, batch_size: int | None) -> float:
    loaded = loader.load(folder, "onnx")
    expected = loaded.encode(loaded.items(TEXTS, 2), len(TEXTS))
    rows = dense(by_runtime.encode(by_runtime.items(TEXTS, 2), batch_size))
    return float(cosines(rows, expected).min())


def test_a_tokenizer_that_a_class_overrules_is_read_as_it_will_be_published(tmp_path: Path) -> None:
    checkpoint = architectures.make_embedder(tmp_path / "checkpoint", "roberta")
    folder = exported(checkpoint, tmp_path / "onnx")
    with pytest.raises(UnusableModel, match="differ in add_prefix_space"):
        RuntimeVariant(folder, "onnx", "f32", {})
    (tmp_path / "scratch").mkdir()
    written = write_tokenizer(folder, tmp_path / "scratch")
    assert set(written) == {"tokenizer.json", "tokenizer_config.json"}
    assert all(path.is_relative_to(tmp_path / "scratch") for path in written.values())
    by_runtime = RuntimeVariant(folder, "onnx", "f32", written)
    for batch_size in (None, 1, 4):
        assert lowest_cosine(folder, by_runtime, batch_size) > 0.99999


@pytest.mark.parametrize("kind", ["SparseEncoder", "CrossEncoder"])
def test_other_kinds(tmp_path: Path, kind: str) -> None:
    folder = exported(make_kind(tmp_path / "checkpoint", kind), tmp_path / "onnx")
    assert lowest_cosine(folder, RuntimeVariant(folder, "onnx", "f32", {}), None) > 0.99999


def test_each_use_and_length_has_its_settings(tmp_path: Path) -> None:
    folder = exported(make_kind(tmp_path / "checkpoint", "SentenceTransformer"), tmp_path / "onnx")
    many = {"threads": 2, "streams": 2, "batch_tokens": 64}
    chosen = {
        "latency": {"short": {"single_threads": 1}, "medium": {"single_threads": 2}},
        "throughput": {"short": {**many, "streams": 1}, "medium": many},
    }
    by_runtime = RuntimeVariant(folder, "onnx", "f32", {}, chosen=chosen)
    assert by_runtime.layouts == {(2, 2, 2), (2, 1, 2), (2, 2, 1)}
    expected = by_runtime.encode(TEXTS)
    assert len(by_runtime._models) == 1  # that of the usual length, as where it is deployed
    for use in chosen:
        for group in ("short", "medium", "of another length"):
            assert float(cosines(by_runtime.encode_for(use, group, TEXTS), expected).min()) > 0.99999
    assert by_runtime._models.keys() == by_runtime.layouts
    assert by_runtime._models[2, 1, 2].run_settings.batch_tokens == 64
