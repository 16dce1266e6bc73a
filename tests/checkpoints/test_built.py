"""Odd checkpoints that are accepted are built by the stages, and their variants are the author's model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foundry.base import files
from foundry.loading import loader
from foundry.publishing import card
from foundry.variants import model_card, variant_folder
from tests.support import odd_checkpoints as odd
from tests.support.checkpoints import make_checkpoint
from tests.support.stages import build

pytestmark = pytest.mark.slow

VARIANTS = ("torch", "onnx", "onnx_qint8_static", "openvino", "openvino_qint8_quantized")


def built(root: Path, raw: dict[str, Any], source: Path, **settings: Any) -> Path:
    """Every variant of VARIANTS, by the stages."""
    raw = json.loads(json.dumps(raw))
    raw["models"] = {"tiny": {"source": {"path": str(source)}, **settings}}
    raw["sample"]["tasks"] = {}
    raw |= {"optimize": {}, "quantize": {}, "compress": {}, "variants": {name: {} for name in VARIANTS}}
    raw["benchmark"]["settings"], raw["validate"]["overrides"] = {}, {}
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    return build(root, "tiny")


def check_variants(folder: Path) -> None:
    """Check that fp32 gives torch's vectors, and that int8 is there and loads."""
    texts = ["one two three", "the police of the city " * 30]
    expected = loader.load(folder / "torch", "torch").encode(texts)
    for variant in VARIANTS[1:]:
        assert variant_folder.skipped(folder / variant) is None
        rows = loader.load(folder / variant, variant).encode(texts)
        assert np.abs(rows - expected).max() < (1e-4 if variant in ("onnx", "openvino") else 1)


def test_settings_of_torch_alone_stay_with_torch(tmp_path: Path, tiny_params: dict[str, Any]) -> None:
    source = make_checkpoint(tmp_path / "source")
    odd.change(source / "sentence_bert_config.json", model_args={"attn_implementation": "sdpa"})
    odd.training_folder(source)
    folder = built(tmp_path, tiny_params, source)
    check_variants(folder)
    assert "model_args" in files.read_json(folder / "torch/sentence_bert_config.json")
    assert "model_args" not in files.read_json(folder / "onnx/sentence_bert_config.json")
    left = [
        path for path in folder.rglob("*") if any(word in path.as_posix() for word in ("checkpoint-", "wandb", "runs/"))
    ]
    assert left == []


def test_a_tokenizer_without_a_fast_version_is_built(tmp_path: Path, tiny_params: dict[str, Any]) -> None:
    check_variants(built(tmp_path, tiny_params, odd.make_phobert(tmp_path / "phobert")))


def test_the_authors_class_is_what_is_built(tmp_path: Path, tiny_params: dict[str, Any]) -> None:
    source = make_checkpoint(tmp_path / "source")
    odd.class_of_its_own(source)
    folder = built(tmp_path, tiny_params, source, trust_remote_code=True)
    check_variants(folder)
    assert files.read_json(folder / "onnx/built.json")["trust_remote_code"] is True


@pytest.mark.parametrize(
    "text", ["---\nlicense: mit\ntags: sentence-similarity\n---\nText\n", "---\ntags: [a, b\n---\nText\n", "Text\n"]
)
def test_a_card_is_published_whole(tmp_path: Path, text: str) -> None:
    card.write(tmp_path / "README.md", text, {"onnx"}, None, "Ours.")
    parsed = model_card.parse((tmp_path / "README.md").read_text())
    assert parsed.mistake is None
    assert "Text" in parsed.text
    expected = ["sentence-similarity"] if "similarity" in text else []
    assert parsed.data["tags"] == [*expected, "sentence-transformers", "onnx"]
