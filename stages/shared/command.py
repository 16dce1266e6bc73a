"""The command line that every stage has: typed arguments in, one clear error and exit code 1 out."""

import errno
import gc
import os
import sys
from collections.abc import Callable
from typing import Any

# Libraries of this stack phone home or warn about things that no stage does; both would drown a CI log.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


# The libraries make half a million objects on import, none of them garbage. With Python's defaults the collector walks
# them again and again, for a second of each stage that imports sentence_transformers.
gc.set_threshold(200_000)


class StageError(Exception):
    """A mistake that the user can mend. Its text says what came, what was expected, and what to do."""


def run(main: Callable[..., Any]) -> None:
    """Run `main` with its typed parameters as the command line.

    A `StageError`, and an error of the file system such as a full disk, end in one line on standard error and exit
    code 1. Anything else is a defect of this project and keeps its traceback.
    """
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except StageError as error:
        fail(str(error))
    except OSError as error:
        if error.errno is None:  # some library's own error class, not the operating system's
            raise
        where = f": {error.filename}" if error.filename else ""
        advice = ". Free some space and run again; nothing half-written was left" if is_disk_full(error) else ""
        fail(f"{error.strerror}{where}{advice}")
    finally:
        gc.freeze()  # the process ends here: a last collection would cost another second


def is_disk_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def fail(message: str) -> None:
    """Print the message in the form that people and CI logs look for, and end with exit code 1."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text("error: ", style="bold red") + Text(message, style="default"))
    sys.exit(1)
