"""Runs: one at a time, on disk, detached; what DVC says becomes events, and no token becomes a log."""

import io
import threading
import time
from pathlib import Path

import psutil
import pytest

from foundry.base.errors import FoundryError
from foundry.ui import jobs, leftovers, limits, locks, runner, short_commands
from foundry.ui.workspaces import Workspace
from tests.support.runs import wait

OUTPUT = """Running stage 'configure':
> python -m stages.configure params.yaml artifacts/settings
1 models
Stage 'download@m' didn't change, skipping
Stage 'sample@m' is cached - skipping run, checking out outputs
Running stage 'export@m-onnx':
error: no
WARNING: failed to run: python -m stages.export onnx a b c, exited with 1
WARNING: Stages 'report' and 'publish@m' will be skipped due to this failure
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A folder in which commands run; the code is that of this working tree."""
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{Path(__file__).parents[2] / 'runtime'}")
    return Workspace(tmp_path)


def test_one_run_at_a_time_with_its_log_and_its_end_on_disk(workspace: Workspace) -> None:
    assert jobs.latest(workspace) is None
    assert not jobs.is_running(workspace)
    jobs.start(workspace, ["sh", "-c", "echo hello; sleep 3; exit 3"], "a trial")
    assert jobs.is_running(workspace)
    with pytest.raises(FoundryError, match="runs here already"):
        jobs.start(workspace, ["true"], "another")
    job = wait(workspace)
    assert (job.record["exit_code"], job.record["stopped"], job.running) == (3, False, False)
    assert job.record["ended"] is not None
    assert jobs.read_log(job) == "hello\n"
    assert len(jobs.every(workspace)) == 1


def test_a_stop_ends_all_that_the_run_started(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    command = f"exec -a x python -c 'import time; time.sleep(1000)' & echo $! > {workspace.root}/pid; "
    command += (
        "python -c 'import time; time.sleep(1000)' -m stages.x; true"  # looks like a stage: a moment that is safe
    )
    jobs.start(workspace, ["bash", "-c", command], "a trial")
    while not (workspace.root / "pid").exists():
        time.sleep(0.05)
    assert jobs.stop(workspace)
    job = wait(workspace)
    assert job.record["stopped"]
    assert not jobs.stop(workspace)
    time.sleep(0.3)
    left = psutil.pid_exists(pid := int((workspace.root / "pid").read_text()))
    assert not left or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("what", ["a run", "a change of settings", "a run while something sends"])
def test_what_a_killed_run_left_ends_before_anything_else(workspace: Workspace, what: str) -> None:
    job = jobs.start(workspace, ["sh", "-c", "sleep 1000 & setsid sleep 1000 & sleep 1000"], "a trial")
    deadline = time.monotonic() + 20
    while len(leftovers.processes(job.folder.name)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parents = {process.parent() for process in leftovers.processes(job.folder.name)}
    (started_by,) = [parent for parent in parents if parent and str(job.folder) in parent.cmdline()]
    started_by.kill()
    started_by.wait(20)
    left = leftovers.processes(job.folder.name)
    assert len(left) == 4
    if what == "a run while something sends":
        with locks.sending(workspace), pytest.raises(FoundryError, match="a run that was killed here still sends"):
            jobs.start(workspace, ["true"], "another")
        assert len(leftovers.processes(job.folder.name)) == 4
    if what == "a run":
        jobs.start(workspace, ["true"], "another")
        assert wait(workspace).record["exit_code"] == 0
    else:
        with jobs.idle(workspace):
            pass
    psutil.wait_procs(left, timeout=20)
    assert leftovers.processes(job.folder.name) == []


def test_what_the_run_leaves_behind_does_not_keep_the_lock(workspace: Workspace) -> None:
    jobs.start(workspace, ["sh", "-c", "setsid sleep 20 >/dev/null 2>&1 &"], "a trial")
    assert wait(workspace, 10).record["exit_code"] == 0


def test_a_token_is_in_no_file_of_a_run(workspace: Workspace) -> None:
    token = "hf_" + "t" * 34
    with_token = Workspace(workspace.root, shared=True, token=token)
    jobs.start(with_token, ["sh", "-c", "echo the token is $HF_TOKEN"], "a trial")
    job = wait(with_token)
    assert "the token is [" in jobs.read_log(job)
    for path in workspace.root.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path


def test_on_a_shared_host_only_so_many_run_at_once(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RUNS", 1)
    one, other = (Workspace(tmp_path / name, shared=True) for name in ("one", "other"))
    for user in (one, other):
        user.root.mkdir()
    jobs.start(one, ["sleep", "3"], "a trial")
    with pytest.raises(FoundryError, match="try again later"):
        jobs.start(other, ["true"], "another")
    wait(one)
    jobs.start(other, ["true"], "another")
    wait(other)


def test_a_change_of_settings_takes_no_place_of_a_run(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`foundry add` is short: it neither waits for runs of others nor keeps them waiting."""
    monkeypatch.setattr(limits, "RUNS", 1)
    adding, running = (Workspace(tmp_path / name, shared=True) for name in ("adding", "running"))
    for user in (adding, running):
        user.root.mkdir()
    with jobs.idle(adding):
        jobs.start(running, ["sleep", "3"], "a trial")
    with jobs.idle(adding):
        pass
    with pytest.raises(FoundryError, match="try again later"):
        jobs.start(adding, ["true"], "another")
    wait(running)
    jobs.start(adding, ["true"], "another")
    wait(adding)


def test_a_run_that_takes_too_long_is_stopped_with_a_line(workspace: Workspace, tmp_path: Path) -> None:
    user = Workspace(tmp_path / "user", shared=True, most_seconds=1.8)
    user.root.mkdir()
    jobs.start(user, ["sh", "-c", "python -c 'import time; time.sleep(1000)' -m stages.x; true"], "a trial")
    job = wait(user)
    assert job.record["stopped"]
    assert job.record["why_stopped"].startswith("a run may take 0.0005 hours here")
    assert jobs.read_log(job).splitlines()[-1] == f"error: stopped: {job.record['why_stopped']}"


def test_settings_are_written_and_the_run_starts_under_one_lock(workspace: Workspace) -> None:
    """No other click comes between: what the run finds is what was written for it."""
    settings = workspace.root / "settings"

    def prepare() -> None:
        settings.write_text("mine")
        with pytest.raises(FoundryError, match="runs here already"):
            jobs.start(workspace, ["true"], "another", lambda: settings.write_text("theirs"))
        with pytest.raises(FoundryError, match="change settings when"), jobs.idle(workspace):
            settings.write_text("theirs")

    jobs.start(workspace, ["cat", "settings"], "a trial", prepare)
    assert jobs.read_log(wait(workspace)) == "mine"
    assert len(jobs.every(workspace)) == 1


def test_nothing_starts_while_settings_are_changed(workspace: Workspace) -> None:
    with jobs.idle(workspace), pytest.raises(FoundryError, match="runs here already"):
        jobs.start(workspace, ["true"], "a trial")
    jobs.start(workspace, ["true"], "a trial")
    wait(workspace)


def test_what_cannot_be_prepared_is_not_started(workspace: Workspace) -> None:
    def prepare() -> None:
        raise FoundryError("no")

    with pytest.raises(FoundryError, match="no"):
        jobs.start(workspace, ["true"], "a trial", prepare)
    assert jobs.every(workspace) == []
    assert not jobs.is_running(workspace)


def test_a_run_that_fills_its_folder_is_stopped_with_a_line(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOLDER_BYTES", 1_000_000)
    user = Workspace(tmp_path / "user", shared=True)
    user.root.mkdir()
    fill = "open('large', 'wb').write(b'x' * 2_000_000); import time; time.sleep(1000)"
    jobs.start(user, ["sh", "-c", f'python -c "{fill}" -m stages.x; true'], "a trial")
    job = wait(user)
    assert job.record["stopped"]
    assert "are allowed here: remove a model" in job.record["why_stopped"]
    assert jobs.read_log(job).splitlines()[-1] == f"error: stopped: {job.record['why_stopped']}"


def test_a_user_asks_for_one_thing_at_a_time(workspace: Workspace) -> None:
    """Short commands share the server's few workers: one user does not take all of them."""
    user = workspace._replace(shared=True)
    command = ["timeit", "-n", "1", "-r", "1"]
    slow = threading.Thread(target=short_commands.run, args=(user, [*command, "__import__('time').sleep(5)"]))
    slow.start()
    time.sleep(1.5)
    with pytest.raises(FoundryError, match="is not done yet"):
        short_commands.run(user, [*command, "1"])
    slow.join()
    assert "loop" in short_commands.run(user, [*command, "1"])


def test_nothing_starts_on_a_disk_that_is_nearly_full(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DISK_FREE_BYTES", 10**18)
    with pytest.raises(FoundryError, match="nearly full"):
        jobs.start(workspace._replace(shared=True), ["true"], "a trial")
    assert jobs.every(workspace) == []


def test_what_dvc_says_of_stages() -> None:
    events, last = [], ""
    for number, line in enumerate(OUTPUT.splitlines(keepends=True)):
        for event in runner.events_in(line, number, last):
            last = event["stage"] if event["state"] == "running" else last
            events.append((event["stage"], event["state"], event["offset"]))
    assert events == [
        ("configure", "running", 0), ("download@m", "done", 3), ("sample@m", "cached", 4),
        ("export@m-onnx", "running", 5), ("export@m-onnx", "failed", 7), ("report", "blocked", 8),
        ("publish@m", "blocked", 8),
    ]  # fmt: skip


def test_of_a_long_line_the_end_is_kept_without_half_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOG_LINE_BYTES", 40)
    token = "hf_" + "t" * 34
    written = f"short\n{'x' * 100} {token} Running stage 'a':\n{'y' * 100}\n{' ' * 50}\nlast"
    kept = [line.decode() for line in runner.lines(io.BytesIO(written.encode()))]
    assert kept == ["short\n", "… Running stage 'a':\n", "…\n", f"…{' ' * 39}\n", "last"]


def test_the_log_of_a_stage_is_its_part_of_the_whole(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "output").write_text(OUTPUT)
    jobs.start(workspace, ["cat", str(tmp_path / "output")], "a trial")
    job = wait(workspace)
    assert jobs.read_log(job, "configure") == "\n".join(OUTPUT.splitlines()[:3]) + "\n"
    assert jobs.read_log(job, "export@m-onnx").startswith("Running stage 'export@m-onnx'")
    assert "error: no" in jobs.read_log(job, "export@m-onnx")
    assert jobs.read_log(job, "../../x") == ""


def test_the_error_of_a_command_is_its_one_line(workspace: Workspace) -> None:
    with pytest.raises(FoundryError, match="no name for a model") as caught:
        short_commands.run(workspace, ["foundry", "add", "--", "a.b", "x"])
    assert "Traceback" not in str(caught.value)
    with pytest.raises(FoundryError, match="took more than"):
        short_commands.run(workspace, ["timeit", "-n", "1", "import time; time.sleep(9)"], seconds=0.5)
