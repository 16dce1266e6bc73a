"""Fetch one checkpoint into its `torch` folder, and check all of it before anything is built from it.

First its files, then what they say, then the model as Sentence Transformers loads it. What is refused is refused here,
in one line; every later stage builds from what stands in the folder.
"""

import importlib.metadata
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.checkpoints import (
    adapters,
    code,
    contents,
    hub,
    integrity,
    loading,
    other_repository,
    record,
    structure,
    tokenizer,
    unsupported,
    weights,
)
from foundry.checkpoints.loading import Loaded
from foundry.checkpoints.settings import Download
from foundry.data import sources
from foundry.data.settings import HubSource, PackageSource, PathSource
from foundry.variants import checkpoint_folder, model_card, variant_folder
from foundry.variants.checkpoint_folder import Kind


class Fetched(NamedTuple):
    """What came of a source."""

    origin: dict[str, Any]  # where it comes from, for the record
    code: list[str]  # the Python files that the source has, whether they were fetched or not


def fetch_local(source: PathSource | PackageSource, target: Path, trusted: bool = False) -> Fetched:
    """Copy a local checkpoint's needed files.

    Raises:
        FoundryError: when there is no checkpoint, or a path or link leads outside of its folder.
    """
    folder = sources.local_path(source)
    if not folder.is_dir():
        raise FoundryError(f"{folder} is a file, and a checkpoint is a folder")
    listed = structure.plain_files(folder)
    if "config.json" not in listed:
        checkpoint_folder.modules(folder)  # says what is missing, before a folder of anything is copied
    names = contents.needed(listed, structure.module_folders(folder), trusted)
    files.require_space(target, sum((folder / name).stat().st_size for name in names))
    for name in names:
        files.copy(folder / name, target / name)
    python = [name for name in listed if name.endswith(".py")]
    if isinstance(source, PathSource):
        return Fetched({"path": source.path}, python)
    distributions = importlib.metadata.packages_distributions().get(source.package, [])
    versions = {name: importlib.metadata.version(name) for name in sorted(set(distributions))}
    return Fetched({"package": source.package, "path": source.path, "distribution": versions}, python)


def fetch_hub(source: HubSource, target: Path, trusted: bool = False) -> Fetched:
    """Download a pinned revision's needed files.

    Raises:
        FoundryError: when the Hub cannot be reached, or refuses, or a module's path leaves the repository.
    """

    def listings(names: Sequence[str]) -> list[str]:
        return [name for name in names if name == "modules.json" or name.endswith("config.json")]

    def wanted(names: Sequence[str]) -> list[str]:
        return contents.needed(names, folders, trusted)

    first = hub.snapshot(source.hub, source.revision, listings)
    folders = structure.module_folders(first.folder) if first.names else []
    snapshot = hub.snapshot(source.hub, source.revision, wanted)
    for name in snapshot.names:
        files.copy(snapshot.folder / name, target / name)
    python = [name for name in snapshot.listed if name.endswith(".py")]
    return Fetched({"hub": source.hub, "revision": snapshot.revision}, python)


def check_loadable(folder: Path) -> None:
    """Check that the folder is a whole Sentence Transformers model, without loading it.

    Raises:
        FoundryError: naming what is missing or broken.
    """
    integrity.check(folder)
    structure.check_module_folders(folder)
    root = folder / checkpoint_folder.transformer_path(folder)
    if not (root / "config.json").is_file():
        raise FoundryError(f"{root} has no config.json")
    if not variant_folder.weights_files(folder, "torch"):
        raise FoundryError(f"{root} has no weights: expected one of {', '.join(checkpoint_folder.TORCH_WEIGHTS)}")


def check_code(folder: Path, model: str, python: list[str], settings: Download) -> dict[str, str]:
    """Say loudly which code of the checkpoint's will run, or check that none can; give where other code came from.

    Raises:
        FoundryError: when the checkpoint cannot be loaded without code, and that is not allowed.
    """
    other = {}
    if settings.trust_remote_code and settings.code_revision is not None:
        other = other_repository.fetch(folder, model, settings.code_revision)
        python = sorted({*python, *(path.as_posix() for path in files.files_below(folder) if path.suffix == ".py")})
    code.check(folder, model, python, settings.trust_remote_code)
    if settings.trust_remote_code and python:
        say(f"{model}: ", ("runs the checkpoint's own code", "bold red"), f": {', '.join(python)}")
    return other


def load(folder: Path, model: str, settings: Download, scratch: Path) -> Loaded:
    """Load the model once, and check it: its weights, tokenizer and lengths; convert it to the kind that is asked for.

    Raises:
        FoundryError: when it does not load, or is not whole.
    """
    is_saved = (folder / "modules.json").is_file()
    is_converted = settings.kind is not None and not (is_saved and checkpoint_folder.kind(folder) == settings.kind)
    kind: Kind = settings.kind or checkpoint_folder.kind(folder)
    transformer = str((structure.module_rows(folder) or [{"path": ""}])[0]["path"])
    adapter = adapters.set_aside(folder, transformer, scratch)
    if not is_converted:
        check_loadable(folder)
        _ = checkpoint_folder.task(folder)
    loaded = loading.load(folder, kind, settings.trust_remote_code, kind_is_set=settings.kind is not None)
    weights.check(folder, loaded)
    tokenizer.check(loaded)
    if adapter is not None:
        adapters.merge(folder, transformer, adapter, loaded, model)
    if is_converted:
        with files.replacing(folder) as partial:
            loaded.model.save_pretrained(str(partial))
        check_loadable(folder)
    tokenizer.write_length(folder, loaded, model)
    return loaded


def fetch(model: str, settings: Download, out: Path) -> None:
    """Make the folder `out`: the checkpoint's needed files, and a record of where they come from, with their hashes.

    Raises:
        FoundryError: when the checkpoint cannot be had, or is not one that can be built from.
    """
    source, trusted = settings.source, settings.trust_remote_code
    with files.replacing_folder(out) as partial, tempfile.TemporaryDirectory() as scratch:
        if isinstance(source, HubSource):
            fetched = fetch_hub(source, partial, trusted)
        else:
            fetched = fetch_local(source, partial, trusted)
        integrity.check(partial)
        unsupported.check(partial, settings.kind)
        other = check_code(partial, model, fetched.code, settings)
        loaded = load(partial, model, settings, Path(scratch))
        origin = fetched.origin | ({"code": other} if other else {})
        listing = record.write(partial, origin, record.facts(loaded, trusted))["files"]
        if mistake := model_card.parse(model_card.read(partial / "README.md")).mistake:
            say(f"{model}: README.md: {mistake}; its licence and tags are not known")
    size = sum(entry["size_bytes"] for entry in listing.values()) / 1e6
    say(f"{model}: {len(listing)} files, {size:.1f} MB")
