"""CLIP: its text tower is built, gives the whole model's embeddings of texts, and says that images are left out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks import projects
from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.checkpoints import fetching
from foundry.checkpoints.settings import Download
from foundry.export import exporting
from foundry.export.settings import OnnxExport
from foundry.loading import loader
from foundry.reference import tokenizer_files
from tests.support import clip
from tests.support.odd_checkpoints import change as change_json
from tests.support.pipeline import dvc
from tests.support.projects import LOOSE

KEPT = ["torch", "onnx", "onnx_O2", "onnx_qint8_static", "openvino"]
TEXTS = ["a cat on a mat", "Dog", "two words " * 60, "", "日本 🎉"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip.make_clip(tmp_path_factory.mktemp("clip") / "model")


@pytest.fixture(scope="module")
def expected(whole: Path) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    rows: np.ndarray = SentenceTransformer(str(whole), device="cpu").encode(TEXTS)
    return rows


def settings(folder: Path, **more: Any) -> Download:
    return Download.model_validate({"source": {"path": str(folder)}, **more})


def as_saved_before(folder: Path) -> None:
    """As Sentence Transformers saved a CLIP before version 6: in a folder of its module."""
    (folder / "0_CLIPModel").mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name not in ("README.md", "config_sentence_transformers.json", "modules.json"):
            path.rename(folder / "0_CLIPModel" / path.name)
    (folder / "0_CLIPModel/sentence_bert_config.json").unlink()
    row = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (folder / "modules.json").write_text(json.dumps([row]))


def bare(folder: Path) -> None:
    """As transformers saves it."""
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (folder / name).unlink()


@pytest.mark.parametrize("change", [lambda folder: None, as_saved_before, bare])
def test_the_text_tower_gives_the_embeddings_of_the_whole_model(
    whole: Path, expected: np.ndarray, tmp_path: Path, change: Callable[[Path], None], capsys: Any
) -> None:
    from foundry_runtime import Embedder

    shutil.copytree(whole, tmp_path / "clip")
    change(tmp_path / "clip")
    (tmp_path / "clip/LICENSE").write_text("as it came")
    fetching.fetch("tiny", settings(tmp_path / "clip"), tmp_path / "torch")
    record = files.read_json(tmp_path / "torch/source.json")
    assert record["source"]["left_out"] == "the images of a CLIP, whose text tower this is"
    assert "tiny: built without the images of a CLIP" in " ".join(capsys.readouterr().out.split())
    assert record["loaded"]["modules"] == ["Transformer", "Pooling", "Dense"]
    assert (tmp_path / "torch/LICENSE").read_text() == "as it came"
    assert not list((tmp_path / "torch").rglob("*processor_config.json"))
    assert np.abs(loader.load(tmp_path / "torch", "torch").encode(TEXTS) - expected).max() == 0
    if change is not as_saved_before:
        return
    variant: Any
    for variant in ("onnx", "openvino"):
        exporting.build(variant, tmp_path / "torch", OnnxExport(), tmp_path / variant)
        assert np.abs(loader.load(tmp_path / variant, variant).encode(TEXTS) - expected).max() < 1e-4
        tokenizer_files.rewrite(tmp_path / variant, trusts_code=False)  # as `publish` does
        assert np.abs(Embedder(tmp_path / variant, variant, verify=False).encode(TEXTS) - expected).max() < 1e-4


def without_projection(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop("text_projection.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def with_normalization(folder: Path) -> None:
    rows = json.loads((folder / "modules.json").read_text())
    (folder / "1_Normalize").mkdir()
    rows.append({"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"})
    (folder / "modules.json").write_text(json.dumps(rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_projection, "does not hold 1 of the weights of CLIP's text tower, such as text_projection.weight"),
        (lambda folder: change_json(folder / "config.json", auto_map={"AutoModel": "own.Own"}), "code of its own"),
        (lambda folder: change_json(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["o.O", None]}),
         "code of its own"),
        (with_normalization, "model of image and text"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no weights"), "model.safetensors"),
    ],
)  # fmt: skip
def test_what_is_no_plain_clip_is_refused(
    whole: Path, tmp_path: Path, change: Callable[[Path], Any], message: str
) -> None:
    shutil.copytree(whole, tmp_path / "clip")
    change(tmp_path / "clip")
    with pytest.raises(FoundryError, match=message) as raised:
        fetching.fetch("tiny", settings(tmp_path / "clip"), tmp_path / "out")
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("forks_in_module")
def test_it_is_built_beside_another_model_and_published(
    whole: Path, expected: np.ndarray, tmp_path: Path, tiny_params: dict[str, Any]
) -> None:
    from foundry_runtime import Embedder

    clone = projects.copy_working_tree(tmp_path / "project")
    raw: dict[str, Any] = json.loads(json.dumps(tiny_params))
    raw["models"] |= {"clip": {"source": {"path": str(whole)}}}
    raw |= {"quantize": {}, "calibrate": {}, "compress": {}, "variants": {name: {} for name in KEPT}}
    raw["sample"]["tasks"] = {}
    raw["validate"]["overrides"] = {"onnx_qint8_static": LOOSE}
    (clone / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    dvc(clone, "repro")
    published = {
        model: files.read_json(clone / f"artifacts/published/{model}.json")["published"] for model in raw["models"]
    }
    assert list(published["tiny"]) == KEPT
    # ONNX Runtime's optimizer has no fusions for a `clip_text_model`.
    assert list(published["clip"]) == [name for name in KEPT if name != "onnx_O2"]
    hub = clone / "artifacts/hub/clip"
    assert files.read_json(hub / "foundry.json")["source"]["left_out"].startswith("the images of a CLIP")
    assert "Not here: the images of a CLIP" in (hub / "README.md").read_text()
    for variant in ("torch", "onnx", "openvino"):
        assert np.abs(loader.load(hub, variant).encode(TEXTS) - expected).max() < 1e-4
    for variant in ("onnx", "openvino"):
        assert np.abs(Embedder(hub, variant).encode(TEXTS) - expected).max() < 1e-4
