"""optimize: Sentence Transformers' bytes, rows with fusions of their own, and a reason for each skipped variant."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.head import onnx_graph
from foundry.onnx import optimization
from foundry.variants import variant_folder
from stages import optimize
from tests.support.sentence_transformers_export import LEVELS
from tests.support.stages import settings_file


def operators(folder: Path, variant: str) -> list[str]:
    return [node.op_type for node in onnx.load(variant_folder.weights_path(folder, variant)).graph.node]


@pytest.mark.needs_optimum
@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_same_bytes_as_sentence_transformers(
    real: Path, graphs_of_sentence_transformers: Path, level: str, tmp_path: Path
) -> None:
    ours = onnx_graph.without_head(variant_folder.weights_path(real / f"onnx_{level}", f"onnx_{level}"), tmp_path)
    assert files.sha256(ours) == files.sha256(graphs_of_sentence_transformers / f"model_{level}.onnx")


@pytest.mark.needs_optimum
def test_model_types_are_those_of_optimum() -> None:
    script = "import json; from optimum.onnxruntime.utils import ORTConfigManager as m; print(json.dumps(m._conf))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    upstream = json.loads(done.stdout.splitlines()[-1])
    ours = optimization.OPTIMUMS_MODEL_TYPES
    assert {name: upstream.get(name) for name in ours} == ours
    assert not upstream.keys() & (optimization.ORT_MODEL_TYPES.keys() - ours.keys())
    not_of_text = {"clip", "dinov2", "pix2struct", "segformer", "vit", "whisper"}
    # They write text, and nobody embeds with them.
    generating = {"bigbird_pegasus", "blenderbot", "codegen", "gpt_bigcode", "m2m_100"}
    assert upstream.keys() - ours.keys() == not_of_text | generating


def test_own_fusions(project: Callable[..., Path], tiny: Path) -> None:
    def change(raw: dict) -> None:
        raw["optimize"]["onnx_plain"] = {"level": "O2", "fusions": {"attention": False, "skip_layer_norm": False}}
        raw["optimize"]["onnx_half"] = {"level": "O2", "fp16": True}
        raw["variants"] |= {"onnx_plain": {}, "onnx_half": {}}

    root = project(change)
    for variant in ("onnx_plain", "onnx_half"):
        optimize.main(variant, settings_file(f"build/{variant}"), tiny / "onnx", root / variant)
    assert "Attention" in operators(tiny / "onnx_O2", "onnx_O2")
    assert "SkipLayerNormalization" in operators(tiny / "onnx_O2", "onnx_O2")
    assert "Attention" not in operators(root / "onnx_plain", "onnx_plain")
    assert "SkipLayerNormalization" not in operators(root / "onnx_plain", "onnx_plain")
    size = variant_folder.weights_path(root / "onnx_half", "onnx_half").stat().st_size
    assert size < 0.6 * variant_folder.weights_path(tiny / "onnx_O2", "onnx_O2").stat().st_size


def test_an_unknown_architecture_is_skipped_with_the_reason(
    project: Callable[..., Path], tiny: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(tiny / "onnx", tmp_path / "onnx")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "model_type": "brand-new"}))

    def add_o1(raw: dict) -> None:
        raw["optimize"]["onnx_O1"] = {"level": "O1"}
        raw["variants"]["onnx_O1"] = {}

    out = project(add_o1) / "out"
    optimize.main("onnx_O2", settings_file("build/onnx_O2"), source, out)
    assert "brand-new" in str(variant_folder.skipped(out))
    assert [path.name for path in out.iterdir()] == ["skipped.json"]
    optimize.main("onnx_O1", settings_file("build/onnx_O1"), source, out)  # needs no knowledge of the architecture
    assert variant_folder.skipped(out) is None


@pytest.mark.parametrize("keep", [0, 1000, 20000])
def test_a_truncated_graph_is_one_clear_error_and_the_earlier_output_stays(
    project: Callable[..., Path], tiny: Path, tmp_path: Path, keep: int
) -> None:
    source = shutil.copytree(tiny / "onnx", tmp_path / "onnx")
    out = project() / "out"
    optimize.main("onnx_O2", settings_file("build/onnx_O2"), source, out)
    before = dict(variant_folder.hashes(out))
    graph = variant_folder.weights_path(source, "onnx")
    graph.write_bytes(graph.read_bytes()[:keep])
    with pytest.raises(FoundryError, match=r"model.onnx is truncated or no ONNX graph"):
        optimize.main("onnx_O2", settings_file("build/onnx_O2"), source, out)
    assert dict(variant_folder.hashes(out)) == before
