"""Build all that dvc.yaml has, so that a model or a variant that fails ends no other.

`dvc repro --keep-going` leaves out what depends on a stage that failed. The report depends on every verdict, so one
broken checkpoint would leave all models without it. What is there of the other models is therefore measured, reported
and published after all.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.tracking.repository import open_repository

# The stages that come together for a model although some of its variants, or other models, are not there.
REPORT = "report"
MEASURE, PUBLISH = "benchmark", "publish"
# The stages that run once for a model; the others of a model run once for each of its variants.
ONCE_PER_MODEL = ("download", "sample", "embed", MEASURE, PUBLISH)


def build(models: Mapping[str, Sequence[str]]) -> list[str]:
    """Build everything; give the stages that failed, and those that need one of them, by DVC's names.

    Args:
        models: the variants of each model.

    Raises:
        FoundryError: when DVC itself fails, or is not found.
    """
    if shutil.which("dvc") is None:
        raise FoundryError(
            "`dvc` is not on the PATH, and `python` may be another than its stages need: `source .venv/bin/activate` "
            "first, or `make artifacts`"
        )
    if not run_dvc("repro", "--keep-going"):
        return []
    unbuilt = unbuilt_stages()
    if not unbuilt:
        raise FoundryError("`dvc repro` ended with an error, which stands above; no stage has failed")
    remove_verdicts(unbuilt)
    usable = [model for model in models if f"validate@{model}-torch" not in unbuilt]
    targets = [f"{MEASURE}@{model}" for model in usable]
    targets += [REPORT, *(f"{PUBLISH}@{model}" for model in usable)] if usable else []
    for target in targets:
        if target in unbuilt and not run_dvc("repro", "--single-item", target):
            unbuilt.remove(target)
    return unbuilt


def run_dvc(*arguments: str) -> int:
    """Run DVC with its output where this process writes; give its exit code."""
    return subprocess.run(["dvc", *arguments], check=False).returncode


def unbuilt_stages() -> list[str]:
    """The stages whose outputs are not those of dvc.lock, without those that always run.

    Raises:
        FoundryError: when DVC cannot say.
    """
    done = subprocess.run(["dvc", "status", "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FoundryError(f"`dvc status` fails: {done.stderr.strip() or done.stdout.strip()}")
    changes: dict[str, list[object]] = json.loads(done.stdout)
    return [stage for stage, rows in changes.items() if rows != ["always changed"]]


def remove_verdicts(stages: Sequence[str]) -> None:
    """Remove the verdicts that validation did not write again: they are of an earlier build."""
    for stage in open_repository().index.stages:
        if stage.addressing in stages and stage.addressing.startswith("validate@"):
            for out in stage.outs:
                files.remove(Path(out.fs_path))


def unbuilt_by_model(stages: Sequence[str], models: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The stages of each model that has any; those of no model, such as `configure`, under an empty name."""
    by_model: dict[str, list[str]] = {}
    for stage in stages:
        matching = [model for model, variants in models.items() if _is_of(stage, model, variants)]
        by_model.setdefault(matching[0] if matching else "", []).append(stage)
    return by_model


def _is_of(stage: str, model: str, variants: Sequence[str]) -> bool:
    kind, _, item = stage.partition("@")
    return item == model if kind in ONCE_PER_MODEL else item in [f"{model}-{variant}" for variant in variants]
