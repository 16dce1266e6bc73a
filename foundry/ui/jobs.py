"""Runs of the pipeline that outlive the browser and the server: each is a process of its own, with its files on disk.

A run holds the lock of its workspace from before it starts until it has ended, so that a second click, or a second
server, starts nothing twice; the kernel frees the lock when the process ends, however it ends. A change of settings
holds that lock, too. What a run alone holds is a second one, by which runs of a shared host are counted.
"""

import contextlib
import itertools
import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypedDict

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.ui import leftovers, limits, locks, workspaces
from foundry.ui.workspaces import Workspace

STOP = "stop"  # a file in a job's folder: somebody asked for it to be stopped
RECORD, LOG, EVENTS = "job.json", "log.txt", "events.jsonl"
NAME = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{8}")


class Record(TypedDict, total=False):
    """job.json"""

    command: list[str]
    what: str  # for people
    started: float  # seconds since 1970, as all times here
    ended: float | None
    exit_code: int | None
    stopped: bool
    most_bytes: int | None  # that the workspace's folder may hold while it runs; None: as many as there is room for
    most_seconds: float | None  # that it may take; None: as many as it needs
    why_stopped: str  # a line for people, where nobody asked for the stop
    shared: bool  # on a host that others use, too: its end is recorded as a version
    not_recorded: str  # why it could not be


class Job(NamedTuple):
    """A run, and whether it runs now."""

    folder: Path
    record: Record
    running: bool


class Event(TypedDict):
    """A line of events.jsonl: something happened to a stage, at a place in the log."""

    stage: str
    state: str  # running, cached, done, failed, blocked
    at: float
    offset: int  # in bytes


def start(workspace: Workspace, command: Sequence[str], what: str, prepare: Callable[[], object] = lambda: None) -> Job:
    """Start a command in the workspace, detached from this process.

    Args:
        prepare: Is called when the lock is held, so that the command finds just the settings that this wrote.

    Raises:
        FoundryError: when one runs already, or on a shared host too many.
    """
    workspaces.require_quota(workspace)
    workspace.state.mkdir(parents=True, exist_ok=True)
    with locks.held(workspace, locks.WORK) as lock, locks.held(workspace, locks.RUN) as runs:
        if lock is None or runs is None:
            raise FoundryError("something runs here already: wait until it has ended, or stop it")
        _require_turn(workspace)
        _end_leftovers(workspace)
        prepare()
        now = datetime.now(UTC)
        # Two runs of one second are sorted, too, by their microseconds.
        name = f"{now:%Y%m%dT%H%M%S}-{now.microsecond:05x}{secrets.token_hex(2)[1:]}"
        folder = workspace.state / "jobs" / name
        record: Record = {
            "command": list(command), "what": what, "started": time.time(), "ended": None, "exit_code": None,
            "stopped": False, "most_bytes": limits.FOLDER_BYTES if workspace.shared else None,
            "most_seconds": workspace.most_seconds, "shared": workspace.shared,
        }  # fmt: skip
        files.write_json(folder / RECORD, record)
        (folder / LOG).touch()
        (folder / EVENTS).touch()
        # The token, if there is one, is in the environment alone. The runner inherits the locks.
        subprocess.Popen(
            [sys.executable, "-m", "foundry.ui.runner", str(folder), str(lock), str(runs)], cwd=workspace.root,
            env=workspace.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, pass_fds=(lock, runs),
        )  # fmt: skip
        return Job(folder, record, True)


@contextlib.contextmanager
def idle(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace's lock, so that nothing starts, and nobody else changes settings, in the meantime.

    Raises:
        FoundryError: when something runs.
    """
    with locks.held(workspace, locks.WORK) as lock:
        if lock is None:
            raise FoundryError("something runs here: change settings when it has ended, or stop it first")
        _end_leftovers(workspace)
        yield


def _end_leftovers(workspace: Workspace) -> None:
    """End what the last run left behind where it was killed.

    Raises:
        FoundryError: when something of it sends to the Hub, because half of that would be there then.
    """
    job = latest(workspace)
    if job is not None and job.record["ended"] is None:
        with locks.sending(workspace):
            leftovers.end(job.folder.name)


def is_running(workspace: Workspace) -> bool:
    """Whether a run, or a change of settings, goes on."""
    return locks.is_held(workspace, locks.WORK)


def _require_turn(workspace: Workspace) -> None:
    """Check that on a shared host not too many runs of others go on.

    Of two that start at once, each sees the lock that the other holds already, so that no more start than may. Who
    changes settings, as `foundry add` does, takes no place of a run.

    Raises:
        FoundryError: when too many do.
    """
    if not workspace.shared:
        return
    folders = (path for path in workspace.root.parent.iterdir() if path != workspace.root and path.is_dir())
    if (count := sum(locks.is_held(Workspace(path), locks.RUN) for path in folders)) >= limits.RUNS:
        raise FoundryError(f"{count} runs of others go on here, and no more are allowed at once: try again later")


def every(workspace: Workspace) -> list[Path]:
    """The folders of the runs there were, the latest last."""
    folder = workspace.state / "jobs"
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name)) if folder.is_dir() else []


def latest(workspace: Workspace) -> Job | None:
    """The run that goes on, or the last one; None where there was none."""
    running = is_running(workspace)  # before the record is read, which the run writes before it ends
    for folder in reversed(every(workspace)):
        if (record := read_record(folder)) is not None:
            return Job(folder, record, running and record["ended"] is None)
    return None


def read_record(folder: Path) -> Record | None:
    """What job.json says; None where it is not there."""
    try:
        record: Record = files.read_json(folder / RECORD)
    except (OSError, ValueError):
        return None
    return record


def stop(workspace: Workspace) -> bool:
    """Ask the run to stop; whether there was one. It goes on where it stopped when it is started again."""
    job = latest(workspace)
    if job is None or not job.running:
        return False
    (job.folder / STOP).touch()
    return True


def read_events(job: Job) -> list[Event]:
    """What happened to stages in a run, in order."""
    events: list[Event] = []
    for line in _lines(job.folder / EVENTS):
        with contextlib.suppress(ValueError):  # the last line may be half-written
            events.append(json.loads(line))
    return events


def in_turn(events: Sequence[Event], ended: float | None) -> Iterator[tuple[Event, Event | None, float | None]]:
    """Each event with the one that follows it, and when that was: after the last one, when the run `ended`."""
    for event, following in itertools.zip_longest(events, events[1:]):
        yield event, following, ended if following is None else following["at"]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def read_log(job: Job, stage: str | None = None) -> str:
    """The end of a run's log, of one stage where one is named; tokens do not stand in it."""
    path = job.folder / LOG
    if not path.is_file():
        return ""
    size = path.stat().st_size
    if stage is None:
        return _slice(path, 0, size)
    events = read_events(job)
    ends = [*(event["offset"] for event in events), size][1:]
    parts = [_slice(path, event["offset"], end) for event, end in zip(events, ends, strict=True)
             if event["stage"] == stage]  # fmt: skip
    return "".join(parts)


def _slice(path: Path, start: int, end: int) -> str:
    """The text between two places of a file, its end alone where it is long."""
    cut = max(start, end - limits.LOG_BYTES_SHOWN)
    with path.open("rb") as file:
        file.seek(cut)
        text = file.read(max(0, end - cut)).decode(errors="replace")
    return ("…" if cut > start else "") + text


def history(workspace: Workspace) -> dict[str, float]:
    """Seconds that each stage took when a run here last ran it."""
    seconds: dict[str, float] = {}
    for folder in every(workspace)[-10:]:
        record = read_record(folder)
        if record is None:
            continue
        for event, following, end in in_turn(read_events(Job(folder, record, False)), record["ended"]):
            failed = following is not None and following["state"] == "failed"
            if event["state"] == "running" and end is not None and not failed:
                seconds[event["stage"]] = end - event["at"]
    return seconds
