"""Run the stages of dvc.yaml on several machines at once, by Ray: each where params.yaml says, in a clone of its own.

At the end dvc.lock is what `dvc repro` on one machine would have written, and every output is here.
"""

import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from foundry.base import files, packages
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.cluster import dag
from foundry.cluster.cluster import Cluster
from foundry.cluster.dag import Task
from foundry.cluster.run import LOGS, Place, Run
from foundry.cluster.settings import Cluster as Settings
from foundry.cluster.workers import redacted
from foundry.tracking import lock, recovery


def git(*arguments: str) -> str:
    """The output of a git command.

    Raises:
        FoundryError: when git fails.
    """
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FoundryError(redacted(f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}"))
    return done.stdout.rstrip()


def transfer(how: str, names: Collection[str]) -> None:
    """`dvc push`, `pull` or `checkout` of the outputs of these stages.

    Raises:
        FoundryError: when DVC fails.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    if not names:
        return
    try:
        getattr(Repo(), how)(targets=sorted(names), **({} if how == "push" else {"force": True}))
    except DvcException as error:
        raise FoundryError(redacted(f"`dvc {how}` failed: {error}")) from error


def committed_revision(shared: bool) -> str:
    """The revision that the machines are to clone.

    Raises:
        FoundryError: when something that counts is not committed, or not pushed where machines clone what is `shared`.
    """
    lines = git("status", "--porcelain").splitlines()
    if changed := [line[3:] for line in lines if line[3:] != lock.LOCK.as_posix()]:
        raise FoundryError(f"not committed: {', '.join(changed)}. Every machine clones a revision, so commit first")
    revision = git("rev-parse", "HEAD")
    if shared and not git("branch", "--remotes", "--contains", revision):
        raise FoundryError(
            f"{revision[:7]} is on no branch of a remote, from which every machine clones it: push first"
        )
    return revision


def changed_stages(repo: Any) -> set[str]:
    """The stages whose dependencies, outputs or settings are not as dvc.lock has them."""
    return {str(name).removeprefix("dvc.yaml:") for name in repo.status()}


def write_lock(order: list[str], entries: dict[str, Any]) -> None:
    """Add entries to dvc.lock as `dvc repro` adds them: in running order, in place where there is one."""
    from dvc.utils.serialize import modify_yaml

    with files.replacing(lock.LOCK) as partial:
        if lock.LOCK.is_file():
            partial.write_bytes(lock.LOCK.read_bytes())
        else:
            partial.touch()
        with modify_yaml(str(partial)) as data:
            data.setdefault("schema", "2.0")
            data.setdefault("stages", {})
            for name in order:
                if name in entries:
                    data["stages"][name] = entries[name]


def send_inputs(run: Run) -> None:
    """Put into the remote what the machines will fetch of what is up to date."""
    needed = {name for task in run.waiting.values() for name in task.needs} - {*run.waiting}
    needed |= {task.name for task in run.waiting.values() if task.persists and task.name in run.lock}
    transfer("push", {name for name in needed if not run.everything[name].uncached})


def drive(
    settings: Settings,
    targets: Collection[str],
    local: int | None,
    address: str | None,
    clone_from: str | None = None,
    timings: Path | None = None,
) -> tuple[int, int]:
    """Run what is out of date.

    Args:
        settings: What params.yaml says of machines.
        targets: Stages, such as `report`, with all they need; by default everything.
        local: How many stages to run at once on this machine, where Ray is started; None with an `address`.
        address: Of a Ray cluster; `auto` is the one that runs here.
        clone_from: Where machines clone; by default the remote `origin`, or this folder when `local`.
        timings: Where to write, as JSON, how many seconds each stage took.

    Returns:
        How many stages were run, and how many there are.

    Raises:
        FoundryError: when a stage failed, or nothing can be run as it is.
    """
    from dvc.repo import Repo

    revision = committed_revision(shared=local is None and clone_from is None)
    recovery.recover()
    repo = Repo()
    order = dag.read_tasks(repo, settings.placement, settings.alone)
    if toolchain := dag.toolchain_file(order):  # with other libraries than those of dvc.lock, all stages have changed
        files.write_json(toolchain, packages.toolchain())
    todo = dag.stale(dag.upstream(order, targets) if targets else order, changed_stages(repo))
    todo = dag.with_toolchain(order, todo)
    say(f"{len(todo)} of {len(order)} stages to run")
    if not todo:
        return 0, len(order)
    cache = repo.cache.local_cache_dir if local is not None else None
    source = clone_from or (str(Path.cwd()) if local is not None else git("remote", "get-url", "origin"))
    run_tasks(Cluster(local, address), order, todo, Place(source, revision, cache), timings)
    return len(todo), len(order)


def run_tasks(
    cluster: Cluster, order: Sequence[Task], todo: Sequence[Task], place: Place, timings: Path | None
) -> None:
    """Run `todo`, which is out of date, and bring here what comes of it.

    Raises:
        FoundryError: when a stage failed, or no machine offers what it needs.
    """
    cluster.check(todo)
    LOGS.mkdir(parents=True, exist_ok=True)
    run = Run(cluster, order, todo, place, lock.stages() if lock.LOCK.is_file() else {})
    if not place.cache:
        send_inputs(run)
    try:
        run.all()
    finally:  # also when it is interrupted: what is done need not be done again
        keep_results(run, [task.name for task in order], timings)
    transfer("checkout" if place.cache else "pull", {*run.entries})
    if run.failed:
        raise FoundryError(f"{len(run.failed)} stages failed: {', '.join(run.failed)}")


def keep_results(run: Run, order: list[str], timings: Path | None) -> None:
    """Write what the stages that ended well leave here: their entries of dvc.lock, and outputs that no cache holds."""
    write_lock(order, run.entries)
    for name, content in run.files.items():
        with files.replacing(Path(name)) as partial:
            partial.write_bytes(content)
    if timings:
        files.write_json(timings, {name: list(seconds) for name, seconds in run.seconds.items()})
