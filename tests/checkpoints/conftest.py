"""The stage `download` on changed copies of the tiny checkpoint."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages import download
from tests.support.downloads import Change, Fetch
from tests.support.stages import settings_file


@pytest.fixture
def fetch(project: Callable[..., Path], checkpoint: Path, tmp_path: Path) -> Fetch:
    """Run download on a changed copy of the tiny checkpoint; give the folder that it makes."""

    def run(change: Change, **settings: Any) -> Path:
        source = tmp_path / "odd"
        shutil.copytree(checkpoint, source)
        change(source)
        root = project(lambda raw: raw["models"].update(tiny={"source": {"path": str(source)}, **settings}))
        download.main("tiny", settings_file("download"), root / "torch")
        return root / "torch"

    return run


@pytest.fixture
def changed(saved: dict[str, Path]) -> Callable[..., Change]:
    """What makes a folder one of the models that a file of tests has `saved`, by name, and changes it."""

    def make(name: str, change: Change = lambda _folder: None) -> Change:
        def replace(folder: Path) -> None:
            shutil.rmtree(folder)
            shutil.copytree(saved[name], folder)
            change(folder)

        return replace

    return make
