"""What the page does with the Hub is in the arguments of one run, and never in params.yaml."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.ui import card_view, editing, jobs, limits, locks, publishing, runner, sending
from foundry.ui.workspaces import Workspace


@pytest.fixture
def workspace(project: Callable[..., Path]) -> Workspace:
    return Workspace(project())


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the runs that were started."""
    commands: list[list[str]] = []

    def start(
        workspace: Workspace, command: Sequence[str], what: str, prepare: Callable[[], object] = lambda: None
    ) -> None:
        prepare()
        commands.append(list(command))

    monkeypatch.setattr(jobs, "start", start)
    return commands


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("private", [True, False])
def test_the_order_is_in_the_command_alone(
    workspace: Workspace, started: list[list[str]], dry_run: bool, private: bool
) -> None:
    before = workspace.params.read_bytes()
    publishing.to_hub(workspace, "tiny", "org/name", private, dry_run)
    assert workspace.params.read_bytes() == before
    [command] = started
    assert command[2:5] == ["foundry.ui.publish_once", "tiny", "org/name"]
    assert ("--send" in command) is not dry_run
    assert ("--private" in command) is private


@pytest.mark.parametrize("name", ["--send", "org/name --send", "org", "../x", "", None, "a/b/c"])
def test_a_repository_is_no_option(workspace: Workspace, started: list[list[str]], name: Any) -> None:
    with pytest.raises(FoundryError, match="is no repository"):
        publishing.to_hub(workspace, "tiny", name, True, True)
    assert started == []


def test_a_run_that_was_killed_may_still_send(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it started goes on, and a second click opens no second pull request meanwhile."""
    sent: list[str] = []

    def publish(workspace: Workspace, model: str, *order: Any) -> dict[str, Any]:
        sent.append(model)
        return {"published": {}, "address": None, "left_out": {}}

    monkeypatch.setattr(sending, "publish", publish)
    with locks.sending(workspace), pytest.raises(FoundryError, match="still sends"):
        sending.main("tiny", "org/name", private=True, send=True)
    assert sent == []
    sending.main("tiny", "org/name", private=True, send=True)
    assert sent == ["tiny"]


def test_on_a_shared_host_nobody_sends_without_a_login(workspace: Workspace, started: list[list[str]]) -> None:
    with pytest.raises(FoundryError, match="log in first"):
        publishing.to_hub(workspace._replace(shared=True), "tiny", "org/name", True, False)
    assert started == []


def test_to_a_folder_changes_where_and_nothing_else(workspace: Workspace, started: list[list[str]]) -> None:
    before = workspace.params.read_text()
    publishing.to_folder(workspace, "tiny")
    assert workspace.params.read_text() == before
    editing.set_values(workspace, {("publish", "repos", "tiny"): "org/name", ("publish", "to"): "hub"})
    hub = workspace.params.read_text()
    files.write_json(publishing.hub_folder(workspace, "tiny") / publishing.RECEIPT, {"repository": "org/name"})
    publishing.to_folder(workspace, "tiny")
    assert workspace.params.read_text() == hub.replace("to: hub", "to: folder", 1)
    assert publishing.receipt(workspace, "tiny") is None
    assert started == [["dvc", "repro", "publish@tiny"]] * 2


def test_what_is_shown_is_what_was_done_last(workspace: Workspace) -> None:
    by_page = publishing.hub_folder(workspace, "tiny") / publishing.RECEIPT
    files.write_json(workspace.root / "artifacts/published/tiny.json", {"to": "folder"})
    files.write_json(by_page, {"to": "hub", "repository": "org/other"})
    assert publishing.receipt(workspace, "tiny") == {"to": "hub", "repository": "org/other"}
    assert publishing.published_folder(workspace, "tiny") == by_page.parent
    assert publishing.repository(workspace, "tiny", "org/name") == "org/other"
    files.write_json(workspace.root / "artifacts/published/tiny.json", {"to": "folder"})
    assert publishing.receipt(workspace, "tiny") == {"to": "folder"}
    assert publishing.published_folder(workspace, "tiny") == workspace.root / "artifacts/hub/tiny"


def test_a_sending_that_is_at_work_may_be_stopped() -> None:
    """Its process is known to the runner, which waits for a stage before it stops anything."""
    import foundry.ui.sending

    assert foundry.ui.sending.__name__ == runner.SENDING


def test_a_hostile_card_keeps_nobody_waiting(workspace: Workspace) -> None:
    """Of a long card its beginning is shown, and its front matter is not read."""
    path = workspace.root / "artifacts/hub/tiny/README.md"
    assert publishing.card(workspace, "tiny") == ""
    path.parent.mkdir(parents=True)
    path.write_text("---\nlicense: mit\n---\n# Own words ä\n", encoding="utf-8")
    assert publishing.card(workspace, "tiny") == "# Own words ä\n"
    path.write_text("---\nx: " + "[" * 100_000 + "\n---\n" + "![a](" * 1_000_000, encoding="utf-8")
    start = time.perf_counter()
    shown = publishing.card(workspace, "tiny")
    assert card_view.safe(shown, {}).endswith(publishing.CUT)
    assert shown.startswith("![a](![a](")
    assert len(shown) < limits.CARD_CHARACTERS + 100
    assert time.perf_counter() - start < 5  # a fifth of a second on a machine at rest
