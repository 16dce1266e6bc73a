"""Folders that are built once for a whole run of the tests, also when workers of pytest-xdist share the run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Give the folder of this name, built by the first worker that asks for it; the others wait until it is done.

    Args:
        factory: pytest's `tmp_path_factory`. Each worker has a folder of its own in the folder of the run.
        name: what the folder is called; the same name is the same folder.
        build: is called with the empty folder.
    """
    run = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    folder, done = run / name, run / f"{name}.done"
    with FileLock(run / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker whose build failed
            folder.mkdir()
            build(folder)
            done.touch()
    return folder
