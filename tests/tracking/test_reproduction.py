"""build: a model or a variant that fails ends no other, and the end says what failed."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from foundry.base import files
from foundry.tracking import reproduction
from tests.support.fork_server import ForkServer
from tests.support.pipeline import change, foundry


def test_a_broken_model_and_a_failing_variant_end_nothing_else(
    built: Path, fork_server: ForkServer, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(yaml.safe_load((built / "params.yaml").read_text())["models"]["tiny"]["source"]["path"], broken)
    (broken / "model.safetensors").write_bytes(b"cut off")

    def edit(raw: dict[str, Any]) -> None:
        raw["models"]["broken"] = {"source": {"path": str(broken)}}
        raw["quantize"]["onnx_qint8_avx512"]["exclude_nodes"] = ["no such node"]

    change(built, edit)
    receipt = files.read_json(built / "artifacts/published/tiny.json")
    output = foundry(built, "build", succeeds=False, PATH=fork_server.path)
    summary = output[output.index("not built, because a stage failed") :]
    assert "quantize@tiny-onnx_qint8_avx512" in summary
    assert "download@broken" in summary
    assert "report" not in summary
    # A variant without a verdict is not left out: on the Hub, that would delete the one from before.
    assert "publish@tiny" in summary
    assert "not as dvc.lock has it: artifacts/models/tiny/onnx_qint8_avx512 (missing)" in " ".join(output.split())
    assert files.read_json(built / "artifacts/published/tiny.json") == receipt
    page = (built / "artifacts/report/report.md").read_text()
    assert "**Not built**, because a stage failed: broken, tiny/onnx_qint8_avx512." in page
    assert not (built / "artifacts/hub/broken").exists()


def test_a_stage_belongs_to_the_model_that_its_name_says() -> None:
    models = {"a": ["torch", "onnx"], "a-onnx": ["torch", "onnx"]}
    stages = ["report", "download@a", "validate@a-onnx", "publish@a-onnx", "validate@a-onnx-onnx"]
    by_model = reproduction.unbuilt_by_model(stages, models)
    assert by_model == {
        "": ["report"],
        "a": ["download@a", "validate@a-onnx"],
        "a-onnx": ["publish@a-onnx", "validate@a-onnx-onnx"],
    }
