"""What a model is, before it is downloaded: of its repository, only the settings in JSON and the card are fetched.

It runs as a process of its own (`python -m foundry.ui.looking`), with the token and the Hub's cache of the user who
asked in its environment. It reads `{"source": ..., "revision": ...}` from standard input and prints a `Look` as JSON.
What it fetches is in the user's own folder, and counts there, until it ends.
"""

import functools
import itertools
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from foundry.base import command
from foundry.base.errors import FoundryError
from foundry.checkpoints import code, contents, structure, unsupported
from foundry.data import sources
from foundry.data.settings import HubSource
from foundry.params import adding
from foundry.ui import limits
from foundry.ui.own_folders import OwnFolder
from foundry.ui.workspaces import STATE
from foundry.variants import checkpoint_folder, model_card

FOLDER = "look-"  # how the name of a look's folder begins
# The page of the documents that says, for each architecture, which variants it cannot have.
KNOWN = Path(__file__).parents[2] / "docs/architectures.md"


class Look(TypedDict):
    """What a model is."""

    source: str
    revision: str | None  # the commit, of a model on the Hub
    licence: str
    kind: str
    architecture: str
    max_seq_length: int | None
    download_mb: float
    weights_mb: float
    runs_code: bool  # it needs Python files of its own
    refused: str | None  # why it cannot be built at all
    skipped: dict[str, str]  # variants that such a model cannot have, and why


def main() -> None:
    asked = json.load(sys.stdin)
    print(json.dumps(look(str(asked["source"]), asked.get("revision") or None)))


def look(source: str, revision: str | None) -> Look:
    """What the model is that `foundry add` would add.

    Raises:
        FoundryError: when it is not there, or is no checkpoint.
    """
    origin = adding.resolve(source, revision)
    if not isinstance(origin, HubSource):
        folder = sources.local_path(origin)
        sizes = {name: (folder / name).stat().st_size for name in structure.plain_files(folder)}
        return described(folder, sizes, source, None)
    with OwnFolder(Path.cwd() / STATE / "looks", FOLDER) as folder:
        sizes = fetch_settings(origin, folder)
        return described(folder, sizes, origin.hub, origin.revision)


def fetch_settings(origin: HubSource, folder: Path) -> dict[str, int]:
    """Download the small files that say what a model is; the size of every file of the repository, by name.

    Raises:
        FoundryError: when there are too many, before any of them is fetched.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.hf_api import RepoFile

    from foundry.base import hub_requests
    from foundry.publishing.hub.retries import with_retries

    def fetch() -> dict[str, int]:
        with hub_requests.limited():
            tree = HfApi().list_repo_tree(origin.hub, revision=origin.revision, recursive=True)
            entries = list(itertools.islice(tree, limits.REPOSITORY_FILES + 1))
            if len(entries) > limits.REPOSITORY_FILES:
                raise FoundryError(
                    f"{origin.hub} has more than {limits.REPOSITORY_FILES:,} files, and so many are not looked at"
                )
            sizes = {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}
            for name in settings_in(sizes, origin.hub):
                hf_hub_download(origin.hub, name, revision=origin.revision, local_dir=folder)
        return sizes

    return with_retries(fetch, origin.hub)


def settings_in(sizes: Mapping[str, int], repository: str) -> list[str]:
    """The card and the small files of settings among a repository's files, which are given with their bytes.

    Raises:
        FoundryError: when they are too many or too large.
    """
    names = [
        name
        for name, size in sizes.items()
        if size <= limits.SETTINGS_FILE_BYTES
        and (
            name == "README.md"
            or (name.endswith(".json") and "tokenizer.json" not in name and not name.startswith("onnx"))
        )
    ]
    total = sum(sizes[name] for name in names)
    if len(names) > limits.SETTINGS_FILES or total > limits.SETTINGS_BYTES:
        raise FoundryError(
            f"{repository} has {len(names)} files of settings with {total / 1e6:.1f} MB; at most "
            f"{limits.SETTINGS_FILES} with {limits.SETTINGS_BYTES / 1e6:.0f} MB are looked at"
        )
    return names


def described(folder: Path, sizes: dict[str, int], source: str, revision: str | None) -> Look:
    """What the settings in a folder say of a model with files of these sizes."""
    refused = None
    try:
        structure.check_module_folders(folder)
        unsupported.check(folder, None)
    except FoundryError as error:
        refused = str(error).replace(f"{folder}", source)
    kind: str = "unknown"
    config: dict[str, Any] = {}
    length = None
    try:
        kind = checkpoint_folder.kind(folder)
        config = checkpoint_folder.config(folder)
        length = checkpoint_folder.max_seq_length(folder)
    except (FoundryError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        refused = refused or str(error).replace(f"{folder}", source)
    names = contents.needed(sizes, folders(folder))
    weights = [name for name in names if any(Path(name).match(form) for form in checkpoint_folder.TORCH_WEIGHTS)]
    card = model_card.parse(model_card.read(folder / "README.md"))
    # Not any value as a text: YAML's references make a few lines into gigabytes.
    licence = ", ".join(model_card.texts(card.data.get("license")))
    architecture = str(config.get("model_type", "unknown"))[: limits.TEXT_CHARACTERS_SHOWN]
    return {
        "source": source,
        "revision": revision,
        "licence": licence[: limits.TEXT_CHARACTERS_SHOWN] or "unknown: its card names none",
        "kind": kind,
        "architecture": architecture,
        "max_seq_length": length,
        "download_mb": sum(sizes[name] for name in names) / 1e6,
        "weights_mb": sum(sizes[name] for name in weights) / 1e6,
        "runs_code": needs_code(folder),
        "refused": refused and refused[: limits.MESSAGE_CHARACTERS],
        "skipped": known_to_be_skipped(kind, architecture),
    }


def folders(folder: Path) -> Sequence[str]:
    """Where the modules of a checkpoint are; the root alone where its list of them cannot be read."""
    try:
        return structure.module_folders(folder)
    except FoundryError:
        return ("",)


def needs_code(folder: Path) -> bool:
    """Whether the checkpoint names classes in Python files of its own."""
    try:
        return bool(code.own_classes(folder) or code.own_module_types(folder) or code.elsewhere(folder))
    except (FoundryError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@functools.cache
def _known() -> tuple[list[list[str]], dict[str, str]]:
    """The rows of the table of architectures, the header first, and the reasons by their numbers."""
    text = KNOWN.read_text(encoding="utf-8") if KNOWN.is_file() else ""
    table = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.M)]
    reasons = dict(re.findall(r"^(\d+)\. (.*)$", text, re.M))
    return [row for row in table if set(row) != {"---"}], reasons


def known_to_be_skipped(kind: str, architecture: str) -> dict[str, str]:
    """The variants that no model of this kind and architecture can have, as docs/architectures.md has them."""
    table, reasons = _known()
    if not table:
        return {}
    header, *rows = table
    row = next((row for row in rows if row[:2] == [kind, architecture]), [])
    return {name: reasons[cell] for name, cell in zip(header, row, strict=False) if cell in reasons}


if __name__ == "__main__":
    command.run_app(main)
