"""A project that is judged and reported, from which the tests of this folder publish."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.projects import TINY_VARIANTS
from tests.support.publishing import Project, write_report
from tests.support.sessions import built_once
from tests.support.stages import validate_in


@pytest.fixture(scope="session")
def validated(tmp_path_factory: pytest.TempPathFactory, tiny: Path, tiny_params: dict[str, Any]) -> Path:
    """The tiny model, validated and reported once."""

    def judge(root: Path) -> None:
        for name in ("models", "texts", "reference"):
            shutil.copytree(tiny.parent.parent / name, root / name)
        (root / "params.yaml").write_text(yaml.safe_dump(tiny_params, sort_keys=False))
        with contextlib.chdir(root):
            for variant in TINY_VARIANTS:
                validate_in(root, root / "models/tiny", variant, root / "models/tiny" / variant)
            write_report(root)

    return built_once(tmp_path_factory, "validated", judge)


@pytest.fixture(scope="session")
def first_report(tmp_path_factory: pytest.TempPathFactory, validated: Path, tiny_params: dict[str, Any]) -> Path:
    """The report of what a `Project` publishes before a test changes it."""

    def report(root: Path) -> None:
        def write(change: Callable[[dict[str, Any]], Any]) -> Path:
            raw = json.loads(json.dumps(tiny_params))
            change(raw)
            (root / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
            return root

        shutil.copytree(validated / "validation", root / "validation")
        with contextlib.chdir(root):
            Project(root, write).write_params()
            write_report(root)

    return built_once(tmp_path_factory, "first_report", report) / "report"


@pytest.fixture
def prepared(project: Callable[..., Path], validated: Path, first_report: Path) -> Project:
    root = project()
    for name in ("models", "texts", "reference", "validation"):
        shutil.copytree(validated / name, root / name)
    shutil.copytree(first_report, root / "report")
    prepared = Project(root, project)
    prepared.write_params()
    prepared.write_lock()
    return prepared


@pytest.fixture
def ready(project: Callable[..., Path], validated: Path) -> Path:
    """The tiny model validated and reported, in a folder of its own that a test may damage."""
    root = project()
    for name in ("models", "texts", "reference", "validation"):
        shutil.copytree(validated / name, root / name)
    write_report(root)
    return root
