"""Processes that have the libraries of a backend already, and fork a child for every measurement.

Importing the libraries costs more than most measurements. So one process for each backend imports them, and forks a
child for each call: the child has fresh memory that is all given back, one variant is in memory at a time, and one that
crashes or is killed takes nothing with it.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from foundry.base import command
from foundry.loading import loader


class MeasurementFailed(Exception):
    """A variant did not load, crashed, or was killed; the text says which."""


class ForkServer:
    """A process that has imported what a backend needs, and forks a child for each call."""

    def __init__(self, backend: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, child_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(child_end, backend), daemon=False)
        self._process.start()
        child_end.close()

    def call(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        """The function's result, from a child that is killed after so many seconds.

        Raises:
            MeasurementFailed: with what the function raised, or the signal that ended the child.
        """
        try:
            self._connection.send((function, arguments, seconds))
            ok, value = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self._process.join()
            reason = _how_it_ended(self._process.exitcode)
            raise MeasurementFailed(f"its libraries cannot be imported: {reason}") from error
        if not ok:
            raise MeasurementFailed(value)
        return value

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()


class ForkServers:
    """One fork server for each backend, started when it is first needed; a context manager, which closes them."""

    def __init__(self) -> None:
        self._servers: dict[str, ForkServer] = {}

    def __enter__(self) -> "ForkServers":
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.close()

    def for_backend(self, backend: str) -> ForkServer:
        """The server of `torch`, `onnx` or `openvino`, or of `foundry_runtime.onnx` and the like."""
        if backend not in self._servers:
            self._servers[backend] = ForkServer(backend)
        return self._servers[backend]


def _serve(connection: Connection, backend: str) -> None:
    """The server's own loop: import, then fork a child for each call, until the other side closes."""
    import gc
    import importlib

    from foundry_runtime.choice import RUNTIMES

    command.prepare_process()
    runner, _, of_runtime = backend.rpartition(".")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # by all threads, as where nobody says otherwise
    for library in (runner, RUNTIMES[of_runtime]) if runner else loader.libraries(backend):
        importlib.import_module(library)
    gc.freeze()  # Or the first collection in a child would copy every page.
    fork = multiprocessing.get_context("fork")
    while True:
        try:
            function, arguments, seconds = connection.recv()
        except EOFError:
            return
        with tempfile.TemporaryFile() as log:
            parent_end, child_end = fork.Pipe(duplex=False)
            child = fork.Process(target=_run, args=(child_end, log.fileno(), function, arguments))
            child.start()
            child_end.close()
            connection.send(_await(parent_end, child, seconds, log))
            parent_end.close()


def _await(connection: Connection, child: Any, seconds: float, log: Any) -> tuple[bool, Any]:
    """Whether the child gave a result in time, and the result, or why there is none."""
    if not connection.poll(seconds):
        child.kill()
        child.join()
        return False, f"it did not end within {seconds:.0f} s"
    try:
        answer: tuple[bool, Any] = connection.recv()
    except EOFError:
        child.join()
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
        return False, _how_it_ended(child.exitcode) + (f": {lines[-1][:300]}" if lines else "")
    child.join()
    return answer


def _run(connection: Connection, log: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """The child: what libraries print goes to a log, whose last line explains a crash."""
    sys.stdout.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        connection.send((True, function(*arguments)))
    except loader.load_errors() as error:
        connection.send((False, f"{type(error).__name__}: {error}".splitlines()[0][:500]))


def _how_it_ended(exit_code: int | None) -> str:
    """How a process ended, in words."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"ended with exit code {exit_code}"
