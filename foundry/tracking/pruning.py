"""Remove what no longer stands in params.yaml: from artifacts, from dvc.lock, and from DVC's cache.

What a branch or a tag of git still needs stays in the cache.

python -m foundry.tracking.pruning [--dry-run] [--keep-cache]
"""

import subprocess
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from foundry.base import command, files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.tracking import lock

ROOT = Path("artifacts")
KEPT = (Path("artifacts/README.md"), command.RUNS)  # no outputs, and not left over


def leftovers(root: Path, outputs: set[Path]) -> list[Path]:
    """What lies below `root` and is no output, nor in one, nor on the way to one: the topmost of each."""
    found: list[Path] = []
    for path in sorted(root.iterdir()):
        if path in outputs or path in KEPT:
            continue
        if path.is_dir() and any(path in output.parents for output in outputs):
            found += leftovers(path, outputs)
        else:
            found.append(path)
    return found


def obsolete(locked: dict[str, Any], stages: set[str]) -> list[str]:
    """The stages in dvc.lock that dvc.yaml, filled in from params.yaml, does not have."""
    return sorted(name for name in locked["stages"] if name not in stages)


def main(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    keep_cache: Annotated[bool, typer.Option("--keep-cache", help="Leave DVC's cache as it is.")] = False,
) -> None:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        repo = Repo()
    except NotDvcRepoError as error:
        raise FoundryError(f"this is no DVC repository: {error}") from error
    known = [stage for stage in repo.index.stages if hasattr(stage, "name")]
    outputs = {Path(out.fs_path).relative_to(repo.root_dir) for stage in known for out in stage.outs}
    verb = "would go" if dry_run else "removed"
    for path in leftovers(ROOT, outputs):
        say(f"{verb}: {path}")
        if not dry_run:
            files.remove(path)
    if lock.LOCK.is_file():
        locked = yaml.safe_load(lock.LOCK.read_text(encoding="utf-8"))
        gone = obsolete(locked, {stage.addressing for stage in known})
        for name in gone:
            say(f"{verb}: {name} in {lock.LOCK}")
            del locked["stages"][name]
        if gone and not dry_run:
            with files.replacing(lock.LOCK) as partial:
                partial.write_text(yaml.safe_dump(locked, sort_keys=False), encoding="utf-8")
    if not keep_cache:
        dry = ["--dry"] if dry_run else []
        done = subprocess.run(
            ["dvc", "gc", "--workspace", "--all-branches", "--all-tags", "--force", *dry], check=False
        )
        if done.returncode:
            raise FoundryError("`dvc gc` ended with an error, said above: the cache is as it was")


if __name__ == "__main__":
    command.run(main)
