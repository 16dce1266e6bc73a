"""The stages to run, their order and their machines: DVC's own graph, with what params.yaml says of machines."""

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base.errors import FoundryError

# The output that says which libraries build. Nearly every stage reads it, and it is known before anything runs.
TOOLCHAIN = "toolchain.json"


class Task(NamedTuple):
    """One stage of the filled-in dvc.yaml."""

    name: str  # as DVC takes it: `export@minilm-onnx`
    needs: tuple[str, ...]  # the stages whose outputs it reads, but for the toolchain's
    resources: dict[str, float]  # what its machine must offer
    alone: bool  # on its machine
    outs: tuple[str, ...]  # paths below the project's folder
    uncached: tuple[str, ...]  # those that DVC does not keep, because they describe one machine
    persists: bool  # it adds to what an earlier run has left


def read_tasks(repo: Any, placement: Mapping[str, Mapping[str, float]], alone: Iterable[str]) -> list[Task]:
    """Every stage, in the order in which `dvc repro` runs them.

    Raises:
        FoundryError: when a pattern of `placement` or `alone` is that of no stage.
    """
    from dvc.repo.reproduce import get_active_graph, plan_repro

    graph = get_active_graph(repo.index.graph)
    steps = plan_repro(graph)
    names = [stage.addressing for stage in steps]
    alone = list(alone)
    check_patterns(names, [*placement, *alone])
    root = Path(repo.root_dir)
    waits = {stage: {dep.fs_path for dep in stage.deps if Path(dep.fs_path).name != TOOLCHAIN} for stage in steps}
    return [
        Task(
            name=stage.addressing,
            needs=tuple(
                sorted(
                    needed.addressing
                    for needed in graph.successors(stage)
                    if any(_is_read(out.fs_path, waits[stage]) for out in needed.outs)
                )
            ),
            resources={
                key: value
                for pattern, row in placement.items()
                if fnmatch(stage.addressing, pattern)
                for key, value in row.items()
            },
            alone=any(fnmatch(stage.addressing, pattern) for pattern in alone),
            outs=tuple(Path(out.fs_path).relative_to(root).as_posix() for out in stage.outs),
            uncached=tuple(Path(out.fs_path).relative_to(root).as_posix() for out in stage.outs if not out.use_cache),
            persists=any(out.persist for out in stage.outs),
        )
        for stage in steps
    ]


def _is_read(out: str, deps: Collection[str]) -> bool:
    """Whether an output is among these dependencies, holds one, or lies within one."""
    return any(out == dep or Path(out) in Path(dep).parents or Path(dep) in Path(out).parents for dep in deps)


def toolchain_file(tasks: Iterable[Task]) -> Path | None:
    """Where the versions of the libraries are written, if any task writes them."""
    return next((Path(out) for task in tasks for out in task.uncached if Path(out).name == TOOLCHAIN), None)


def with_toolchain(tasks: Collection[Task], todo: Collection[Task]) -> list[Task]:
    """`todo`, and where that is anything, the task that writes the versions of the libraries, in their order."""
    names = {task.name for task in todo}
    writes = {task.name for task in tasks if toolchain_file([task])} if todo else set()
    return [task for task in tasks if task.name in names | writes]


def check_patterns(names: Collection[str], patterns: Iterable[str]) -> None:
    """Check that each pattern of params.yaml is that of a stage.

    Raises:
        FoundryError: when a pattern is that of no name.
    """
    if unknown := [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in names)]:
        stages = dict.fromkeys(name.partition("@")[0] for name in names)
        raise FoundryError(f"cluster names {', '.join(unknown)}, which is no stage; there are {', '.join(stages)}")


def upstream(tasks: Collection[Task], targets: Collection[str]) -> list[Task]:
    """The tasks that targets name, `report` or `export@minilm-onnx` or `export` for all of them, and all they need.

    Raises:
        FoundryError: when a target is no stage.
    """
    names = {task.name for task in tasks}
    if unknown := [target for target in targets if target not in names | {name.partition("@")[0] for name in names}]:
        raise FoundryError(f"no stage is called {', '.join(unknown)}")
    needed = {name for name in names if {name, name.partition("@")[0]} & {*targets}}
    for task in reversed([*tasks]):  # what a task needs comes before it
        if task.name in needed:
            needed |= {*task.needs}
    return [task for task in tasks if task.name in needed]


def stale(tasks: Collection[Task], changed: Collection[str]) -> list[Task]:
    """The tasks that changed, and all that depend on them, in their order."""
    names: set[str] = set(changed)
    for task in tasks:  # what a task needs comes before it
        if names & {*task.needs}:
            names.add(task.name)
    return [task for task in tasks if task.name in names]
