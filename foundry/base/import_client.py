"""Stages as forks of a process that has imported the libraries: one import for all stages of a `dvc repro`.

Importing the libraries that run a variant takes half of the time of a `validate`, and there is one for each variant. So
the first of them starts a server that imports the libraries, and each, the first included, hands its command line,
folder and standard streams to the server and is the fork that runs it: it waits, and ends with the fork's exit code.
A fork imports the project's own modules itself, from the caller's folder, as `python -m` does.

    dvc ── python -m stages.validate   (waits)
                    │ Unix socket
           server ──┴─ guard ── fork, which is the stage

Nothing of one fork reaches another, and the server computes nothing. A stage that is killed, or whose DVC is, takes its
fork with it: the guard ends the fork when the connection closes. The server ends with DVC, or when nothing asked for it
for a while, as during the benchmark. It serves one DVC, one folder and one environment. Where any of this is not to be
had (no Linux, no DVC, no folder for the socket, libraries that do not load), the stage runs in its own process.
"""

import array
import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

START_SECONDS = 300.0
LONGEST_ADDRESS = 100  # Linux takes 107 bytes for the address of a socket
STREAMS = (0, 1, 2)
# What DVC and shells set anew for each command; libraries read none of it.
OF_ONE_COMMAND = {"DVC_STAGE", "PWD", "OLDPWD", "SHLVL", "_"}
# What the server says when it has begun, before the exit code; without it, the stage has not run.
BEGUN = b"b"

is_fork = False  # set in a fork: the stage is to run there


def hand_over(libraries: Sequence[str], dvc: Any) -> None:
    """Run this process's command in a fork of the server, and end with its exit code; return where there is none.

    Args:
        libraries: What the server imports, in this order.
        dvc: The process of DVC (psutil's).
    """
    spec = sys.modules["__main__"].__spec__
    if spec is None or sys.platform != "linux" or all(name in sys.modules for name in libraries):
        return
    address = _address(dvc, libraries)
    connection = address and (_connect(address) or _start(address, dvc, libraries))
    if not connection:
        return
    name = spec.name.removesuffix(".__main__")
    content = json.dumps([[name, *sys.argv[1:]], str(Path.cwd()), dict(os.environ)]).encode()
    try:
        streams = array.array("i", STREAMS)
        connection.sendmsg([len(content).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        connection.sendall(content)
        if connection.recv(1) != BEGUN:
            return
    except OSError:
        return
    code = connection.recv(4, socket.MSG_WAITALL)
    os._exit(int.from_bytes(code, "big") if len(code) == 4 else 128 + signal.SIGKILL)


def _address(dvc: Any, libraries: Sequence[str]) -> str | None:
    """Where the server of this DVC, folder and environment listens: in a folder of this user's alone, or nowhere."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_ONE_COMMAND}
    key = [dvc.pid, dvc.create_time(), str(Path.cwd()), sys.executable, list(libraries), environment]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"foundry-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return None
    is_private = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o077
    address = str(folder / digest)
    return address if is_private and len(address.encode()) <= LONGEST_ADDRESS else None


def _connect(address: str) -> socket.socket | None:
    """A connection to the server, or None where none listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        return None
    return connection


def _start(address: str, dvc: Any, libraries: Sequence[str]) -> socket.socket | None:
    """A connection to a new server, or None where its libraries do not load: the stage itself will say why."""
    words = [sys.executable, "-m", "foundry.base.import_server", address, str(dvc.pid), *libraries]
    # Of its own session, so that Ctrl-C reaches the stage alone; and without the streams of DVC, which would stay open.
    server = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < end:
        if connection := _connect(address):
            return connection
        time.sleep(0.02)
    return None
