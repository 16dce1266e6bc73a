"""What a machine of the cluster does for one stage: a clone at the driver's revision, `dvc repro` of that stage alone,
and everything that came of it pushed to the remote.

Ray sends this file's code to the machines, so it imports nothing of the project.
"""

import ctypes
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

LOCK = "dvc.lock"
PRINT_TOOLCHAIN = "import json; from foundry.base import packages; print(json.dumps(packages.toolchain()))"
# Up to the last @ before the path: a password may hold one, too.
USER_IN_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/'\"]+@")


class Job(NamedTuple):
    """What a machine needs to know to run one stage."""

    stage: str
    inputs: tuple[str, ...]  # stages whose outputs are fetched first
    uncached: tuple[str, ...]  # outputs of `stage` that DVC does not keep
    git: str  # where to clone from
    revision: str
    lock: dict[str, object]  # entries of dvc.lock for `inputs`
    files: dict[str, bytes]  # what stages before it have written and DVC does not keep
    toolchain: str | None  # which of them has the versions of the driver's libraries
    cache: str | None  # DVC's cache, where the driver's machine is the only one; nothing is pulled or pushed then


class Result(NamedTuple):
    """What came of a job."""

    ended_well: bool
    machine: str
    seconds: float  # of the whole job
    stage_seconds: float  # of `dvc repro` alone
    log: str
    entry: object  # of dvc.lock
    files: dict[str, bytes]  # outputs that DVC does not keep


class Failed(Exception):
    """A command that did not end well."""


class Board:
    """Where jobs note that they have begun: Ray shows what was submitted, not what runs."""

    def __init__(self) -> None:
        self.begun: dict[str, str] = {}  # Ray's name of the machine, by stage

    def begin(self, stage: str, node: str) -> None:
        """Note that a stage has begun on a machine."""
        self.begun[stage] = node

    def forget(self, stage: str) -> None:
        """Remove the note of a stage."""
        self.begun.pop(stage, None)

    def all(self) -> dict[str, str]:
        """Ray's name of the machine of each stage that has begun."""
        return self.begun


def work(job: Job, board: Any, root: Path | None = None) -> Result:
    """Run one stage in a clone below `root`; `board` is an actor of that class."""
    import ray

    _end_with_parent()
    board.begin.remote(job.stage, ray.get_runtime_context().get_node_id())
    # Ray gives a process as many threads as the task has processors. A stage takes what there is: with another number
    # of threads, torch adds up in another order, and the bytes of what it writes are others.
    os.environ.pop("OMP_NUM_THREADS", None)
    # DVC, as installed beside Ray.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if root is None:
        key = hashlib.sha256(job.git.encode()).hexdigest()[:12]
        shared = Path(tempfile.gettempdir()) / f"embedding-foundry-{os.getuid()}" / key
        root = Path(job.git) / ".dvc/tmp/cluster/clones" if job.cache else shared  # beside the cache, to link from it
    began, log = time.monotonic(), Log()
    try:
        with _free_folder(root) as folder:
            _forget_killed(folder / ".dvc/tmp/rwlock")
            try:
                _fresh_clone(folder, job, root / "cache", log)
            except Failed:  # an earlier job was killed there
                shutil.rmtree(folder, ignore_errors=True)
                _fresh_clone(folder, job, root / "cache", log)
            _check_toolchain(folder, job)
            stage_seconds = _reproduce(folder, job, log)
            entry = yaml.safe_load((folder / LOCK).read_text(encoding="utf-8"))["stages"][job.stage]
            files = {name: (folder / name).read_bytes() for name in job.uncached}
    except (Failed, OSError) as error:
        log.add(str(error))
        return Result(False, socket.gethostname(), time.monotonic() - began, 0, log.text, None, {})
    return Result(True, socket.gethostname(), time.monotonic() - began, stage_seconds, log.text, entry, files)


def redacted(text: str) -> str:
    """A text in which addresses (`https://user:token@host/...`) have no user and no password."""
    return USER_IN_ADDRESS.sub(r"\1***@", text)


class Log:
    """The commands of a job, and all that they wrote."""

    def __init__(self) -> None:
        self.text = ""

    def add(self, text: str) -> None:
        """Add lines to the log, without the secrets of an address in them."""
        self.text += redacted(text).rstrip() + "\n"

    def run(self, folder: Path, *command: str) -> None:
        """Run a command, and log it with all that it writes.

        Raises:
            Failed: when it does not end well.
        """
        self.add(f"$ {' '.join(command)}")
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            check=False, preexec_fn=_die_with_parent,
        )  # fmt: skip
        self.add(done.stdout)
        if done.returncode:
            raise Failed(f"{command[0]} ended with exit code {done.returncode}")


def _end_with_parent() -> None:
    """End this process when Ray's process on this machine has ended; a job under way would go on without it."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _die_with_parent() -> None:
    """Let the kernel end this process when the one that started it has ended (Linux); DVC ends its stages itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@contextmanager
def _free_folder(root: Path) -> Iterator[Path]:
    """A folder that no other job uses now; an earlier job may have left its clone there."""
    from filelock import FileLock, Timeout

    root.mkdir(parents=True, exist_ok=True)
    slot = 0
    while True:
        try:
            with FileLock(root / f"{slot}.lock", timeout=0):
                yield root / str(slot)
                return
        except Timeout:
            slot += 1


def _forget_killed(rwlock: Path, patience: float = 10) -> None:
    """Remove the lock that an earlier job's DVC left in the folder when it was killed.

    DVC takes over the lock of a process that does not exist. It does not take over that of a zombie: a process that has
    ended, but whose exit code nobody has read, as it may be for a while after its parent was killed.
    """
    import psutil

    def lives(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    if not rwlock.is_file():
        return
    holders = {int(pid) for pid in re.findall(r'"pid": (\d+)', rwlock.read_text(encoding="utf-8"))}
    end = time.monotonic() + patience
    while any(lives(pid) for pid in holders):
        if time.monotonic() > end:
            return  # DVC says who holds it
        time.sleep(0.1)
    rwlock.unlink()


def _fresh_clone(folder: Path, job: Job, cache: Path, log: Log) -> None:
    """Make `folder` a clone at the revision with nothing in it that was built, except DVC's own records."""
    if not (folder / ".git").is_dir():
        log.run(folder.parent, "git", "clone", "--quiet", "--no-checkout", job.git, folder.name)
    log.run(folder, "git", "fetch", "--quiet", "--force", job.git, "+refs/*:refs/fetched/*")
    log.run(folder, "git", "checkout", "--quiet", "--force", "--detach", job.revision)
    log.run(folder, "git", "clean", "-ffdxq", "--exclude=/.dvc")
    # One cache for all clones. `dvc config` would write the same, in a second.
    (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {job.cache or cache}\n", encoding="utf-8")


def _check_toolchain(folder: Path, job: Job) -> None:
    """Check that this machine builds with the libraries that dvc.lock will name.

    Raises:
        Failed: when it has others than the driver.
    """
    if job.toolchain is None:
        return
    done = subprocess.run(
        [sys.executable, "-c", PRINT_TOOLCHAIN], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"the versions of this machine's libraries cannot be read: {done.stderr.strip()}")
    here, there = json.loads(done.stdout), json.loads(job.files[job.toolchain])
    if others := [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]:
        rows = ", ".join(f"{name} {here.get(name, 'missing')} (there {there.get(name, 'missing')})" for name in others)
        raise Failed(f"this machine has other libraries than the one that started the run: {rows}")


def _reproduce(folder: Path, job: Job, log: Log) -> float:
    """Fetch what the stage needs, run it, share what came of it; how many seconds the middle part took."""
    lock = {"schema": "2.0", "stages": job.lock}
    (folder / LOCK).write_text(yaml.safe_dump(lock, sort_keys=False), encoding="utf-8")
    for name, content in job.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    if job.inputs:
        log.run(folder, "dvc", "checkout" if job.cache else "pull", "--force", *job.inputs)
    began = time.monotonic()
    log.run(folder, "dvc", "repro", *([] if job.cache else ["--pull"]), "--single-item", job.stage)
    seconds = time.monotonic() - began
    if not job.cache:
        log.run(folder, "dvc", "push", "--run-cache", job.stage)
    return seconds
