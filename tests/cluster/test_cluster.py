"""cluster: on several machines, which are raylets here, the same dvc.lock as on one; with a machine that is killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
import yaml

from foundry.base import packages
from foundry.base.errors import FoundryError
from foundry.cluster import dag, driver, workers
from foundry.cluster.cluster import NOT_IN_THE_BACKGROUND
from foundry.cluster.dag import Task
from foundry.cluster.run import Place, Run
from tests.support.projects import ROOT

# In the form of the real one: a matrix, a stage that says what the machine is and which libraries it has, one that
# measures, one that joins.
PIPELINE = """
stages:
  first:
    cmd: python work.py first out/first
    deps: [out/toolchain.json, source.txt, work.py]
    outs: [out/first]
  middle:
    matrix:
      name: [a, b, c]
    cmd: python work.py ${item.name} out/middle-${item.name} out/first
    deps: [out/first, work.py]
    outs: ["out/middle-${item.name}"]
  host:
    cmd: python work.py host out/host
    always_changed: true
    outs:
    - out/host:
        cache: false
    - out/toolchain.json:
        cache: false
  measure:
    matrix:
      name: [a, b]
    cmd: python work.py measure-${item.name} out/measure-${item.name} out/middle-${item.name} out/host
    deps: ["out/middle-${item.name}", out/host, work.py]
    outs:
    - out/measure-${item.name}:
        persist: true
  join:
    cmd: python work.py join out/join out/middle-a out/middle-b out/middle-c out/measure-a out/measure-b
    deps: [out/middle-a, out/middle-b, out/middle-c, out/measure-a, out/measure-b, work.py]
    outs: [out/join]
"""
# Notes when each stage ran, where, and beside which: outside of the clones.
WORK = """
import os, pathlib, sys, time
name, target, *sources = sys.argv[1:]
notes = pathlib.Path(os.environ["NOTES"])
slow = (notes / f"{name}.slow").exists()  # before it is seen to have begun, and the note is taken away
(notes / f"{name}-{os.getpid()}.begin").write_text(f"{time.time()}")
if os.nice(0) > int(os.environ["NICENESS"]):
    sys.exit("run in the background")
if slow:
    time.sleep(600)
if (notes / f"{name}.broken").exists():
    sys.exit("broken on purpose")
time.sleep(3 if (notes / "long").exists() else 1)
text = "".join(pathlib.Path(one).read_text() for one in sources) or pathlib.Path("source.txt").read_text()
pathlib.Path(target).parent.mkdir(exist_ok=True)
kind = os.environ.get("KIND", "the machine")
if name.startswith("measure"):  # adds to what it measured before
    target = pathlib.Path(target)
    text = (target.read_text() if target.exists() else "") + text
    (notes / f"{name}-{os.getpid()}.on").write_text(kind + os.environ.get("RAY_NODE", ""))
pathlib.Path(target).write_text(kind if name == "host" else text + name)
if name == "host":
    from foundry.base import files, packages
    files.write_json(pathlib.Path("out/toolchain.json"), packages.toolchain())
(notes / f"{name}-{os.getpid()}.end").write_text(f"{time.time()}")
"""


def run(folder: Path, *command: str, succeeds: bool = True, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(folder, **variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == succeeds, f"{command}: {done.stdout[-4000:]}"
    assert "Traceback" not in done.stdout, done.stdout[-4000:]
    return done.stdout


def environment(folder: Path, **variables: str) -> dict[str, str]:
    return {
        **os.environ, "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": str(folder.parent / "gitconfig"),
        "NOTES": str(folder.parent / "notes"), "TMPDIR": str(folder.parent / "tmp"),
        "NICENESS": str(os.nice(0)), "RAY_TMPDIR": "/tmp", **variables,
    }  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A pipeline of git, with a remote, and nothing built."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("notes", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "gitconfig").write_text("[user]\nname = a\nemail = a@b\n[init]\ndefaultBranch = main\n")
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["cluster"] = {"placement": {}, "alone": ["measure@*"]}
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    (root / "source.txt").write_text("source ")
    (root / "work.py").write_text(WORK)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / ".gitignore").write_text("/out\n")
    run(root, "git", "init", "-q")
    run(root, "dvc", "init", "-q")
    run(root, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "first")
    return root


def sequential(project: Path) -> str:
    """The dvc.lock that one machine writes, without the cache of the others; of a later revision when called again."""
    alone = project.parent / "alone"
    if alone.is_dir():
        run(alone, "git", "fetch", "-q", "origin")
        run(alone, "git", "reset", "-q", "--hard", "origin/main")
    else:
        run(project.parent, "git", "clone", "-q", str(project), str(alone))
    run(alone, "dvc", "repro")
    return (alone / "dvc.lock").read_text()


def forget_notes(project: Path) -> None:
    for path in (project.parent / "notes").iterdir():
        path.unlink()


def spans(project: Path) -> dict[str, list[tuple[float, float]]]:
    """When each stage ran: begin and end."""
    times: dict[str, list[tuple[float, float]]] = {}
    for path in (project.parent / "notes").glob("*.begin"):
        end = path.with_suffix(".end")
        until = float(end.read_text()) if end.exists() else float("inf")
        times.setdefault(path.stem.rpartition("-")[0], []).append((float(path.read_text()), until))
    return times


@pytest.mark.slow
def test_on_this_machine(project: Path) -> None:
    run(project, "dvc", "remote", "remove", "store")  # needs none
    run(project, "git", "commit", "-qam", "no remote")
    expected = sequential(project)
    forget_notes(project)
    # Longer than a worker that starts late on a busy machine is behind the other.
    (project.parent / "notes/long").touch()
    command = [sys.executable, "-m", "foundry", "cluster", "--local", "2"]
    output = run(project, *command)
    assert "8 of 8 stages to run" in output
    assert "8 stages run: good" in output
    assert (project / "dvc.lock").read_text() == expected
    assert (project / "out/join").read_text() == (project.parent / "alone/out/join").read_text()
    assert "up to date" in run(project, "dvc", "status", "join")
    when = spans(project)
    for name in ("measure-a", "measure-b"):
        [(begin, end)] = when[name]
        others = [
            interval for other, intervals in when.items() if other not in (name, "host") for interval in intervals
        ]
        assert all(until <= begin or since >= end for since, until in others), f"something ran beside {name}"
    assert any(
        a < d and c < b for a, b in when["a"] + when["b"] for c, d in when["b"] + when["c"] if (a, b) != (c, d)
    ), "nothing ran side by side"
    log = (project / ".dvc/tmp/cluster/logs/middle@a.log").read_text()
    assert "Running stage 'middle@a'" in log

    # Nothing has changed but, as always, what says which machine it is: that is asked, and measured with.
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "built")
    forget_notes(project)
    assert "4 of 8 stages to run" in run(project, *command, "--timings", str(project.parent / "timings.json"))
    assert {*spans(project)} == {"host"}
    assert (project / "dvc.lock").read_text() == expected
    timings = json.loads((project.parent / "timings.json").read_text())
    assert {*timings} == {"host", "measure@a", "measure@b", "join"}
    assert all(whole > stage > 0 for whole, stage in timings.values())

    # What a stage adds to, it adds to; only what a target needs is run.
    (project / "source.txt").write_text("another ")
    run(project, "git", "commit", "-qam", "changed")
    expected = sequential(project)
    output = run(project, *command, "measure@a", "middle")
    assert "6 of 8 stages to run" in output
    assert (project / "out/measure-a").read_text().count("measure-a") == 2
    run(project, *command)
    assert (project / "dvc.lock").read_text() == expected


@pytest.fixture
def cluster(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and two machines, of which one has a thing that the other has not."""
    from ray.cluster_utils import Cluster

    for name, value in environment(project).items():
        monkeypatch.setenv(name, value)
    head = {
        "num_cpus": 0, "include_dashboard": False,
        # Ray asks a machine that does not answer five times, for 10 s each, before it is lost.
        "_system_config": {"health_check_failure_threshold": 2, **NOT_IN_THE_BACKGROUND},
    }  # fmt: skip
    ray_cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield ray_cluster
    finally:
        ray_cluster.shutdown()


def place(project: Path, placement: dict[str, Any]) -> None:
    raw = yaml.safe_load((project / "params.yaml").read_text())
    raw["cluster"]["placement"] = placement
    (project / "params.yaml").write_text(yaml.safe_dump(raw))
    run(project, "git", "commit", "-qam", "placed")


def start(project: Path, cluster: Any) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "foundry", "cluster", "--address", cluster.address, "--clone-from", str(project)
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=project, env=environment(project), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "cut off"])
def test_a_machine_that_is_lost_in_mid_stage(how: signal.Signals, project: Path, cluster: Any) -> None:
    cluster.add_node(num_cpus=1)
    special = cluster.add_node(num_cpus=1, resources={"special": 1})
    place(project, {"middle@b": {"special": 1}})
    expected = sequential(project)
    notes = project.parent / "notes"
    forget_notes(project)
    (notes / "b.slow").touch()
    with start(project, cluster) as process:
        end = time.monotonic() + 150
        while not list(notes.glob("b-*.begin")) and time.monotonic() < end and process.poll() is None:
            time.sleep(0.2)
        assert list(notes.glob("b-*.begin"))
        (notes / "b.slow").unlink()
        raylet = psutil.Process(special.all_processes["raylet"][0].process.pid)
        cluster.add_node(num_cpus=1, resources={"special": 1})
        machine = [raylet] if how == signal.SIGKILL else [raylet, *raylet.children(recursive=True)]
        for machine_process in machine:
            machine_process.send_signal(how)
        try:
            output, _ = process.communicate(timeout=400)
        except subprocess.TimeoutExpired:
            process.terminate()
            output, _ = process.communicate(timeout=60)
            pytest.fail(f"still running:\n{output}")
        finally:
            for machine_process in machine if how == signal.SIGSTOP else []:
                with contextlib.suppress(psutil.NoSuchProcess):  # Ray may have ended the children itself
                    machine_process.kill()
    assert process.returncode == 0, output
    assert "middle@b: its machine was lost, once more" in output
    assert (project / "dvc.lock").read_text() == expected
    assert len(spans(project)["b"]) == 2
    end = time.monotonic() + 30  # it looks for its machine now and then
    while running("--single-item middle@b", notes) and time.monotonic() < end:
        time.sleep(0.2)
    assert running("--single-item middle@b", notes) == []  # DVC ended with its machine
    for left in running("work.py b out/middle-b", notes):  # stages end with DVC; this script is none
        left.kill()


def test_a_machine_is_found_lost_by_a_driver_whose_board_has_begun_anew() -> None:
    task = Task("middle@b", (), {}, False, (), (), False)
    machines, board = {"one": {"CPU": 1.0}, "two": {"CPU": 1.0}}, {"middle@b": "one"}
    cluster = SimpleNamespace(
        nodes=lambda: machines, suitable_machines=lambda _: [*machines],
        begun=lambda: board, forget=lambda name: board.pop(name, None),
        submit=lambda task, _: f"{task.name} on {sorted(machines)[0]}",
    )  # fmt: skip
    run = Run(cast(Any, cluster), [task], [task], Place("", "", None), {})
    run._start(run.ready.popleft())
    run._watch_machines()
    assert [*run.submitted] == ["middle@b on one"]  # it lives
    board.clear()
    del machines["one"]
    run._watch_machines()
    assert not run.submitted
    assert [again.name for again in run.ready] == ["middle@b"]
    run._start(run.ready.popleft())
    run._watch_machines()
    assert [*run.submitted] == ["middle@b on two"]  # and not lost, too


def test_a_lock_of_a_killed_process_is_forgotten_and_one_of_a_running_process_is_not(tmp_path: Path) -> None:
    rwlock = tmp_path / "rwlock"

    def held_by(process: subprocess.Popen[bytes]) -> None:
        rwlock.write_text(json.dumps({"out/a": {"write": {"pid": process.pid, "cmd": "dvc repro"}}}))

    with subprocess.Popen(["sleep", "600"]) as process:
        held_by(process)
        workers._forget_killed(rwlock, patience=0.3)
        assert rwlock.is_file()
        process.kill()  # a zombie, because nobody has asked for its exit code
        workers._forget_killed(rwlock)
        assert not rwlock.exists()
    held_by(process)  # which is no more
    workers._forget_killed(rwlock)
    assert not rwlock.exists()


def running(words: str, notes: Path) -> list[psutil.Process]:
    """The processes of this test, which knows them by its notes: the same test may run beside it."""
    matching = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if words in " ".join(process.cmdline()) and process.environ().get("NOTES") == str(notes):
                matching.append(process)
    return matching


@pytest.mark.slow
def test_machines_of_one_kind_measure(project: Path, cluster: Any) -> None:
    for name, kind in (("one", "many"), ("two", "many"), ("three", "single")):
        cluster.add_node(num_cpus=1, env_vars={"KIND": kind, "RAY_NODE": name})
    with start(project, cluster) as process:
        output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    assert {path.read_text() for path in (project.parent / "notes").glob("*.on")} == {"manyone", "manytwo"}
    assert (project / "out/host").read_text() == "many"


@pytest.mark.slow
def test_what_no_machine_offers_and_what_fails(project: Path, cluster: Any) -> None:
    cluster.add_node(num_cpus=2)
    place(project, {"middle@c": {"gpu": 1}})
    with start(project, cluster) as process:
        output, _ = process.communicate(timeout=400)
    assert process.returncode == 1
    assert "error: middle@c needs {'gpu': 1.0}, which no machine offers" in output
    assert not list((project.parent / "notes").iterdir())  # before anything runs
    place(project, {})
    (project.parent / "notes/b.broken").touch()
    with start(project, cluster) as process:
        output, _ = process.communicate(timeout=400)
    assert process.returncode == 1
    assert "middle@b: failed, on " in output
    assert "see .dvc/tmp/cluster/logs/middle@b.log" in output
    assert "measure@b: failed, not run, because of middle@b" in output
    assert "error: 3 stages failed: middle@b, measure@b, join" in output
    assert "broken on purpose" in (project / ".dvc/tmp/cluster/logs/middle@b.log").read_text()
    assert (project / "out/measure-a").is_file()  # what does not depend on it is done
    locked = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    assert {"first", "middle@a", "middle@c", "measure@a"} <= set(locked)
    assert not {"middle@b", "measure@b", "join"} & set(locked)


def test_mistakes(project: Path) -> None:
    command = [sys.executable, "-m", "foundry", "cluster"]
    assert "error: give one of --local N and --address" in run(project, *command, succeeds=False)
    (project / "source.txt").write_text("changed")
    assert "error: not committed: source.txt" in run(project, *command, "--local", "1", succeeds=False)
    run(project, "git", "checkout", "-q", "source.txt")
    place(project, {"measured@*": {"gpu": 1}})
    assert "error: cluster names measured@*, which is no stage" in run(
        project, *command, "--local", "1", succeeds=False
    )


def test_what_depends_on_what_changed_is_stale() -> None:
    order = [
        Task(name, needs, {}, False, (), (), False)
        for name, needs in (("a", ()), ("b", ("a",)), ("c", ()), ("d", ("b", "c")), ("e", ("c",)))
    ]
    assert [task.name for task in dag.stale(order, {"a"})] == ["a", "b", "d"]
    assert [task.name for task in dag.upstream(order, ["b", "e"])] == ["a", "b", "c", "e"]
    with pytest.raises(FoundryError, match="no stage is called f"):
        dag.upstream(order, ["a", "f"])
    assert dag.stale(order, set()) == []
    with pytest.raises(FoundryError, match="names x@"):
        dag.check_patterns(["a", "b"], ["x@*", "a"])


def test_with_the_same_libraries_only_what_describes_the_machine_is_asked(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequential(project)
    alone = project.parent / "alone"
    monkeypatch.chdir(alone)

    from dvc.repo import Repo

    def to_run() -> list[str]:
        repo = Repo()
        order = dag.read_tasks(repo, {}, [])
        assert dag.toolchain_file(order) == Path("out/toolchain.json")
        return [task.name for task in dag.stale(order, driver.changed_stages(repo))]

    assert {*to_run()} == {"host", "measure@a", "measure@b", "join"}
    (alone / "out/toolchain.json").write_text('{"torch": "1.0"}')
    assert len(to_run()) == 8
    # Targets that do not need it leave an entry of dvc.lock behind that says with what they were built.
    order = dag.read_tasks(Repo(), {}, [])
    [first] = [task for task in order if task.name == "first"]
    assert [task.name for task in dag.with_toolchain(order, [first])] == [
        task.name for task in order if task.name in ("first", "host")
    ]
    assert dag.with_toolchain(order, []) == []


def test_a_machine_with_other_libraries_builds_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    here = packages.toolchain()
    job = workers.Job("first", (), (), "", "", {}, {}, "out/toolchain.json", None)
    workers._check_toolchain(project, job._replace(files={"out/toolchain.json": json.dumps(here).encode()}))
    workers._check_toolchain(project, job._replace(toolchain=None))
    other = json.dumps({**here, "torch": "1.0", "optimum-x": "2.0"}).encode()
    with pytest.raises(workers.Failed) as failed:
        workers._check_toolchain(project, job._replace(files={"out/toolchain.json": other}))
    assert f"torch {here['torch']} (there 1.0)" in str(failed.value)
    assert "optimum-x missing (there 2.0)" in str(failed.value)
    assert "numpy" not in str(failed.value)


def test_no_log_and_no_error_has_the_secrets_of_an_address(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, log = "https://builder:s3cret@pass@127.0.0.1:1/org/models.git", workers.Log()
    with pytest.raises(workers.Failed):
        log.run(project, "git", "clone", address, "clone")
    monkeypatch.chdir(project)
    with pytest.raises(FoundryError) as failed:
        driver.git("fetch", address)
    for text in (log.text, str(failed.value)):
        assert "https://***@127.0.0.1:1/org/models.git" in text
        assert "s3cret" not in text
        assert "builder" not in text
        assert "pass@" not in text
    # What has no secret stays as it is.
    plain = "$ git clone git@example.org:a/b.git; see https://example.org/a@b and a@b.c"
    assert workers.redacted(plain) == plain
