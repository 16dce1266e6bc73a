"""What no longer stands in params.yaml: in artifacts, in dvc.lock, and in DVC's cache."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from foundry.base import command, files
from foundry.base.errors import FoundryError
from foundry.tracking import lock
from foundry.tracking.repository import open_repository

ROOT = Path("artifacts")
KEPT = (ROOT / "README.md", command.RUNS, command.LOGS)  # they are no outputs, and not left over


def prune(dry_run: bool) -> Iterator[str]:
    """Remove what dvc.yaml, filled in from params.yaml, does not have: below artifacts, and from dvc.lock.

    Yields:
        The name of each thing, before it is removed; when `dry_run`, it stays.

    Raises:
        FoundryError: when there is no DVC project.
    """
    repository = open_repository()
    stages = [stage for stage in repository.index.stages if hasattr(stage, "name")]
    outputs = {Path(out.fs_path).relative_to(repository.root_dir) for stage in stages for out in stage.outs}
    for path in leftovers(ROOT, outputs):
        yield path.as_posix()
        if not dry_run:
            files.remove(path)
    if not lock.LOCK.is_file():
        return
    locked = yaml.safe_load(lock.LOCK.read_text(encoding="utf-8"))
    names = obsolete(locked, {stage.addressing for stage in stages})
    for name in names:
        yield f"{name} in {lock.LOCK}"
        del locked["stages"][name]
    if names and not dry_run:
        with files.replacing(lock.LOCK) as partial:
            partial.write_text(yaml.safe_dump(locked, sort_keys=False), encoding="utf-8")


def leftovers(root: Path, outputs: set[Path]) -> list[Path]:
    """The files and folders below `root` that are no output, hold none and are in none: of nested ones, the outer."""
    paths: list[Path] = []
    for path in sorted(root.iterdir()):
        if path in outputs or path in KEPT:
            continue
        if path.is_dir() and any(path in output.parents for output in outputs):
            paths += leftovers(path, outputs)
        else:
            paths.append(path)
    return paths


def obsolete(locked: dict[str, Any], stages: set[str]) -> list[str]:
    """The stages in dvc.lock that dvc.yaml, filled in from params.yaml, does not have."""
    return sorted(name for name in locked["stages"] if name not in stages)


def prune_cache(dry_run: bool) -> None:
    """Remove from DVC's cache what neither the workspace nor a branch or tag of git needs.

    Raises:
        FoundryError: when DVC fails.
    """
    gc = ["dvc", "gc", "--workspace", "--all-branches", "--all-tags", "--force"]
    if subprocess.run([*gc, *(["--dry"] if dry_run else [])], check=False).returncode:
        raise FoundryError("`dvc gc` ended with an error, which stands above; the cache is as it was")
