"""Nothing phones home: the libraries' telemetry is off in every process that the project starts."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.projects import ROOT
from tests.support.stages import settings_file

# What ONNX Runtime, OpenVINO, DVC and the Hub's client write below a home where they count their users.
TELEMETRY = (".cache/Microsoft", "intel", ".config/dvc/user_id", ".config/iterative", ".cache/huggingface/telemetry")


@pytest.mark.slow
def test_a_new_home_holds_nothing_of_a_telemetry(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    project()
    home = tmp_path / "home"
    home.mkdir()
    runs = (
        ("optimize", "onnx_O2", settings_file("build/onnx_O2"), tiny / "onnx"),
        ("export", "openvino", settings_file("build/openvino"), tiny / "torch"),
    )
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_TELEMETRY") and name != "CI"}
    for stage, variant, *inputs in runs:
        command = [sys.executable, "-m", f"stages.{stage}", variant, *map(str, inputs), str(tmp_path / variant)]
        environment = kept | {"HOME": str(home), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / variant / "built.json").is_file()
    assert [name for name in TELEMETRY if (home / name).exists()] == []
    written = [path.relative_to(home).parts[:2] for path in home.rglob("*") if path.is_file()]
    assert {part for path in written for part in path} & {"Microsoft", "intel", "iterative"} == set()
