"""Any error as one line on standard error and an exit code; only the standard library is needed to import this.

That counts where memory is short, or a library of the environment is missing: then little else can be imported.
"""

import contextlib
import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from foundry.base.credentials import hidden

LOGS = Path("artifacts/logs")
# How Python, C++, the loader, torch, ONNX Runtime and OpenVINO say that memory or address space has run out.
OUT_OF_MEMORY = (
    "bad_alloc", "bad allocation", "cannot allocate memory", "can't allocate memory", "failed to allocate memory",
    "failed to map segment", "not enough memory", "out of memory",
)  # fmt: skip
NO_THREAD = ("can't start new thread", "thread creation failed", "pthread_create", "resource temporarily unavailable")
# How the loader says that a library is not there, or is of another system.
NOT_LOADED = (
    "shared object", "undefined symbol", "elf class", "elf header", "glibc", "static tls", "dll load failed",
    "image not found", "library not loaded",
)  # fmt: skip


def explain(error: BaseException) -> str:
    """An error that is no `FoundryError`, in one line. For a defect of this project, a log is written, too."""
    if isinstance(error, OSError) and error.errno not in (None, errno.ENOMEM, errno.EAGAIN):
        # Without a number, it is an error class of some library.
        paths = " -> ".join(str(path) for path in (error.filename, error.filename2) if path is not None)
        advice = ". Free some space and run again; nothing half-written was left" if is_disk_full(error) else ""
        return f"{error.strerror or type(error).__name__}{f': {paths}' if paths else ''}{advice}"
    for part in chain(error):
        if (line := explain_surroundings(part)) is not None:
            return line
    try:
        where = f"The traceback: {write_log(error)}"
    except OSError as full:
        where = f"Its traceback could not be kept: {full.strerror}"
    return f"{type(error).__name__}: {first_line(error).rstrip('.')}. {where}"


def explain_surroundings(error: BaseException) -> str | None:
    """What this machine or environment lacks, in one line; None where the error does not say that it lacks anything."""
    line, text = first_line(error).rstrip("."), str(error).lower()
    # Where a file system forbids to execute files, the loader may not map them: no memory is lacking then.
    if isinstance(error, MemoryError) or (
        any(words in text for words in OUT_OF_MEMORY) and "not permitted" not in text
    ):
        return f"not enough memory ({type(error).__name__}: {line}). {memory_advice()}"
    if isinstance(error, RuntimeError | OSError) and any(words in text for words in NO_THREAD):
        return f"no thread or process can be started ({line}). `ulimit -u` limits their number. {memory_advice()}"
    if isinstance(error, ModuleNotFoundError):
        if (error.name or "").partition(".")[0] in ("foundry", "stages"):
            return None
        return f"the package {error.name} is not installed here: `make .venv/installed` sets the environment up"
    if isinstance(error, ImportError | OSError) and any(words in text for words in NOT_LOADED):
        return (
            f"a library cannot be loaded: {line}. Install what is named, or set the environment up again (remove .venv)"
        )
    return None


def memory_advice() -> str:
    """What to do where memory has run out."""
    limit_bytes = address_space_limit()
    if limit_bytes is None:
        return "Close other programs, or take a machine with more memory"
    return f"The address space is limited to {limit_bytes / 1e6:,.0f} MB (`ulimit -v`): raise that limit"


def address_space_limit() -> int | None:
    """How many bytes of address space this process may have; None where that is not limited."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limit_bytes = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit_bytes == resource.RLIM_INFINITY else limit_bytes


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, what that was raised from, and so on."""
    part: BaseException | None = error
    while part is not None:
        yield part
        part = part.__cause__ or part.__context__


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")


def write_log(error: BaseException) -> Path:
    """Write an error's traceback to a new file below artifacts, or a temporary one where there is no such folder."""
    # A stage's file is named `export-...`, a command's `foundry-audit-...`.
    program, *arguments = command_line()
    name = f"foundry-{arguments[0]}" if program == "foundry" and arguments else program
    name += f"-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    if LOGS.parent.is_dir():
        LOGS.mkdir(exist_ok=True)
        path = LOGS / f"{name}-{os.getpid()}.log"
    else:
        descriptor, temporary = tempfile.mkstemp(prefix=f"{name}-", suffix=".log")
        os.close(descriptor)
        path = Path(temporary)
    lines = [" ".join(command_line()), "\n\n", *traceback.format_exception(error)]
    path.write_text(hidden("".join(lines)), encoding="utf-8")
    return path


def command_line() -> list[str]:
    """What was called, without the path to it: `["export", "onnx", ...]` of a stage, `["foundry", "audit", ...]`."""
    return [Path(sys.argv[0].removesuffix("/__main__.py")).stem, *sys.argv[1:]]


def is_disk_full(error: OSError) -> bool:
    """Whether an error of the operating system says that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def show(message: str) -> None:
    """Print a message, without any token in it, in the form that people and CI logs look for."""
    message = hidden(message)
    try:
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True, soft_wrap=True).print(Text("error: ", style="bold red") + Text(message, style="default"))
    except (ImportError, MemoryError, RuntimeError):  # where memory is short
        print(f"error: {message}", file=sys.stderr)


def fail(message: str) -> NoReturn:
    """Print the message, and end with exit code 1."""
    show(message)
    sys.exit(1)


def show_uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    """One line instead of a traceback: for what is raised before a command line has begun, such as by an import."""
    if not isinstance(error, KeyboardInterrupt):
        with contextlib.suppress(BrokenPipeError):
            show(explain(error))
