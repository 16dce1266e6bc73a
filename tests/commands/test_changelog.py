"""Versions: registered with GTO, fetched from another clone, and what changed between two of them."""

import copy
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import dvc.api
import pytest
import yaml

from foundry.base import files
from foundry.commands import verify
from foundry.publishing import provenance, version_differences
from foundry.reporting.rendering import render
from tests.support.projects import ROOT

PIPELINE = {
    "stages": {"copy": {"cmd": "cp -r source artifacts/hub/tiny", "deps": ["source"], "outs": ["artifacts/hub/tiny"]}},
    "artifacts": {"tiny": {"path": "artifacts/hub/tiny", "type": "model", "desc": "tiny", "labels": ["onnx"]}},
}  # fmt: skip


def render_difference(before: provenance.Provenance, after: provenance.Provenance) -> str:
    return render(
        "changelog.md.j2", model="tiny", before="v1", after="v2", **version_differences.difference(before, after)
    )


@pytest.fixture
def record(published: Path) -> provenance.Provenance:
    read = provenance.read(published)
    for row in read["variants"].values():
        row["speed"] = {"short": {"median": 2.0, "low": 1.9, "high": 2.1}}
    return read


def test_nothing_has_changed(record: provenance.Provenance) -> None:
    assert "Nothing has changed." in render_difference(record, record)


def test_each_kind_of_change_is_named(record: provenance.Provenance) -> None:
    after: Any = copy.deepcopy(record)
    after["source"] = {"hub": "org/name", "revision": "2" * 40}
    after["source_files"]["model.safetensors"] = "other"
    after["host"]["libraries"]["torch"] = "3"
    row = after["variants"]["onnx_O2"]
    row["settings"]["level"] = "O3"
    row["files"] = {"onnx/model_O2.onnx": "other"}
    row["figures"]["mean_cosine"] -= 0.01
    row["figures"]["min_cosine"] += 1e-6  # rounding
    row["speed"]["short"] = {"median": 3.0, "low": 2.9, "high": 3.1}
    after["variants"]["onnx"]["speed"]["short"] = {"median": 2.1, "low": 2.0, "high": 2.2}  # noise
    del after["variants"]["openvino_fp16"]
    output = render_difference(record, after)
    for line in (
        "- Gone: `openvino_fp16`", "- Other bytes: `onnx_O2`", f"| revision |  | {'2' * 40} |",
        "Files of the checkpoint that changed: `model.safetensors`", "| torch | 2 | 3 |",
        "| `onnx_O2` | level | O2 | O3 |", "| `onnx_O2` | mean_cosine | 1.0000 | 0.9900 |",
        "| `onnx_O2` | short texts | 2.00× (1.90–2.10) | 3.00× (2.90–3.10) |",
    ):  # fmt: skip
        assert line in output
    assert "min_cosine" not in output
    assert "`onnx` | short" not in output
    assert "- New: `openvino_fp16`" in render_difference(after, record)


def test_speeds_of_two_machines_are_not_compared(record: provenance.Provenance) -> None:
    after: Any = copy.deepcopy(record)
    after["host"]["host"] = "there"
    after["variants"]["onnx_O2"]["speed"]["short"] = {"median": 9.0, "low": 8.0, "high": 10.0}
    output = render_difference(record, after)
    assert "Measured on `here` before and on `there` now: speeds do not compare." in output
    assert "speed to torch" not in output


def run(folder: Path, *command: str, succeeds: bool = True) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": str(folder.parent / "gitconfig")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == succeeds, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.usefixtures("forks_in_module")
def test_versions_from_another_clone(published: Path, tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text("[user]\nname = a\nemail = a@b\n[init]\ndefaultBranch = main\n")
    project = tmp_path / "project"
    (project / "artifacts/hub").mkdir(parents=True)
    (project / "artifacts/hub/.gitignore").write_text("/tiny\n")
    shutil.copytree(published, project / "source")
    (project / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (project / ".gitignore").write_text("/source\n")
    run(project, "git", "init", "-q")
    run(project, "dvc", "init", "-q")
    run(project, "dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))

    def release(version: str) -> None:
        run(project, "dvc", "repro")
        run(project, "dvc", "push")
        run(project, "git", "add", "-A")
        run(project, "git", "commit", "-qm", version)
        run(project, "gto", "register", "tiny", "--version", version)

    release("v1.0.0")
    path = project / "source/foundry.json"
    after = files.read_json(path)
    after["variants"]["onnx_O2"]["settings"]["level"] = "O3"
    path.write_text(json.dumps(after))
    release("v1.1.0")

    # From another clone, and without one.
    run(tmp_path, "git", "clone", "-q", str(project), "clone")
    clone = tmp_path / "clone"
    output = run(clone, "foundry", "changelog", "tiny", "tiny@v1.0.0", "tiny@v1.1.0")
    assert "## tiny: tiny@v1.0.0 to tiny@v1.1.0" in output
    assert "| `onnx_O2` | level | O2 | O3 |" in output
    run(tmp_path, "dvc", "artifacts", "get", str(project), "tiny", "--rev", "v1.0.0", "--out", "first")
    verify.main(tmp_path / "first")
    run(tmp_path, "dvc", "get", str(project), "artifacts/hub/tiny", "--rev", "tiny@v1.1.0", "--out", "second")
    assert files.read_json(tmp_path / "second/foundry.json") == after
    text = dvc.api.read("artifacts/hub/tiny/foundry.json", repo=str(project), rev="tiny@v1.0.0")
    assert '"level": "O2"' in text
    output = run(clone, "foundry", "changelog", "tiny", "tiny@v9.9.9", succeeds=False)
    assert "error: artifacts/hub/tiny/foundry.json of tiny@v9.9.9 cannot be had" in output
    assert "Traceback" not in output
