"""What no longer stands in params.yaml: in artifacts, in dvc.lock, and in DVC's cache."""

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from foundry.base import command, failing, files, lock_copy
from foundry.base.errors import FoundryError
from foundry.tracking import lock
from foundry.tracking.repository import open_repository

ROOT = Path("artifacts")
KEPT = (ROOT / "README.md", command.RUNS, failing.LOGS)  # they are no outputs, and not left over


class Leftovers(NamedTuple):
    """What dvc.yaml, filled in from params.yaml, does not have."""

    paths: list[Path]  # below artifacts
    stages: list[str]  # in dvc.lock


def leftovers() -> Leftovers:
    """What dvc.yaml, filled in from params.yaml, does not have: below artifacts, and in dvc.lock.

    Raises:
        FoundryError: when there is no DVC project, dvc.lock is not there or is damaged, or none of its stages would be
            left, as where it is that of another branch.
    """
    locked = lock.stages()
    repository = open_repository()
    stages = [stage for stage in repository.index.stages if hasattr(stage, "name")]
    names = {stage.addressing for stage in stages}
    obsolete = [name for name in locked if name not in names]
    if len(obsolete) == len(locked):
        raise FoundryError(
            f"none of the {len(locked)} stages in {lock.LOCK} is one of dvc.yaml and params.yaml, so nothing is "
            "removed: `foundry build` first, or take the files of one revision"
        )
    outputs = {Path(out.fs_path).relative_to(repository.root_dir) for stage in stages for out in stage.outs}
    return Leftovers(paths_without(ROOT, outputs), obsolete)


def paths_without(root: Path, outputs: set[Path]) -> list[Path]:
    """The files and folders below `root` that are no output, hold none and are in none: of nested ones, the outer."""
    paths: list[Path] = []
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path in outputs or path in KEPT:
            continue
        if path.is_dir() and any(path in output.parents for output in outputs):
            paths += paths_without(path, outputs)
        else:
            paths.append(path)
    return paths


def remove(what: Leftovers) -> None:
    """Remove leftovers; dvc.lock comes last, so that what is cut off here is found again."""
    for path in what.paths:
        files.remove(path)
    if what.stages:
        locked: dict[str, Any] = yaml.safe_load(lock.LOCK.read_text(encoding="utf-8"))
        for name in what.stages:
            del locked["stages"][name]
        with files.replacing(lock.LOCK) as partial:
            partial.write_text(yaml.safe_dump(locked, sort_keys=False), encoding="utf-8")
        lock_copy.keep()


def prune_cache(dry_run: bool) -> None:
    """Remove from DVC's cache what neither the workspace nor a branch or tag of git needs.

    Raises:
        FoundryError: when DVC fails.
    """
    gc = ["dvc", "gc", "--workspace", "--all-branches", "--all-tags", "--force"]
    if subprocess.run([*gc, *(["--dry"] if dry_run else [])], check=False).returncode:
        raise FoundryError("`dvc gc` ended with an error, which stands above; the cache is as it was")
