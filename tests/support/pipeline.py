"""The pipeline through DVC, in a folder of its own."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


def dvc(clone: Path, *arguments: str, succeeds: bool = True, **variables: str) -> str:
    """What a command of DVC writes; that it succeeds, or fails, is checked."""
    return _run(clone, ["dvc", *arguments], succeeds, variables)


def foundry(clone: Path, *arguments: str, succeeds: bool = True, **variables: str) -> str:
    """What a command of `foundry` writes; that it succeeds, or fails, is checked."""
    return _run(clone, ["python", "-m", "foundry", *arguments], succeeds, variables)


def _run(clone: Path, command: list[str], succeeds: bool, variables: dict[str, str]) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **variables}
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode == 0) == succeeds, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def ran(output: str) -> set[str]:
    """The stages that a `dvc repro` ran or took from the run-cache."""
    # Anywhere in a line: what a stage writes to standard error may stand before it, without an end of its own.
    return {*re.findall(r"Running stage '([^']+)'", output), *re.findall(r"Stage '([^']+)' is cached", output)}


def change(clone: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit the params.yaml of a clone."""
    path = clone / "params.yaml"
    raw = yaml.safe_load(path.read_text())
    edit(raw)
    path.write_text(yaml.safe_dump(raw, sort_keys=False))


def copy_unbuilt(clone: Path, target: Path) -> Path:
    """A clone's code and settings, without what was built, DVC's cache and its run-cache."""
    shutil.copytree(clone, target, ignore=shutil.ignore_patterns("artifacts", "cache", "tmp", "dvc.lock"))
    return target
