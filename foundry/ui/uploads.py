"""Texts that a user brings: checked, shown, and put into the project as a source of texts."""

import re
import shutil
from pathlib import Path
from typing import Any

from foundry.base import files, yaml_editing
from foundry.base.errors import FoundryError
from foundry.ui import editing, jobs, limits, upload_reading
from foundry.ui.upload_reading import Preview
from foundry.ui.workspaces import Workspace

FOLDER = "texts"
ADDING = "adding.json"  # names the file that is put there now: a kill between the two writes leaves it behind
# Of a user's texts, the share that each set may use; the benchmark stays with the texts that it has.
SHARES = {"calibration": 0.4, "validation": 0.6}


def keep(workspace: Workspace, uploaded: Path, name: Any, column: Any) -> Preview:
    """Put a file into the project and make it a source of texts in params.yaml.

    Args:
        uploaded: Where the server put it; it is removed there.
        name: What the source is called; the file gets this name, whatever it was called where it came from.

    Raises:
        FoundryError: when it cannot be read, or there are too many.
    """
    slug = editing.require_slug(name)
    wanted = str(column or "text")
    if len(wanted) > limits.TEXT_CHARACTERS_SHOWN or not wanted.isprintable():
        raise FoundryError(
            f"a column's name has at most {limits.TEXT_CHARACTERS_SHOWN} characters, and none that cannot be seen"
        )
    _, preview = upload_reading.ask(workspace, uploaded, wanted, is_fixed=True)
    with jobs.idle(workspace):
        _add_source(workspace, uploaded, slug, wanted)
    return preview


def _add_source(workspace: Workspace, uploaded: Path, slug: str, column: str) -> None:
    folder = workspace.root / FOLDER
    folder.mkdir(exist_ok=True)
    _remove_unfinished(workspace)
    if len([path for path in folder.iterdir() if path.is_file()]) >= limits.TEXT_FILES:
        raise FoundryError(f"{FOLDER}/ holds {limits.TEXT_FILES} files, and no more are allowed")
    target = folder / f"{slug}{uploaded.suffix.lower()}"
    text = editing.shown(workspace)
    if editing.has_entry(text, ("sample", "sources", slug)) or target.exists():
        raise FoundryError(f"there is a source of texts called {slug} already: take another name")
    row = upload_reading.source_of(f"{FOLDER}/{target.name}", column).model_dump(exclude_defaults=True)
    text = yaml_editing.with_entry(text, ["sample", "sources"], slug, row)
    for part, share in SHARES.items():
        text = yaml_editing.with_entry(text, ["sample", part, "share"], slug, share)
    files.write_json(workspace.state / ADDING, {"file": target.name})
    try:
        with files.replacing(target) as partial:
            shutil.copyfile(uploaded, partial)
        editing.write(workspace, text)
    finally:
        _remove_unfinished(workspace)


def _remove_unfinished(workspace: Workspace) -> None:
    """Remove the file of an upload that no source in params.yaml names, because it was ended between the two. Files
    that the page did not put there stay."""
    record = workspace.state / ADDING
    if not record.is_file():
        return
    path = workspace.root / FOLDER / Path(str(files.read_json(record)["file"])).name
    sources = editing.read(workspace).sample.sources.values()
    if f"{FOLDER}/{path.name}" not in {getattr(source, "path", None) for source in sources}:
        for leftover in (path, *path.parent.glob(f".partial-{path.name}-*")):
            leftover.unlink(missing_ok=True)
    record.unlink()


def slug_of(name: str) -> str:
    """A name for a source, made of a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).stem).strip("_-")[:40] or "own"
