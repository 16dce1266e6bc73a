"""Publishing from the page: what would change, and then the pull request, both by the stage `publish`.

The settings are those of `publish:` in params.yaml, which the page edits: a preview is `dry_run: true`. A second click
finds that nothing has changed: DVC does not run the stage, and the stage sends nothing that the Hub has.
"""

from pathlib import Path
from typing import Any, TypedDict

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.params.schema import Params
from foundry.ui import editing, jobs
from foundry.ui.jobs import Job
from foundry.ui.workspaces import Workspace

CARD_CHARACTERS = 200_000


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


def receipt(workspace: Workspace, model: str) -> Receipt | None:
    """What the last publishing of a model did; None where there was none."""
    path = workspace.root / "artifacts/published" / f"{model}.json"
    if not path.is_file():
        return None
    value: Receipt = files.read_json(path)
    return value


def card(workspace: Workspace, model: str) -> str:
    """The card of the published folder, without its front matter; empty where there is none."""
    from foundry.variants import model_card

    path = workspace.root / "artifacts/hub" / model / "README.md"
    return model_card.parse(model_card.read(path)).text[:CARD_CHARACTERS]


def charts(workspace: Workspace, model: str) -> list[Path]:
    """The pictures of the card."""
    return sorted((workspace.root / "artifacts/hub" / model / "charts").glob("*.png"))


def folder_files(workspace: Workspace, model: str) -> list[tuple[str, int]]:
    """Every file of the published folder, and its size in bytes."""
    folder = workspace.root / "artifacts/hub" / model
    if not folder.is_dir():
        return []
    return [(path.as_posix(), (folder / path).stat().st_size) for path in files.files_below(folder)]


def to_folder(workspace: Workspace, model: Any) -> Job:
    """Publish a model to artifacts/hub."""
    name = editing.require_model(workspace, model)
    editing.set_values(workspace, {("publish", "to"): "folder", ("publish", "dry_run"): False})
    return jobs.start(workspace, ["dvc", "repro", f"publish@{name}"], f"publish {name} to a folder")


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
    params = editing.read(workspace)
    require_other_repositories(params, name)
    editing.set_values(
        workspace,
        {
            ("publish", "repos", name): repository,
            ("publish", "create_pr"): True,
            ("publish", "private"): private,
            ("publish", "dry_run"): dry_run,
            ("publish", "to"): "hub",
        },
    )
    what = f"look what would change in {repository}" if dry_run else f"open a pull request in {repository}"
    return jobs.start(workspace, ["dvc", "repro", f"publish@{name}"], what)


def require_other_repositories(params: Params, model: str) -> None:
    """Check that every other model has a repository, which `to: hub` asks for.

    Raises:
        FoundryError: when one has none.
    """
    if missing := [name for name in params.models if name != model and name not in params.publish.repos]:
        raise FoundryError(
            f"`to: hub` is for all models, and {', '.join(missing)} has no repository: preview it once with one, "
            "or remove it from this project"
        )
