"""The server of `import_client`: it imports libraries, then forks a guard for each stage, which forks the stage."""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from foundry.base import command, import_client, surroundings
from foundry.base.exit_codes import exit_code
from foundry.base.import_client import BEGUN, STREAMS

IDLE_SECONDS = 120.0  # longer than what DVC does between two validations


def serve(address: str, dvc_pid: int, libraries: Sequence[str]) -> socket.socket | None:
    """Import the libraries, and fork for each call until DVC ends or nothing calls; give a guard its connection."""
    import psutil

    dvc = psutil.Process(dvc_pid)
    gc.disable()
    for name in libraries:
        importlib.import_module(name)
    gc.freeze()  # Or the first collection in a fork would copy every page.
    gc.enable()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{address}.{os.getpid()}")
    listener.listen(64)
    Path(f"{address}.{os.getpid()}").rename(address)
    last_call, guards = time.monotonic(), 0
    try:
        while dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    guards, last_call = guards - 1, time.monotonic()
            if guards == 0 and time.monotonic() - last_call > IDLE_SECONDS:
                break
            if select.select([listener], [], [], 0.5)[0]:
                connection, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    return connection
                connection.close()
                guards += 1
    except psutil.NoSuchProcess:
        pass
    Path(address).unlink(missing_ok=True)
    return None


def guard(connection: socket.socket) -> tuple[list[str], str, dict[str, str]]:
    """Fork the stage, which returns its words, folder and environment; wait for it here, and tell the caller its code.

    When the caller ends first, the stage is ended.
    """
    header, streams, _, _ = socket.recv_fds(connection, 8, len(STREAMS))
    content = connection.recv(int.from_bytes(header, "big"), socket.MSG_WAITALL)
    if len(streams) != len(STREAMS):
        os._exit(1)
    words, folder, environment = json.loads(content)
    connection.sendall(BEGUN)
    ended, alive = os.pipe()  # the stage has `alive` for as long as it lives
    stage = os.fork()
    if stage == 0:
        surroundings.die_with_parent()
        os.close(ended)
        connection.close()
        for number, stream in zip(STREAMS, streams, strict=True):
            os.dup2(stream, number)
            os.close(stream)
        return words, folder, environment
    os.close(alive)
    if ended not in select.select([connection.fileno(), ended], [], [])[0]:
        os.kill(stage, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(stage, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall((code if code >= 0 else 128 - code).to_bytes(4, "big"))
    os._exit(0)


def run_stage(words: list[str], folder: str, environment: dict[str, str]) -> NoReturn:
    """Be `python -m` with these words, in that folder and environment."""
    import_client.is_fork = True
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = words
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    finally:
        _end(sys.exception())


def _end(error: BaseException | None) -> NoReturn:
    """End this process as the interpreter does, but for what libraries do last: ONNX Runtime and OpenVINO wait for
    threads of theirs, which only the server has."""
    code = exit_code(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    command.prepare_process()
    # The runtime of this project, whose files the stages depend on, and not that of another clone which is installed.
    sys.path.insert(1, str(Path.cwd() / "runtime"))
    caller = serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
    if caller is not None:
        run_stage(*guard(caller))
