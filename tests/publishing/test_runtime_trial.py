"""foundry_runtime on what is to be published: torch's tokens and rows of every kind, or a reason, or an error."""

import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.loading import loader
from foundry.publishing import readers, runtime_trial
from foundry.reference.freezing import freeze_reference
from foundry.reference.reference import Reference
from foundry.variants.checkpoint_folder import Kind
from tests.support import results
from tests.support.checkpoints import make_kind
from tests.support.texts import documents

MINIMUM = {"check": "min_cosine", "value": 1.0, "threshold": 0.9999, "relation": ">=", "passed": True}
TEXTS = ["a few words", *documents()[:8], "and a few more"]
VERDICTS = {name: results.validation(name, checks=[MINIMUM], processors={}) for name in ("torch", "onnx")}


def built(root: Path, kind: Kind, prompts: dict[str, str] | None = None) -> tuple[Path, Reference]:
    """A model's ONNX export, and torch's reference of it."""
    checkpoint = make_kind(root / "checkpoint", kind)
    if prompts:
        path = checkpoint / "config_sentence_transformers.json"
        files.write_json(path, {**files.read_json(path), "prompts": prompts})
    exporting.build("onnx", checkpoint, OnnxExport(), root / "onnx")
    torch = loader.load(checkpoint, "torch")
    return root / "onnx", freeze_reference(torch, checkpoint, TEXTS, {}, batch_size=8)


@pytest.mark.parametrize(
    ("kind", "prompts"),
    [
        ("SentenceTransformer", None),
        ("SentenceTransformer", {"query": "a query: ", "document": "a long document: "}),
        ("SparseEncoder", None),
        ("CrossEncoder", None),
    ],
)
def test_it_gives_what_torch_gives(kind: Kind, prompts: dict[str, str] | None, tmp_path: Path) -> None:
    folder, expected = built(tmp_path, kind, prompts)
    assert runtime_trial.why_not(folder, VERDICTS, expected, TEXTS) is None
    turned = dataclasses.replace(expected, embeddings=expected.embeddings[::-1])
    with pytest.raises(FoundryError, match=r"gives onnx a cosine of [-\d.]+ to torch, must be >= 0.9999"):
        runtime_trial.why_not(folder, VERDICTS, turned, TEXTS)
    turned = dataclasses.replace(expected, tokens=[[*expected.tokens[0], 5], *expected.tokens[1:]])
    with pytest.raises(FoundryError, match="gives onnx other tokens than torch for 1 texts"):
        runtime_trial.why_not(folder, VERDICTS, turned, TEXTS)
    fails_somewhere = {"avx2": {"verdict": "failed", "how": "simulated", "checks": [{**MINIMUM, "passed": False}]}}
    elsewhere = {"onnx": {**VERDICTS["onnx"], "processors": fails_somewhere}}
    with pytest.raises(FoundryError, match="other tokens than torch"):
        runtime_trial.why_not(folder, cast(Any, elsewhere), turned, TEXTS)
    turned = dataclasses.replace(expected, embeddings=expected.embeddings[::-1])
    assert runtime_trial.why_not(folder, cast(Any, elsewhere), turned, TEXTS) is None  # this may be such a processor
    (folder / "onnx/model.onnx").write_bytes(b"damaged")
    with pytest.raises(FoundryError, match="foundry_runtime fails on onnx: InvalidProtobuf"):
        runtime_trial.why_not(folder, VERDICTS, expected, TEXTS)


def test_a_model_that_it_refuses_has_a_reason_and_no_lines(tmp_path: Path) -> None:
    folder, expected = built(tmp_path, "SentenceTransformer")
    modules = files.read_json(folder / "modules.json")
    files.write_json(folder / "modules.json", [*modules, {"idx": 3, "path": "3_Own", "type": "own.Module"}])
    reason = runtime_trial.why_not(folder, VERDICTS, expected, TEXTS)
    assert reason is not None
    assert "own.Module" in reason
    assert str(tmp_path) not in reason
    tools = readers.readers(
        "org/tiny", {"torch": {}, "onnx": {}}, expected.facts, 32, has_runtime=False, has_embed=True
    )
    assert tools[0].tool.startswith("Sentence Transformers 6")
    assert not any("from foundry_runtime import" in row.lines for row in tools)
    assert (
        runtime_trial.why_not(folder, {"torch": VERDICTS["torch"]}, expected, TEXTS) is None
    )  # there is nothing to run
