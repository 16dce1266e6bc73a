"""Classifiers as transformers alone saves them, which most rerankers on the Hub are: no modules.json."""

import shutil
from pathlib import Path

import numpy as np

from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.loading import loader
from foundry.loading.by_foundry_runtime import open_model
from tests.support import odd_checkpoints as odd
from tests.support.checkpoints import make_kind
from tests.support.downloads import Fetch

PAIRS = [("one two", "three"), ("", "one"), ("one", "two, three and four")]


def test_every_reader_gives_its_scores(fetch: Fetch, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    make_kind(tmp_path / "made", "CrossEncoder")

    def change(folder: Path) -> None:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "made/bare", folder)
        # Sentence Transformers does not read it without modules.json.
        settings = {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"}
        odd.change(folder / "config_sentence_transformers.json", **settings)

    out = fetch(change)
    assert not (out / "config_sentence_transformers.json").exists()
    expected = CrossEncoder(str(tmp_path / "odd"), device="cpu").predict(PAIRS)
    assert 0 < expected.min() < expected.max() < 1  # a sigmoid's
    exporting.build("onnx", out, OnnxExport(), tmp_path / "onnx")
    for folder, variant in ((out, "torch"), (tmp_path / "onnx", "onnx")):
        scores = loader.load(folder, variant).model.predict(PAIRS)
        np.testing.assert_allclose(scores, expected, atol=1e-5)
    reranker = open_model(tmp_path / "onnx", "onnx", "CrossEncoder", "f32", {})
    np.testing.assert_allclose(reranker.predict(PAIRS), expected, atol=1e-5)
