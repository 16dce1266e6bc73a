"""Code that a checkpoint names in another repository of the Hub: fetched into it at a pinned commit."""

import json
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.checkpoints import code, hub, integrity


def fetch(folder: Path, model: str, revision: str) -> dict[str, str]:
    """Fetch the Python files of the one other repository that the checkpoint's settings name, and name them as its own.

    Gives where they come from, for the record; nothing where no settings file names another repository.

    Raises:
        FoundryError: when there are several repositories, or the Hub refuses.
    """
    references = code.elsewhere(folder)
    repositories = sorted({reference.partition("--")[0] for reference in references})
    if not repositories:
        return {}
    if len(repositories) > 1:
        raise FoundryError(
            f"{model} names code of {', '.join(repositories)}, and code_revision is a commit of one repository"
        )
    source = hub.snapshot(repositories[0], revision, lambda names: [name for name in names if name.endswith(".py")])
    for name in source.names:
        if (folder / name).exists():
            raise FoundryError(f"{name} is in {repositories[0]} and in the checkpoint of {model}; which one is meant?")
        files.copy(source.folder / name, folder / name)
    for path in files.files_below(folder):
        if path.suffix == ".json":
            _rename_in(folder / path, repositories[0])
    say(f"{model}: code of {repositories[0]} at {revision}: {', '.join(source.names)}")
    return {"hub": repositories[0], "revision": source.revision}


def _rename_in(path: Path, repository: str) -> None:
    """Take the repository's name off every reference in a settings file; other files keep their bytes."""
    text = path.read_text(encoding="utf-8")
    if f"{repository}--" not in text:
        return

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [renamed(inner) for inner in value]
        return value.removeprefix(f"{repository}--") if isinstance(value, str) else value

    path.write_text(
        json.dumps(renamed(integrity.read_json(path)), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
