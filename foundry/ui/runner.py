"""The process that runs a job: it starts the command, keeps its log and what happens to stages, and stops it.

foundry/ui/jobs.py starts it as `python -m foundry.ui.runner FOLDER LOCK LOCK`. It needs nobody: neither a browser nor
the server that started it.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from foundry.base import files, lock_copy
from foundry.base.credentials import hidden
from foundry.base.errors import FoundryError
from foundry.tracking import recovery
from foundry.ui import limits, version_history, workspaces
from foundry.ui.jobs import EVENTS, LOG, RECORD, STOP, Event, Record
from foundry.ui.leftovers import RUN
from foundry.ui.workspaces import Workspace

# What DVC says of a stage, in any part of a line: what the stage before wrote may stand in front of it.
SAYS = {
    "running": re.compile(r"Running stage '([^']+)'"),
    "cached": re.compile(r"Stage '([^']+)' is cached"),
    "done": re.compile(r"Stage '([^']+)' didn't change"),
    "failed": re.compile(r"failed to reproduce '([^']+)'"),
}
# What it says where it goes on with others: of the stage that it named last, and of those that need it.
FAILED = re.compile(r"WARNING: failed to run: python -m stages\.")
BLOCKED = re.compile(r"Stages? (.+) will be skipped due to this failure")
NAMES = re.compile(r"'([^']+)'")
# How long a process may take to end after each signal.
SIGNALS = (
    (signal.SIGINT, limits.STOP_INTERRUPT_SECONDS),
    (signal.SIGTERM, limits.STOP_TERMINATE_SECONDS),
    (signal.SIGKILL, limits.STOP_KILL_SECONDS),
)
SENDING = "foundry.ui.sending"  # what publishes without being a stage of DVC's


def main(folder: Path, *locks: int) -> None:
    """Run the job of a folder to its end."""
    for lock in locks:
        os.set_inheritable(lock, False)  # it is this process's: what the command leaves behind does not keep it
    record: Record = files.read_json(folder / RECORD)
    lost = contextlib.suppress(FoundryError, OSError)  # which DVC then says itself, in the log
    with (folder / LOG).open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log), lost:
        recovery.recover()  # a run that was killed may have left a part of what DVC wrote
    child = subprocess.Popen(
        record["command"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, env={**os.environ, RUN: folder.name},
    )  # fmt: skip
    assert child.stdout is not None
    reader = threading.Thread(target=keep_log, args=(child.stdout, folder), daemon=True)
    reader.start()
    watch = quota_watch(Path.cwd(), record.get("most_bytes"))
    while child.poll() is None:
        if (folder / STOP).exists():
            record["stopped"] = True
            end(child)
            break
        if (why := overdue(record) or watch()) is not None:
            record["stopped"], record["why_stopped"] = True, why
            end(child)
            break
        time.sleep(limits.RUN_LOOK_SECONDS)
    code = child.wait()
    reader.join(timeout=5)  # something that the command left behind may still hold the pipe
    if why := record.get("why_stopped"):
        with (folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"error: stopped: {why}\n")
    ended: Record = {**record, "ended": time.time(), "exit_code": code}
    files.write_json(folder / RECORD, ended)
    if why := version_history.remember(Workspace(Path.cwd(), shared=record.get("shared", False)), record["what"]):
        files.write_json(folder / RECORD, {**ended, "not_recorded": why})


def overdue(record: Record) -> str | None:
    """Why a run has to end because it takes longer than it may; or None."""
    most = record.get("most_seconds")
    if most is None or time.time() < record["started"] + most:
        return None
    return f"a run may take {most / 3600:g} hours here, so that others have their turn; the next one goes on there"


def quota_watch(root: Path, most_bytes: int | None) -> Callable[[], str | None]:
    """What says, each time that it is asked, why a run has to end because its folder became too large; or None.

    It looks only now and then, and after a slow look more rarely: a folder may hold many files.
    """
    next_look = 0.0

    def watch() -> str | None:
        nonlocal next_look
        start = time.monotonic()
        if most_bytes is None or start < next_look:
            return None
        why = workspaces.too_full(root, most_bytes)
        next_look = start + max(limits.FOLDER_LOOK_SECONDS, 10 * (time.monotonic() - start))
        return why

    return watch


def keep_log(stream: IO[bytes], folder: Path) -> None:
    """Write what the command says to the log, without tokens, and what it says of stages to the events."""
    with (folder / LOG).open("ab") as log, (folder / EVENTS).open("a", encoding="utf-8") as events:
        last = ""
        for raw in lines(stream):
            line = hidden(raw.decode(errors="replace"))
            for event in events_in(line, log.tell(), last):
                last = event["stage"] if event["state"] == "running" else last
                events.write(json.dumps(event) + "\n")
                events.flush()
            log.write(line.encode())
            log.flush()


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream. Of one that is too long, only the end is kept, from where a word begins: half of a token
    would not be known as one."""
    while raw := stream.readline(limits.LOG_LINE_BYTES):
        cut = False
        while not raw.endswith(b"\n") and (more := stream.readline(limits.LOG_LINE_BYTES)):
            cut = cut or len(raw) + len(more) > limits.LOG_LINE_BYTES
            raw = (raw + more)[-limits.LOG_LINE_BYTES :]
        yield re.sub(rb"^\S*", "…".encode(), raw, count=1) if cut else raw


def events_in(line: str, offset: int, last: str = "") -> list[Event]:
    """What a line of DVC's output says of stages; `last` is the one that it said to run last."""
    found = [(match.start(), match[1], state) for state, form in SAYS.items() for match in form.finditer(line)]
    if last and (match := FAILED.search(line)):
        found.append((match.start(), last, "failed"))
    if match := BLOCKED.search(line):
        found += [(match.start(), name, "blocked") for name in NAMES.findall(match[1])]
    return [
        {"stage": stage, "state": state, "at": time.time(), "offset": offset}
        for _, stage, state in sorted(found, key=lambda row: row[0])
    ]


def end(child: subprocess.Popen[bytes]) -> None:
    """Stop the command and all that it started, as Ctrl-C in a terminal does, at a moment when dvc.lock is whole."""
    wait_until_safe(child)
    for number, seconds in SIGNALS:
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        if number == signal.SIGINT:  # what the command itself started ends with DVC, and shortly after it
            time.sleep(limits.RUN_LOOK_SECONDS)
        _kill_rest(child.pid)
        return


def _kill_rest(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_until_safe(child: subprocess.Popen[bytes]) -> None:
    """Wait until a stage is at work: DVC writes dvc.lock between two stages, and never while one runs."""
    deadline = time.monotonic() + limits.STOP_SAFE_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        if is_stage_at_work(child.pid) and is_whole():
            return
        time.sleep(0.02)


def is_whole() -> bool:
    """Whether dvc.lock, if there is one, has its end."""
    try:
        content = lock_copy.LOCK.read_bytes()
    except OSError:
        return True
    return content.endswith(b"\n")


def is_stage_at_work(pid: int) -> bool:
    """Whether one of the processes below this one is a stage."""
    import psutil

    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return False
    for process in below:
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "-m" in words and any(word.startswith("stages.") or word == SENDING for word in words):
            return True
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
