"""Publish a model that is built to a repository on the Hub, or only say what would change there.

It is what the stage `publish` does with `to: hub`, for one model and one time (`python -m foundry.ui.sending`). Its
receipt and the card are kept beside the runs of the page, where no stage of DVC's reads them.
"""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from foundry.base import command, files, settings
from foundry.base.progress import say
from foundry.publishing import publishing
from foundry.publishing.settings import PublishModel
from foundry.ui import locks
from foundry.ui.publishing import RECEIPT, hub_folder
from foundry.ui.workspaces import Workspace

KEPT = ("README.md", "charts")  # of the folder that is sent: what the page shows


def main(
    model: str,
    repository: str,
    private: Annotated[bool, typer.Option("--private/--public")] = True,
    send: Annotated[bool, typer.Option("--send")] = False,
) -> None:
    workspace = Workspace(Path())
    with locks.sending(workspace):
        receipt = publish(workspace, model, repository, private, send)
    say(f"{model}: {len(receipt['published'])} variants in {receipt['address'] or repository}")
    for name, reason in receipt["left_out"].items():
        say(f"  left out: {name}, {reason}")


def publish(workspace: Workspace, model: str, repository: str, private: bool, send: bool) -> dict[str, Any]:
    """Publish the model as it is built; what was done, which is kept with the card."""
    built = Path("artifacts")
    configured = settings.read(built / "settings" / model / "publish.json", PublishModel)
    order = {"to": "hub", "repo": repository, "create_pr": True, "private": private, "dry_run": not send}
    target = PublishModel.model_validate({**configured.model_dump(exclude_unset=True), **order})
    folder = hub_folder(workspace, model)
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "files"
    try:
        receipt = publishing.publish(
            model, target, built / "models" / model, built / "validation" / model, built / "report",
            built / "reference" / model, built / "texts" / model / "validation.jsonl", out,
            (built / "settings", built / "reference" / model),
        )  # fmt: skip
        keep(out, folder)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    files.write_json(folder / RECEIPT, receipt)
    return receipt


def keep(sent: Path, folder: Path) -> None:
    """Move what the page shows of a folder to another one, in the place of what was there."""
    for name in KEPT:
        old = folder / name
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
        if (sent / name).exists():
            (sent / name).rename(old)


if __name__ == "__main__":
    command.run(main)
