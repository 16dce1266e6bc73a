"""Whatever a library raises on a checkpoint's files, as the one line that says so."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foundry.base.errors import FoundryError

LONGEST = 400  # characters of a library's message
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
PICKLED = re.compile("weights_only=True|Weights only load failed")


@contextmanager
def failures(message: str, folder: Path | None = None) -> Iterator[None]:
    """Turn any exception of the block into a FoundryError.

    Files that come from anywhere make libraries raise anything: a bare Exception or a panic of Rust (tokenizers), a
    ZeroDivisionError (a model without attention heads), SystemExit (the checkpoint's own code).

    Args:
        message: What could not be done.
        folder: The checkpoint's copy, whose path the message shall not show.

    Raises:
        FoundryError: the message and the library's first lines, as one line.
    """
    try:
        yield
    except (FoundryError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a checkpoint is loaded and judged here; Rust's panics are no Exception
        reason = first_lines(str(error) if folder is None else without_folder(str(error), folder))
        is_plain = isinstance(error, ValueError | OSError | RuntimeError | ImportError) or type(error) is Exception
        name = "" if is_plain and reason else f"{type(error).__name__}: "
        raise FoundryError(f"{message}: {name}{reason or 'no message'}") from error


def without_folder(message: str, folder: Path, name: str = "the checkpoint") -> str:
    """A message without the path of the folder that a checkpoint was copied to, which is gone once it is read."""
    return message.replace(f"{folder}/", "").replace(str(folder), name)


def first_lines(message: str) -> str:
    """An error's first lines as one without terminal colours, as far as they go in a line that is read."""
    if PICKLED.search(message):  # torch's own message explains how to run what is in the file
        return (
            "a file of weights (.bin) holds more than tensors, such as a whole pickled model, or is broken; it is not "
            "unpickled. Download it again, or save the model's weights as safetensors"
        )
    message = COLOURS.sub("", message)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = " ".join(lines[:3])
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
