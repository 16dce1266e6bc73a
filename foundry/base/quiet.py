"""Libraries that warn about what is intended, kept quiet for as long as they work and no longer."""

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Neither Python's warnings nor log messages up to level WARNING inside the block; as before after it."""
    level_before = logging.root.manager.disable
    logging.disable(max(level_before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level_before)
