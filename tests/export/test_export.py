"""export: the graph is the model, and a graph that is not is refused on the spot."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.export import exporting, torch_model
from foundry.loading import loader
from foundry.variants import variant_folder
from stages import export
from tests.support.architectures import make_embedder
from tests.support.checkpoints import make_checkpoint
from tests.support.projects import ROOT
from tests.support.stages import settings_file


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_the_graph_gives_torchs_embeddings(tiny: Path, format: str) -> None:
    texts = ["one", "a much longer text about the weather and the news of the day"]
    expected = loader.load(tiny / "torch", "torch").encode(texts)
    assert abs(loader.load(tiny / format, format).encode(texts) - expected).max() < 1e-5


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_variant_folder_is_complete_and_holds_no_torch_weights(tiny: Path, format: str) -> None:
    names = {path.as_posix() for path in files.files_below(tiny / format)}
    assert {"modules.json", "config.json", "tokenizer.json", "1_Pooling/config.json", "README.md"} <= names
    assert not [name for name in names if name.endswith(".safetensors") or name == "source.json"]


def test_a_graph_of_other_weights_is_refused(
    project: Callable[..., Path], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_checkpoint(tmp_path / "other", seed=1)
    out = project() / "onnx"
    real_export = exporting.export

    def export_other_weights(checkpoint: torch_model.Checkpoint, *rest: Any) -> Any:
        return real_export(checkpoint._replace(transformer=other), *rest)

    monkeypatch.setattr(exporting, "export", export_other_weights)
    export.main("onnx", settings_file("build/onnx"), tiny / "torch", out)
    reason = variant_folder.skipped(out)
    assert reason is not None
    assert reason.count("away from torch") == len(exporting.EXPORTERS["onnx"]) - (not loader.has_optimum())
    assert len(exporting.EXPORTERS["onnx"]) == 3
    assert [path.name for path in out.iterdir()] == [variant_folder.SKIPPED]
    assert not list(out.parent.glob(".partial-*"))


def test_a_full_disk_is_noticed_before_the_export(
    project: Callable[..., Path], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(OSError, match="No space left"):
        export.main("onnx", settings_file("build/onnx"), tiny / "torch", project() / "onnx")


def test_the_same_checkpoint_gives_the_same_bytes_whatever_the_seed_of_hashes(tmp_path: Path) -> None:
    """ModernBERT computes its rotary angles in the order of a set of names; seeds 1 and 3 give two orders."""
    checkpoint = make_embedder(tmp_path, "modernbert")
    settings, graphs = tmp_path / "settings.json", []
    files.write_json(settings, {"skip": False, "row": {}})
    for seed in ("1", "3"):
        out = tmp_path / seed
        command = [sys.executable, "-m", "stages.export", "onnx", str(settings), str(checkpoint), str(out)]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, check=True)
        graphs.append(variant_folder.weights_path(out, "onnx").read_bytes())
    assert graphs[0] == graphs[1]
