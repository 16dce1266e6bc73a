"""outdated: what has moved on is named, pinned to its present commit on request, and gives its own exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from foundry.base.errors import FoundryError
from foundry.commands import outdated
from foundry.params import pins, reading, toolchain
from tests.support.hub_server import Hub
from tests.support.projects import ROOT


def pinned(repo: str, revision: str) -> Callable[[dict[str, Any]], Any]:
    return lambda raw: raw["models"]["tiny"].update(source={"hub": repo, "revision": revision})


def test_every_source_on_the_hub_is_found(project: Callable[..., Path]) -> None:
    raw = {
        "models": {"a": {"source": {"hub": "o/a", "revision": "1"}}, "b": {"source": {"path": "x"}}},
        "sample": {"sources": {"c": {"hub": "o/c", "revision": "2", "column": "text"}}},
    }
    assert [tuple(source) for source in pins.pinned_sources(raw)] == [
        ("models.a.source", "o/a", "model", "1"),
        ("sample.sources.c", "o/c", "dataset", "2"),
    ]


def test_a_branch_that_moved(
    project: Callable[..., Path], server: Hub, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    before = server.repos["org/tiny"].refs["main"]
    root = project(pinned("org/tiny", before))
    outdated.main(toolchain=False)
    assert "1 sources on the Hub: as pinned" in capsys.readouterr().out
    after = server.push("org/tiny", {"config.json": b"{}"})
    text = f"# a comment\n{(root / 'params.yaml').read_text()}"
    (root / "params.yaml").write_text(text)
    for write in (False, True):
        assert (root / "params.yaml").read_text() == text
        with pytest.raises(typer.Exit) as moved:
            outdated.main(write=write, toolchain=False)
        assert moved.value.exit_code == outdated.MOVED
        output = capsys.readouterr().out
        assert "models.tiny.source (org/tiny)" in output
        assert after in output
    assert (root / "params.yaml").read_text() == text.replace(before, after)
    assert reading.read().models["tiny"].source.revision == after  # type: ignore[union-attr]
    outdated.main(toolchain=False)


def test_a_source_that_cannot_be_asked_for(project: Callable[..., Path], server: Hub) -> None:
    project(pinned("org/gone", "0" * 40))
    with pytest.raises(FoundryError, match="org/gone is not there, or this token may not see it"):
        outdated.main(toolchain=False)


def test_the_toolchain(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed(*rows: tuple[str, str, str]) -> None:
        listing = [{"name": name, "version": version, "latest_version": latest} for name, version, latest in rows]
        done = subprocess.CompletedProcess([], 0, stdout=json.dumps(listing), stderr="")
        monkeypatch.setattr(toolchain.subprocess, "run", lambda *arguments, **options: done)

    project()
    listed(("transformers", "4.57.6", "5.1"), ("no-dependency-of-ours", "1", "2"))
    outdated.main()
    listing = capsys.readouterr().out
    assert "beyond the range" in listing
    assert "no-dependency-of-ours" not in listing
    listed(("transformers", "4.57.6", "4.57.9"))
    with pytest.raises(typer.Exit):
        outdated.main()
    assert "4.57.9" in capsys.readouterr().out


def test_the_exit_codes(project: Callable[..., Path]) -> None:
    root = project(lambda raw: raw.update(nonsense=1))
    command = [sys.executable, "-m", "foundry", "outdated", "--no-toolchain"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nonsense" in done.stderr
