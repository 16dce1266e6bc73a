"""DVC projects to measure on: copies of this working tree, and commands that run in them."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
# A project's copy of the code comes first in Python's path; PYTHONPATH is for projects without a copy. Ray puts sockets
# into its folder, whose paths may have 107 characters, so the folder has a short name.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "HF_HUB_OFFLINE": "1",
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "RAY_TMPDIR": "/tmp",
}
GIT_USER = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
INT8 = ("qint8_arm64", "quint8_avx2", "qint8_avx512", "qint8_avx512_vnni")
# The stages of the variants that Sentence Transformers has functions for.
BUILDING = ("export", "optimize", "calibrate", *(f"quantize@minilm-onnx_{name}" for name in INT8))
CLUSTER_LOGS = ".dvc/tmp/cluster/logs/*.log"


def run(folder: Path, *command: str) -> float:
    """Run a command in a project; return the seconds that it took. If it fails, this process ends with its output."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        for log in folder.glob(CLUSTER_LOGS):
            print(log.read_text()[-1000:], file=sys.stderr)
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return time.perf_counter() - started


def copy_working_tree(target: Path) -> Path:
    """The working tree's tracked and new files as a Git repository, without outputs, cache and dvc.lock."""
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and name != "dvc.lock" and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)
    return target


def committed_params() -> dict[str, Any]:
    """The content of params.yaml."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return raw


def make_project(target: Path, raw: dict[str, Any]) -> Path:
    """A copy of the working tree with other params.yaml, committed."""
    folder = copy_working_tree(target)
    write_params(folder, raw)
    # dvc.yaml lists the models by name for `dvc artifacts`.
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))
    pipeline["artifacts"] = {}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False), encoding="utf-8")
    commit(folder)
    return folder


def write_params(folder: Path, raw: dict[str, Any]) -> None:
    """Write a project's params.yaml."""
    (folder / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")


def commit(folder: Path) -> None:
    """Commit all files of a project."""
    run(folder, "git", "add", "-A")
    run(folder, "git", *GIT_USER, "commit", "-qm", "benchmark")


def runs(folder: Path) -> list[dict[str, Any]]:
    """What each stage process of a project recorded: command, seconds, peak memory."""
    return [json.loads(line) for line in (folder / "artifacts/runs.jsonl").read_text().splitlines()]


def reproduce(folder: Path, targets: Sequence[str]) -> float:
    """`dvc repro` of stages and all that they depend on; the seconds that it took."""
    return run(folder, "dvc", "repro", *targets)
