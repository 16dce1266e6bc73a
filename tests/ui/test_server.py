"""How the server is started."""

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foundry.__main__ import app
from foundry.ui import server


@pytest.fixture
def core_limits() -> Iterator[tuple[int, int]]:
    """The limits of core files, which are put back."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))  # as a host may have them
    yield before
    resource.setrlimit(resource.RLIMIT_CORE, before)


def test_a_crash_writes_no_token_into_a_core_file(
    core_limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs have the limit of the server that starts them."""
    uvicorn = pytest.importorskip("uvicorn")
    seen: list[int] = []

    def run(*arguments: Any, **options: Any) -> None:
        seen.append(resource.getrlimit(resource.RLIMIT_CORE)[0])

    monkeypatch.setattr(uvicorn, "run", run)
    server.serve(None, server.LOOPBACK, 0)
    assert seen == [0]


def test_a_relative_state_is_of_the_folder_that_the_server_starts_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs start in their user's folder, where a relative path would be another."""
    seen: list[Path | None] = []

    def make(root: Path, shared: bool, state: Path | None, most_seconds: float | None) -> None:
        seen.append(state)

    monkeypatch.setattr(server, "make", make)
    monkeypatch.setattr(server, "serve", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["ui", "--shared", "--state", "users"]).exit_code == 0
    assert seen == [tmp_path / "users"]
