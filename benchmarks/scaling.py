"""What more than one machine brings, and where it ends: the figures of docs/scaling.md, as JSON.

    python benchmarks/scaling.py build > build.json        # three models from cold: `dvc repro` against two workers
    python benchmarks/scaling.py overhead > overhead.json  # of a stage, by the size of what it writes
    python benchmarks/scaling.py graph > graph.json        # DVC itself, by the number of models
    python benchmarks/scaling.py plan --sizes sizes.json   # 1,000 models on N machines: a formula against a simulation

`plan` takes the seconds that every stage of models of four sizes took, which benchmarks/sizes.py measures.
"""

import argparse
import heapq
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import build_cost
import yaml

ROOT = Path(__file__).parent.parent

# Ray puts sockets below its folder, whose paths the system allows 107 characters.
ENVIRONMENT = {**build_cost.ENVIRONMENT, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": "/tmp"}
NAME = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
OVERHEAD_SIZES_MB = (1, 100, 1000)
MODEL_COUNTS = (1, 3, 10, 30)
BENCHMARK_MINUTES = 0.3


def clock(folder: Path, *command: str) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        for log in folder.glob(".dvc/tmp/fan_out/logs/*.log"):
            print(log.read_text()[-1000:], file=sys.stderr)
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return time.perf_counter() - started


def commit(folder: Path) -> None:
    clock(folder, "git", "add", "-A")
    clock(folder, "git", *NAME, "commit", "-qm", "benchmark")


def project(target: Path, raw: dict[str, Any]) -> Path:
    folder = build_cost.clone(target)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
    pipeline["artifacts"] = {}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    commit(folder)
    return folder


def some_models(count: int) -> dict[str, Any]:
    """params.yaml with the sample model under several names, and little measuring."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    [model] = raw["models"].values()
    raw["models"] = {f"model_{number}": model for number in range(count)}
    # Measuring takes as long as it is told to, which says nothing of what is compared here.
    raw["benchmark"] |= {"effort": "quick", "settings": {}}
    raw["benchmark"]["efforts"]["quick"]["minutes"] = BENCHMARK_MINUTES
    return raw


def build() -> dict[str, Any]:
    """Sequential and with two workers, each from cold, and what a simulation of the second says from the first."""
    with tempfile.TemporaryDirectory() as scratch:
        raw = some_models(3)
        one = project(Path(scratch) / "one", raw)
        two = project(Path(scratch) / "two", raw)
        timings = Path(scratch) / "timings.json"
        fan_out = clock(two, sys.executable, "-m", "foundry", "cluster", "--local", "2", "--timings", str(timings))
        print(f"two workers: {fan_out:.0f} s", file=sys.stderr)
        sequential = clock(one, "dvc", "repro")
        took: dict[str, list[float]] = json.loads(timings.read_text())
        locks = [yaml.safe_load((folder / "dvc.lock").read_text())["stages"] for folder in (one, two)]
        ran = [json.loads(line) for line in (one / "artifacts/runs.jsonl").read_text().splitlines()]
        graph = {name: needs for name, (needs, _) in dependencies(two).items()}
    other = [name for name in locks[0] if locks[0][name] != locks[1].get(name)]
    jobs = {name: whole for name, (whole, _) in took.items()}
    beside_dvc = (sequential - sum(row["seconds"] for row in ran)) / len(ran)
    alone = {tuple(row["command"]): row["seconds"] + beside_dvc for row in ran}
    both = [name for name in took if not name.startswith("benchmark")]  # which had the machine to itself in both
    return {
        "models": 3,
        "stages": len(took),
        "sequential_seconds": round(sequential, 1),
        "sequential_stage_seconds": round(sum(row["seconds"] for row in ran), 1),
        "two_workers_seconds": round(fan_out, 1),
        "ratio": round(sequential / fan_out, 2),
        "simulated_seconds": round(simulate({name: (graph[name], jobs[name]) for name in jobs}, 2), 1),
        "together": round(
            sum(took[name][1] for name in both) / sum(alone[_command(locks[0][name]["cmd"])] for name in both), 2
        ),
        "overhead_seconds_median": round(statistics.median(whole - stage for whole, stage in took.values()), 2),
        "order_of_dvc_lock_is_the_same": list(locks[0]) == list(locks[1]),
        "entries_that_differ": other,  # speed is measured anew, and reported
    }


def _command(cmd: str) -> tuple[str, ...]:
    """A stage's `python -m stages.name ...`, as the record of runs has it."""
    module, *arguments = shlex.split(cmd)[2:]
    return (module.removeprefix("stages."), *arguments)


def dependencies(folder: Path) -> dict[str, tuple[list[str], bool]]:
    """What each stage of a project needs, and whether it is alone on its machine."""
    code = (
        "import json; from dvc.repo import Repo; from foundry.cluster import dag;"
        "print(json.dumps({t.name: [t.needs, t.alone] for t in dag.read_tasks(Repo(), {}, ['benchmark@*'])}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return {name: (needs, alone) for name, (needs, alone) in json.loads(done.stdout.splitlines()[-1]).items()}


def simulate(tasks: dict[str, tuple[list[str], float]], workers: int, alone_takes: int | None = None) -> float:
    """Seconds until all tasks are done: each starts as soon as what it needs is done and a worker is free.

    A benchmark takes `alone_takes` workers at once; by default, all of them.
    """
    left = {name: len([need for need in needs if need in tasks]) for name, (needs, _) in tasks.items()}
    users: dict[str, list[str]] = {name: [] for name in tasks}
    for name, (needs, _) in tasks.items():
        for need in needs:
            if need in users:
                users[need].append(name)
    takes = {name: (alone_takes or workers) if name.startswith("benchmark") else 1 for name in tasks}
    ready = [name for name in tasks if not left[name]]
    running: list[tuple[float, str]] = []
    now, free = 0.0, workers
    while ready or running:
        waiting = []
        for name in ready:
            if takes[name] <= free:
                free -= takes[name]
                heapq.heappush(running, (now + tasks[name][1], name))
            else:
                waiting.append(name)
            if not free:
                waiting += ready[ready.index(name) + 1 :]
                break
        ready = waiting
        now, done = heapq.heappop(running)
        free += takes[done]
        for user in users[done]:
            left[user] -= 1
            if not left[user]:
                ready.append(user)
    return now


STAGE = """
import pathlib, random, sys
path = pathlib.Path(sys.argv[1])
path.mkdir(parents=True)
with (path / "weights").open("wb") as file:
    for _ in range(int(sys.argv[2])):
        file.write(random.Random(sys.argv[1] + str(_)).randbytes(1_000_000))
"""


def overhead() -> dict[str, Any]:
    """What a job takes beside its stage: a clone, DVC, and in a cluster a remote, here a folder on the same disk."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for way in ("local", "remote"):
            for size in OVERHEAD_SIZES_MB:
                folder = Path(scratch) / f"{way}-{size}"
                folder.mkdir()
                names = ("a", "b", "c")
                stages = {
                    "write": {"matrix": {"name": list(names)}, "cmd": f"python work.py ${{item.name}} {size}",
                              "deps": ["work.py"], "outs": ["${item.name}"]},
                    "read": {"matrix": {"name": list(names)}, "cmd": "mkdir ${item.name}2 && touch ${item.name}2/x",
                             "deps": ["${item.name}"], "outs": ["${item.name}2"]},
                }  # fmt: skip
                (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
                (folder / "work.py").write_text(STAGE)
                raw = yaml.safe_load((ROOT / "params.yaml").read_text())
                (folder / "params.yaml").write_text(yaml.safe_dump(raw | {"fan_out": {"alone": []}}))
                (folder / ".gitignore").write_text("".join(f"/{name}\n/{name}2\n" for name in names))
                clock(folder, "git", "init", "-q")
                clock(folder, "dvc", "init", "-q")
                clock(folder, "dvc", "remote", "add", "--default", "store", str(Path(scratch) / f"store-{size}"))
                commit(folder)
                timings = Path(scratch) / "timings.json"
                where = ["--local", "1"]
                if way == "remote":
                    clock(folder, "ray", "start", "--head", "--num-cpus=1", "--include-dashboard=false")
                    where = ["--address", "auto", "--clone-from", str(folder)]
                try:
                    clock(folder, sys.executable, "-m", "foundry", "cluster", *where, "--timings", str(timings))
                finally:
                    if way == "remote":
                        clock(folder, "ray", "stop", "--force")
                took = json.loads(timings.read_text())
                # The first job of a machine makes its clone.
                for kind in ("write", "read"):
                    beside = [took[f"{kind}@{name}"][0] - took[f"{kind}@{name}"][1] for name in names]
                    stage = [took[f"{kind}@{name}"][1] for name in names]
                    rows.append(
                        {"way": way, "size_mb": size, "stage": kind, "beside_seconds": round(min(beside), 2),
                         "dvc_repro_seconds": round(min(stage), 2)}
                    )  # fmt: skip
                shutil.rmtree(folder)
    return {"overhead": rows}


def graph() -> dict[str, Any]:
    """DVC's own time where nothing is to do: to read the pipeline, and for one stage."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in MODEL_COUNTS:
            raw = yaml.safe_load((ROOT / "params.yaml").read_text())
            [model] = raw["models"].values()
            raw["models"] = {f"model_{number}": model for number in range(count)}
            folder = project(Path(scratch) / str(count), raw)
            stages = len(dependencies(folder))
            rows.append(
                {
                    "models": count,
                    "stages": stages,
                    "read_seconds": round(clock(folder, "dvc", "stage", "list", "--name-only"), 1),
                    "order_seconds": round(clock(folder, "dvc", "repro", "--dry", "--single-item", "configure"), 1),
                    "one_stage_seconds": round(clock(folder, "dvc", "repro", "--single-item", "host"), 1),
                }
            )
            print(rows[-1], file=sys.stderr)
    return {"graph": rows}


def plan(sizes: Path, beside: float, benchmark: float, together: float) -> dict[str, Any]:
    """1,000 models of four sizes on N machines that run two stages at once, a group of 50 to a run of fan_out."""
    shares = {"22M": 600, "110M": 300, "335M": 80, "560M": 20}
    stages = {row["size"]: row["stages"] for row in json.loads(sizes.read_text())["sizes"]}
    with tempfile.TemporaryDirectory() as scratch:
        raw = yaml.safe_load((ROOT / "params.yaml").read_text())
        one = dependencies(project(Path(scratch) / "one", raw))
    [name_of_model] = raw["models"]
    tasks: dict[str, tuple[list[str], float]] = {}
    number = 0
    for size, count in shares.items():
        seconds = _by_stage(stages[size])
        for _ in range(count):
            number += 1
            name = f"m{number}"
            for stage, (needs, alone) in one.items():
                kind = stage.partition("@")[0]
                if kind in ("configure", "host", "report", "publish"):  # once for all, or after the report of all
                    continue
                took = (benchmark if alone else seconds.get(kind, 1.0) * together) + beside
                tasks[stage.replace(name_of_model, name)] = (
                    [need.replace(name_of_model, name) for need in needs], took,
                )  # fmt: skip
    work = sum(seconds for name, (_, seconds) in tasks.items() if not name.startswith("benchmark"))
    measuring = sum(seconds for name, (_, seconds) in tasks.items() if name.startswith("benchmark"))
    longest = max(_critical(tasks).values())
    rows = []
    for machines in (1, 4, 16, 64):
        # Two stages at once on each; one that measures takes both.
        formula = max((work / 2 + measuring) / machines, longest)
        simulated = simulate(tasks, 2 * machines, alone_takes=2)
        rows.append(
            {
                "machines": machines,
                "formula_hours": round(formula / 3600, 2),
                "simulated_hours": round(simulated / 3600, 2),
                "formula_to_simulated": round(formula / simulated, 3),
            }
        )
    return {
        "models": sum(shares.values()), "stages": len(tasks), "stage_hours": round(work / 3600, 1),
        "measuring_hours": round(measuring / 3600, 1), "longest_path_seconds": round(longest), "rows": rows,
    }  # fmt: skip


def _by_stage(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean seconds of each kind of stage."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["stage"], []).append(row["seconds"])
    return {kind: statistics.fmean(some) for kind, some in found.items()}


def _critical(tasks: dict[str, tuple[list[str], float]]) -> dict[str, float]:
    """When each task ends where there is a worker for everything."""
    ends: dict[str, float] = {}
    for name, (needs, seconds) in tasks.items():  # what a task needs comes before it
        ends[name] = seconds + max((ends[need] for need in needs if need in ends), default=0.0)
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["build", "overhead", "graph", "plan"])
    parser.add_argument("--sizes", type=Path, help="what benchmarks/sizes.py printed")
    parser.add_argument("--beside", type=float, default=1.6, help="seconds of a job beside its stage's own process")
    parser.add_argument("--together", type=float, default=1.59, help="how much longer a stage takes beside another")
    parser.add_argument("--benchmark", type=float, default=300.0, help="seconds that a model is measured for")
    given = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    if given.what == "plan":
        if given.sizes is None:
            parser.error("plan needs --sizes")
        result = plan(given.sizes, given.beside, given.benchmark, given.together)
    else:
        result = {"build": build, "overhead": overhead, "graph": graph}[given.what]()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
