"""CLIP is refused with a line that names what to do, and what is to be done gives CLIP's embeddings of texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.base.errors import FoundryError
from foundry.checkpoints import fetching
from foundry.checkpoints.settings import Download
from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.loading import loader
from foundry.reference import tokenizer_files
from tests.support import clip

TEXTS = ["a cat on a mat", "Dog", "two words " * 60, "", "日本 🎉"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip.make_clip(tmp_path_factory.mktemp("clip") / "model")


def settings(folder: Path) -> Download:
    return Download.model_validate({"source": {"path": str(folder)}})


def test_a_clip_is_refused_with_what_to_do(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(FoundryError, match=r"model of image and text.*its text tower, saved as docs/models.md says"):
        fetching.fetch("tiny", settings(whole), tmp_path / "out")


def test_the_text_tower_gives_the_embeddings_of_the_whole_model(whole: Path, tmp_path: Path) -> None:
    from foundry_runtime import Embedder
    from sentence_transformers import SentenceTransformer

    tower = clip.save_text_tower(whole, tmp_path / "tower")
    fetching.fetch("tiny", settings(tower), tmp_path / "torch")
    expected = SentenceTransformer(str(whole), device="cpu").encode(TEXTS)
    assert np.abs(loader.load(tmp_path / "torch", "torch").encode(TEXTS) - expected).max() == 0
    variant: Any
    for variant in ("onnx", "openvino"):
        exporting.build(variant, tmp_path / "torch", OnnxExport(), tmp_path / variant)
        assert np.abs(loader.load(tmp_path / variant, variant).encode(TEXTS) - expected).max() < 1e-4
        tokenizer_files.rewrite(tmp_path / variant, trusts_code=False)  # as `publish` does
        assert np.abs(Embedder(tmp_path / variant, variant, verify=False).encode(TEXTS) - expected).max() < 1e-4
