"""Silence the warnings of libraries about what is intended, for the length of a block."""

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def without_warnings(up_to: int = logging.WARNING) -> Iterator[None]:
    """Neither Python's warnings nor log messages up to that level inside the block; as before after it."""
    level_before = logging.root.manager.disable
    logging.disable(max(level_before, up_to))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level_before)
