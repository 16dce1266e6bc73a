"""Publishing from the page: to a folder by DVC's stage, and to the Hub by a run of its own.

Where the Hub is concerned, nothing is written into params.yaml: the order is in the arguments of that run alone
(foundry/ui/publish_once.py), so that no later build sends anything, whatever happens to the run or to the server.
"""

import shutil
import sys
from pathlib import Path
from typing import Any, TypedDict

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.ui import editing, jobs, limits
from foundry.ui.jobs import Job
from foundry.ui.workspaces import Workspace

CUT = "\n\n… The rest of this card is in the README.md of the folder."
RECEIPT = "receipt.json"


class Receipt(TypedDict, total=False):
    """artifacts/published/<model>.json, as far as the page shows it."""

    to: str
    address: str | None
    repository: str
    sent: list[dict[str, Any]]
    unchanged: int
    kept: list[str]
    dry_run: bool
    published: dict[str, Any]
    left_out: dict[str, str]
    pull_request: int | None


def hub_folder(workspace: Workspace, model: str) -> Path:
    """Where a run that concerned the Hub left its receipt and its card."""
    return workspace.state / "hub" / model


def receipt(workspace: Workspace, model: str) -> Receipt | None:
    """What the last publishing of a model did, by the page or by DVC; None where there was none."""
    paths = [hub_folder(workspace, model) / RECEIPT, workspace.root / "artifacts/published" / f"{model}.json"]
    there = [path for path in paths if path.is_file()]
    if not there:
        return None
    value: Receipt = files.read_json(max(there, key=lambda path: path.stat().st_mtime_ns))
    return value


def repository(workspace: Workspace, model: str, configured: str | None) -> str:
    """The repository that a model was last meant for; by default that of params.yaml."""
    path = hub_folder(workspace, model) / RECEIPT
    return str(files.read_json(path)["repository"]) if path.is_file() else configured or ""


def forget(workspace: Workspace, model: str) -> None:
    """Remove what a run that concerned the Hub left, because a later one says otherwise."""
    shutil.rmtree(hub_folder(workspace, model), ignore_errors=True)


def published_folder(workspace: Workspace, model: str) -> Path:
    """The folder with the card of the last publishing."""
    latest = receipt(workspace, model)
    folder = hub_folder(workspace, model)
    return folder if latest and latest["to"] == "hub" and folder.is_dir() else workspace.root / "artifacts/hub" / model


def card(workspace: Workspace, model: str) -> str:
    """The beginning of the card of the published folder, without its front matter; empty where there is none."""
    from foundry.variants import model_card

    path = published_folder(workspace, model) / "README.md"
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        content = file.read(limits.CARD_BYTES)
    # The front matter is not shown, and so not read: a hostile one takes YAML seconds.
    text = model_card.FRONT_MATTER.sub("", content.decode("utf-8-sig", errors="replace"), count=1)
    return text if len(text) <= limits.CARD_CHARACTERS else text[: limits.CARD_CHARACTERS] + CUT


def charts(workspace: Workspace, model: str) -> list[Path]:
    """The pictures of the card."""
    return sorted((published_folder(workspace, model) / "charts").glob("*.png"))


def folder_files(workspace: Workspace, model: str) -> list[tuple[str, int]]:
    """Every file of the published folder, and its size in bytes."""
    folder = workspace.root / "artifacts/hub" / model
    if not folder.is_dir():
        return []
    return [(path.as_posix(), (folder / path).stat().st_size) for path in files.files_below(folder)]


def to_folder(workspace: Workspace, model: Any) -> Job:
    """Publish a model to artifacts/hub."""
    name = editing.require_model(workspace, model)

    def prepare() -> None:
        if editing.read(workspace).publish.to != "folder":
            editing.write(workspace, editing.with_value(editing.shown(workspace), ("publish", "to"), "folder"))
        forget(workspace, name)

    return jobs.start(workspace, ["dvc", "repro", f"publish@{name}"], f"publish {name} to a folder", prepare)


def to_hub(workspace: Workspace, model: Any, repo: Any, private: bool, dry_run: bool) -> Job:
    """Look what would change in a repository on the Hub, or open the pull request.

    On a shared host it is always a pull request with the user's own token.

    Raises:
        FoundryError: when nobody is logged in, or the settings do not allow it.
    """
    name = editing.require_model(workspace, model)
    repository = editing.require_repo(repo)
    if workspace.shared and not workspace.token:
        raise FoundryError("log in first: the pull request is opened with your own token")
    command = [sys.executable, "-m", "foundry.ui.publish_once", name, repository]
    command += ["--private" if private else "--public", *(() if dry_run else ("--send",))]
    what = f"look what would change in {repository}" if dry_run else f"open a pull request in {repository}"
    return jobs.start(workspace, command, what)
