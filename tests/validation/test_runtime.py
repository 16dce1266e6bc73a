"""foundry_runtime in a process without torch, as part of the verdict: a wrong head, other tokens, a refusal."""

import dataclasses
from pathlib import Path
from typing import Any

import onnx
import pytest

from foundry.base import files
from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.head import onnx_nodes
from foundry.loading import loader
from foundry.reference.freezing import freeze_reference
from foundry.reference.reference import Reference
from foundry.validation import runtime
from foundry.validation.results import Check, RuntimeTrial
from foundry.variants.checkpoint_folder import Kind
from tests.support.checkpoints import make_kind
from tests.support.results import LOOSE
from tests.support.texts import documents

LIMITS = LOOSE.model_copy(update={"min_cosine": 0.9999})
TEXTS = ["a few words", *documents()[:18], "and a few more"]


def built(root: Path, kind: Kind, prompts: dict[str, str] | None = None, max_active_dims: int | None = None) -> Any:
    """A model's exports, and torch's reference of it."""
    checkpoint = make_kind(root / "checkpoint", kind)
    path = checkpoint / "config_sentence_transformers.json"
    more = {"prompts": prompts} if prompts else {}
    if max_active_dims is not None:
        more |= {"max_active_dims": max_active_dims}
    files.write_json(path, {**files.read_json(path), **more})
    for format in ("onnx", "openvino"):
        exporting.build(format, checkpoint, OnnxExport(), root / format)
    torch = loader.load(checkpoint, "torch")
    return root, freeze_reference(torch, checkpoint, TEXTS, {}, batch_size=8)


def tried(folder: Path, expected: Reference, variant: str = "onnx") -> tuple[RuntimeTrial, dict[str, Check]]:
    loaded = loader.load(folder, variant)
    trial, checks = runtime.try_runtime(folder, variant, loaded, TEXTS, expected, LIMITS)
    return trial, {check["check"]: check for check in checks}


def failed(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if not check["passed"]]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("SentenceTransformer", {}),
        ("SentenceTransformer", {"prompts": {"query": "a query: ", "document": "a long document: "}}),
        ("SparseEncoder", {}),
        ("SparseEncoder", {"max_active_dims": 5}),
        ("CrossEncoder", {}),
    ],
)
def test_it_gives_what_torch_and_sentence_transformers_give(kind: Kind, more: dict[str, Any], tmp_path: Path) -> None:
    root, expected = built(tmp_path, kind, **more)
    for variant in ("onnx", "openvino"):
        trial, checks = tried(root / variant, expected, variant)
        assert trial["refuses"] is None
        assert "tokenizer.json" in trial["tokenizer"]
        names = ["head_error", "runtime_different_tokens", "runtime_min_cosine", "runtime_min_cosine_to_torch"]
        assert [*checks] == names
        assert failed(checks) == [], variant
        assert checks["head_error"]["value"] < 1e-5  # type: ignore[operator]
    turned = dataclasses.replace(expected, embeddings=expected.embeddings[::-1])
    assert failed(tried(root / "onnx", turned)[1]) == ["runtime_min_cosine_to_torch"]
    loaded = loader.load(root / "onnx", "onnx")
    _, checks_here = runtime.try_runtime(root / "onnx", "onnx", loaded, TEXTS, turned, LIMITS, is_close=False)
    assert all(check["passed"] for check in checks_here)  # a variant that fails on this processor, by design


def test_a_wrong_head_fails(tmp_path: Path) -> None:
    root, expected = built(tmp_path, "SentenceTransformer")
    model = onnx.load(root / "onnx/onnx/model.onnx")
    last = next(node for node in model.graph.node if "sentence_embedding" in node.output)
    summed = next(node for node in model.graph.node if node.name.startswith(f"{onnx_nodes.PREFIX}Squeeze"))
    last.input[0] = summed.output[0]  # which mean pooling divides by the number of tokens
    onnx.save(model, root / "onnx/onnx/model.onnx")
    _, checks = tried(root / "onnx", expected)
    assert failed(checks) == ["head_error"]  # a cosine does not see a length


def test_other_tokens_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, expected = built(tmp_path, "SentenceTransformer")
    monkeypatch.setattr(runtime, "align", lambda folder, scratch, *_: {"tokenizer.json": other(folder, scratch)})

    def other(folder: Path, scratch: Path) -> Path:
        tokenizer = files.read_json(folder / "tokenizer.json")
        words = tokenizer["model"]["vocab"]
        words["the"], words["a"] = words["a"], words["the"]
        files.write_json(scratch / "tokenizer.json", tokenizer)
        return scratch / "tokenizer.json"

    _, checks = tried(root / "onnx", expected)
    assert "runtime_different_tokens" in failed(checks)
    assert "head_error" not in failed(checks)  # which is given the tokens


def test_a_model_that_it_refuses_has_a_reason_and_its_graph_is_checked_all_the_same(tmp_path: Path) -> None:
    root, expected = built(tmp_path, "SentenceTransformer")
    path = root / "onnx/sentence_bert_config.json"
    files.write_json(path, {**files.read_json(path), "processor_kwargs": {"use_fast": True}})
    trial, checks = tried(root / "onnx", expected)
    assert trial["refuses"] == "its settings have use_fast, which is not known here"
    assert [*checks] == ["head_error"]
    assert failed(checks) == []


def test_a_file_that_it_cannot_run_fails_with_the_last_line(tmp_path: Path) -> None:
    root, expected = built(tmp_path, "SentenceTransformer")
    loaded = loader.load(root / "onnx", "onnx")
    (root / "onnx/onnx/model.onnx").write_bytes(b"damaged")
    trial, checks = runtime.try_runtime(root / "onnx", "onnx", loaded, TEXTS, expected, LIMITS)
    assert "InvalidProtobuf" in str(trial["error"])
    assert [(check["check"], check["passed"]) for check in checks] == [("runtime_errors", False)]


def test_the_process_cannot_import_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that the runtime imports, and that imports torch: the process ends, and does not get it."""
    root, expected = built(tmp_path, "SentenceTransformer")
    for name in ("torch", "transformers", "sentence_transformers", "optimum.onnxruntime"):
        package = tmp_path / name / "tokenizers"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"import {name}\n")
        monkeypatch.setenv("PYTHONPATH", str(package.parent))
        trial, checks = tried(root / "onnx", expected)
        assert f"{name.partition('.')[0]} is not to be imported here" in str(trial["error"])
        assert failed(checks) == ["runtime_errors"]


def test_texts_of_all_lengths_are_tried() -> None:
    texts = ["x" * length for length in range(100)]
    assert [len(texts[number]) for number in runtime.spread(texts)] == [99, 92, 86, 79, 73, 66, 59, 53, 46, 40, 33, 26,
                                                                        20, 13, 7, 0]  # fmt: skip
    assert runtime.spread(texts[:3]) == [2, 1, 0]


def test_by_the_same_file_rows_are_the_same_but_for_what_is_rounded_to_integers() -> None:
    assert runtime.same_file_cosine("fp32", LIMITS) == runtime.same_file_cosine("fp16", LIMITS) == 0.99999
    strict = LIMITS.model_copy(update={"consistency_min_cosine": 0.998})
    assert runtime.same_file_cosine("int8_static", strict) == runtime.same_file_cosine("int8_dynamic", strict) == 0.998
    exact = LIMITS.model_copy(update={"consistency_min_cosine": 1.0})
    assert runtime.same_file_cosine("int8_weights", exact) == 0.99999


def test_a_batch_has_the_order_that_sentence_transformers_gives_it() -> None:
    """Or the same graph would see the texts at other places, where their last bits differ."""
    texts = ["a bc", "a", "the people of a country", "a bcd", "x"]
    assert runtime.spread(texts) == [2, 3, 0, 1, 4]
