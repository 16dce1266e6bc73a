"""What more than one machine brings, and where it ends: the figures of docs/scaling.md, as JSON.

    python -m benchmarks.scaling build > build.json        # three models from cold: `dvc repro` against two workers
    python -m benchmarks.scaling overhead > overhead.json  # of a stage, by the size of what it writes
    python -m benchmarks.scaling graph > graph.json        # DVC itself, by the number of models
    python -m benchmarks.scaling plan --sizes sizes.json   # 1,000 models on N machines: a formula and a simulation

`plan` takes the seconds that every stage of models of four sizes took, which benchmarks.sizes measures.
"""

import argparse
import itertools
import json
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks import projects, scheduling
from foundry.tracking import lock

CLUSTER = (sys.executable, "-m", "foundry", "cluster")
OVERHEAD_SIZES_MB = (1, 100, 1000)
OVERHEAD_ITEMS = ("a", "b", "c")
MODEL_COUNTS = (1, 3, 10, 30)
BENCHMARK_MINUTES = 0.3
MODELS_BY_SIZE = {"22M": 600, "110M": 300, "335M": 80, "560M": 20}


def params_of_models(count: int) -> dict[str, Any]:
    """params.yaml with the sample model under several names, and little measuring."""
    raw = projects.committed_params()
    [model] = raw["models"].values()
    raw["models"] = {f"model_{number}": model for number in range(count)}
    # The benchmark takes as long as its settings say, which is not what is compared here.
    raw["benchmark"] |= {"effort": "quick", "settings": {}}
    raw["benchmark"]["efforts"]["quick"]["minutes"] = BENCHMARK_MINUTES
    return raw


def build() -> dict[str, Any]:
    """Three models from cold by `dvc repro` and by two workers, and a simulation of two workers with these times."""
    with tempfile.TemporaryDirectory() as scratch:
        raw = params_of_models(3)
        by_dvc = projects.make_project(Path(scratch) / "by_dvc", raw)
        by_workers = projects.make_project(Path(scratch) / "by_workers", raw)
        timings = Path(scratch) / "timings.json"
        two_workers_seconds = projects.run(by_workers, *CLUSTER, "--local", "2", "--timings", str(timings))
        print(f"two workers: {two_workers_seconds:.0f} s", file=sys.stderr)
        sequential_seconds = projects.reproduce(by_dvc, ())
        # By stage: seconds of the whole job, and of `dvc repro` in it.
        job_seconds: dict[str, tuple[float, float]] = json.loads(timings.read_text())
        locks = [lock.stages(folder / "dvc.lock") for folder in (by_dvc, by_workers)]
        stage_runs = projects.runs(by_dvc)
        needs = {name: needed for name, (needed, _) in dependencies(by_workers).items()}
    stage_seconds = sum(row["seconds"] for row in stage_runs)
    dvc_seconds_per_stage = (sequential_seconds - stage_seconds) / len(stage_runs)
    alone = {tuple(row["command"]): row["seconds"] + dvc_seconds_per_stage for row in stage_runs}
    # A benchmark has the machine for itself in both builds.
    shared = [name for name in job_seconds if not name.startswith("benchmark")]
    simulated = scheduling.simulate({name: (needs[name], whole) for name, (whole, _) in job_seconds.items()}, 2)
    slowdown = sum(job_seconds[name][1] for name in shared) / sum(
        alone[_command(locks[0][name]["cmd"])] for name in shared
    )
    overheads = [whole - stage for whole, stage in job_seconds.values()]
    return {
        "models": 3,
        "stages": len(job_seconds),
        "sequential_seconds": round(sequential_seconds, 1),
        "sequential_stage_seconds": round(stage_seconds, 1),
        "two_workers_seconds": round(two_workers_seconds, 1),
        "ratio": round(sequential_seconds / two_workers_seconds, 2),
        "simulated_seconds": round(simulated, 1),
        "together": round(slowdown, 2),
        "overhead_seconds_median": round(statistics.median(overheads), 2),
        "order_of_dvc_lock_is_the_same": list(locks[0]) == list(locks[1]),
        # Speed is measured again in each build, and reported.
        "entries_that_differ": [name for name in locks[0] if locks[0][name] != locks[1].get(name)],
    }


def _command(cmd: str) -> tuple[str, ...]:
    """A stage's command, `python -m stages.name ...`, in the form of the record of runs."""
    module, *arguments = shlex.split(cmd)[2:]
    return (module.removeprefix("stages."), *arguments)


def dependencies(folder: Path) -> dict[str, tuple[list[str], bool]]:
    """For each stage of a project, the stages that it needs, and whether it has its machine for itself."""
    code = (
        "import json; from dvc.repo import Repo; from foundry.cluster import dag;"
        "print(json.dumps({t.name: [t.needs, t.alone] for t in dag.read_tasks(Repo(), {}, ['benchmark@*'])}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=projects.ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return {name: (needs, alone) for name, (needs, alone) in json.loads(done.stdout.splitlines()[-1]).items()}


STAGE = """
import pathlib, random, sys
path = pathlib.Path(sys.argv[1])
path.mkdir(parents=True)
with (path / "weights").open("wb") as file:
    for _ in range(int(sys.argv[2])):
        file.write(random.Random(sys.argv[1] + str(_)).randbytes(1_000_000))
"""


def overhead() -> dict[str, Any]:
    """Seconds of a job apart from its stage: clone, DVC, and in a cluster a remote, here a folder on the same disk."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for way in ("local", "remote"):
            for size_mb in OVERHEAD_SIZES_MB:
                folder = make_overhead_project(Path(scratch) / f"{way}-{size_mb}", size_mb)
                job_seconds = run_on_cluster(folder, way)
                for stage in ("write", "read"):
                    # The first job on a machine makes its clone; the shortest is one that did not.
                    jobs = [job_seconds[f"{stage}@{name}"] for name in OVERHEAD_ITEMS]
                    rows.append(
                        {
                            "way": way,
                            "size_mb": size_mb,
                            "stage": stage,
                            "beside_seconds": round(min(whole - repro for whole, repro in jobs), 2),
                            "dvc_repro_seconds": round(min(repro for _, repro in jobs), 2),
                        }
                    )
                shutil.rmtree(folder)
    return {"overhead": rows}


def make_overhead_project(folder: Path, size_mb: int) -> Path:
    """A project of three stages that write a folder of this size, and three that depend on these."""
    folder.mkdir()
    matrix = {"name": list(OVERHEAD_ITEMS)}
    stages = {
        "write": {"matrix": matrix, "cmd": f"python work.py ${{item.name}} {size_mb}", "deps": ["work.py"],
                  "outs": ["${item.name}"]},
        "read": {"matrix": matrix, "cmd": "mkdir ${item.name}2 && touch ${item.name}2/x", "deps": ["${item.name}"],
                 "outs": ["${item.name}2"]},
    }  # fmt: skip
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (folder / "work.py").write_text(STAGE)
    projects.write_params(folder, projects.committed_params() | {"cluster": {"alone": []}})
    (folder / ".gitignore").write_text("".join(f"/{name}\n/{name}2\n" for name in OVERHEAD_ITEMS))
    projects.run(folder, "git", "init", "-q")
    projects.run(folder, "dvc", "init", "-q")
    projects.run(folder, "dvc", "remote", "add", "--default", "store", str(folder.with_name(f"store-{size_mb}")))
    projects.commit(folder)
    return folder


def run_on_cluster(folder: Path, way: str) -> dict[str, tuple[float, float]]:
    """Run a project's stages by one worker, `local` or as on a `remote` machine; return for each stage the seconds of
    its job, and of `dvc repro` in it."""
    timings = folder.with_name("timings.json")
    where = ["--local", "1"]
    if way == "remote":
        projects.run(folder, "ray", "start", "--head", "--num-cpus=1", "--include-dashboard=false")
        where = ["--address", "auto", "--clone-from", str(folder)]
    try:
        projects.run(folder, *CLUSTER, *where, "--timings", str(timings))
    finally:
        if way == "remote":
            projects.run(folder, "ray", "stop", "--force")
    job_seconds: dict[str, tuple[float, float]] = json.loads(timings.read_text())
    return job_seconds


def graph() -> dict[str, Any]:
    """DVC's seconds when nothing is to be done: to read the pipeline, to order the stages, and for one stage."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in MODEL_COUNTS:
            folder = projects.make_project(Path(scratch) / str(count), params_of_models(count))
            rows.append(
                {
                    "models": count,
                    "stages": len(dependencies(folder)),
                    "read_seconds": round(projects.run(folder, "dvc", "stage", "list", "--name-only"), 1),
                    "order_seconds": round(
                        projects.run(folder, "dvc", "repro", "--dry", "--single-item", "configure"), 1
                    ),
                    "one_stage_seconds": round(projects.run(folder, "dvc", "repro", "--single-item", "host"), 1),
                }
            )
            print(rows[-1], file=sys.stderr)
    return {"graph": rows}


def plan(sizes: Path, overhead_seconds: float, benchmark_seconds: float, slowdown: float) -> dict[str, Any]:
    """1,000 models of four sizes on N machines that run two stages at once.

    A stage takes `overhead_seconds` more than its process, and `slowdown` times as long beside another stage.
    """
    tasks = tasks_of_models(sizes, overhead_seconds, benchmark_seconds, slowdown)
    work = sum(seconds for name, (_, seconds) in tasks.items() if not name.startswith("benchmark"))
    measuring = sum(seconds for name, (_, seconds) in tasks.items() if name.startswith("benchmark"))
    longest_path = max(scheduling.ends_without_limit(tasks).values())
    rows = []
    for machines in (1, 4, 16, 64):
        # Each machine runs two stages at once; a benchmark takes the whole machine.
        formula = max((work / 2 + measuring) / machines, longest_path)
        simulated = scheduling.simulate(tasks, 2 * machines, workers_per_benchmark=2)
        rows.append(
            {
                "machines": machines,
                "formula_hours": round(formula / 3600, 2),
                "simulated_hours": round(simulated / 3600, 2),
                "formula_to_simulated": round(formula / simulated, 3),
            }
        )
    return {
        "models": sum(MODELS_BY_SIZE.values()),
        "stages": len(tasks),
        "stage_hours": round(work / 3600, 1),
        "measuring_hours": round(measuring / 3600, 1),
        "longest_path_seconds": round(longest_path),
        "rows": rows,
    }


def tasks_of_models(
    sizes: Path, overhead_seconds: float, benchmark_seconds: float, slowdown: float
) -> dict[str, tuple[list[str], float]]:
    """The stages of MODELS_BY_SIZE, each with the stages that it needs and its seconds."""
    stage_rows = {row["size"]: row["stages"] for row in json.loads(sizes.read_text())["sizes"]}
    raw = projects.committed_params()
    [sample_model] = raw["models"]
    with tempfile.TemporaryDirectory() as scratch:
        stages_of_one_model = dependencies(projects.make_project(Path(scratch) / "project", raw))
    tasks: dict[str, tuple[list[str], float]] = {}
    names = (f"m{number}" for number in itertools.count(1))
    for size, count in MODELS_BY_SIZE.items():
        mean_seconds = _mean_seconds(stage_rows[size])
        for name in itertools.islice(names, count):
            for stage, (needs, alone) in stages_of_one_model.items():
                kind = stage.partition("@")[0]
                if kind in (
                    "configure",
                    "host",
                    "report",
                    "publish",
                ):  # once for all models, or after the report of all
                    continue
                seconds = benchmark_seconds if alone else mean_seconds.get(kind, 1.0) * slowdown
                tasks[stage.replace(sample_model, name)] = (
                    [need.replace(sample_model, name) for need in needs],
                    seconds + overhead_seconds,
                )
    return tasks


def _mean_seconds(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean seconds of each kind of stage."""
    seconds: dict[str, list[float]] = {}
    for row in rows:
        seconds.setdefault(row["stage"], []).append(row["seconds"])
    return {stage: statistics.fmean(values) for stage, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["build", "overhead", "graph", "plan"])
    parser.add_argument("--sizes", type=Path, help="the result of benchmarks.sizes")
    parser.add_argument("--beside", type=float, default=1.6, help="seconds of a job apart from its stage's process")
    parser.add_argument("--together", type=float, default=1.59, help="how much longer a stage takes beside another")
    parser.add_argument("--benchmark", type=float, default=300.0, help="seconds of a model's benchmark")
    arguments = parser.parse_args()
    if arguments.what == "plan":
        if arguments.sizes is None:
            parser.error("plan needs --sizes")
        result = plan(arguments.sizes, arguments.beside, arguments.benchmark, arguments.together)
    else:
        result = {"build": build, "overhead": overhead, "graph": graph}[arguments.what]()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
