"""Fetch one checkpoint into its `torch` folder, and check all of it before anything is built from it.

First its files, then what they say, then the model as Sentence Transformers loads it. What is refused is refused here,
in one line; every later stage builds from what stands in the folder.
"""

import importlib.metadata
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.checkpoints import (
    adapters,
    clip,
    code,
    contents,
    failures,
    hub,
    integrity,
    loading,
    other_repository,
    pair_templates,
    record,
    router_sides,
    structure,
    tokenizer,
    transformer_config,
    unsupported,
    weights,
)
from foundry.checkpoints.adapters import Adapter
from foundry.checkpoints.loading import Loaded
from foundry.checkpoints.settings import Download
from foundry.data import sources
from foundry.data.settings import HubSource, PackageSource, PathSource
from foundry.variants import checkpoint_folder, model_card, other_side, variant_folder
from foundry.variants.checkpoint_folder import Kind


class Fetched(NamedTuple):
    """What came of a source."""

    origin: dict[str, Any]  # where it comes from, for the record
    code: list[str]  # the Python files that the source has, whether they were fetched or not
    adapters: list[str]  # the folders of the source that hold an adapter
    adapter: str | None = None  # that of them which was asked for


def fetch_local(
    source: PathSource | PackageSource, target: Path, trusted: bool = False, adapter: str | None = None
) -> Fetched:
    """Copy a local checkpoint's needed files, with those of the adapter that is named.

    Raises:
        FoundryError: when there is no checkpoint, or a path or link leads outside of its folder.
    """
    folder = sources.local_path(source)
    if not folder.is_dir():
        raise FoundryError(f"{folder} is a file, and a checkpoint is a folder")
    listed = structure.plain_files(folder)
    chosen = [] if adapter is None else [adapters.find(listed, adapter)]
    is_known = "config.json" in listed or adapters.CONFIG in listed or clip.path_in(folder) is not None
    if not is_known and not chosen:
        checkpoint_folder.modules(folder)  # says what is missing, before a folder of anything is copied
    names = contents.needed(listed, [*structure.module_folders(folder), *chosen], trusted)
    if odd := [name for name in names if not name.isprintable()]:
        raise FoundryError(f"{odd[0]!r} of the checkpoint {folder} cannot be published under that name; rename it")
    files.require_space(target, sum((folder / name).stat().st_size for name in names))
    for name in names:
        files.copy(folder / name, target / name)
    python = [name for name in listed if name.endswith(".py")]
    others = adapters.folders(listed)
    if isinstance(source, PathSource):
        return Fetched({"path": source.path}, python, others)
    distributions = importlib.metadata.packages_distributions().get(source.package, [])
    versions = {name: importlib.metadata.version(name) for name in sorted(set(distributions))}
    return Fetched({"package": source.package, "path": source.path, "distribution": versions}, python, others)


def fetch_hub(source: HubSource, target: Path, trusted: bool = False, adapter: str | None = None) -> Fetched:
    """Download a pinned revision's needed files, with those of the adapter that is named.

    Raises:
        FoundryError: when the Hub cannot be reached, or refuses, or a module's path leaves the repository.
    """

    def listings(names: Sequence[str]) -> list[str]:
        return [name for name in names if name == "modules.json" or name.endswith("config.json")]

    def wanted(names: Sequence[str]) -> list[str]:
        chosen = [] if adapter is None else [adapters.find(names, adapter)]
        return contents.needed(names, [*folders, *chosen], trusted)

    first = hub.snapshot(source.hub, source.revision, listings)
    folders = structure.module_folders(first.folder) if first.names else []
    snapshot = hub.snapshot(source.hub, source.revision, wanted)
    for name in snapshot.names:
        files.copy(snapshot.folder / name, target / name)
    python = [name for name in snapshot.listed if name.endswith(".py")]
    return Fetched({"hub": source.hub, "revision": snapshot.revision}, python, adapters.folders(snapshot.listed))


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


def check_code(
    folder: Path, model: str, python: list[str], settings: Download, may_be_table: bool = False
) -> dict[str, str]:
    """Say loudly which code of the checkpoint's will run, or check that none can; give where other code came from.

    Raises:
        FoundryError: when the checkpoint cannot be loaded without code, and that is not allowed.
    """
    other = {}
    if settings.trust_remote_code and settings.code_revision is not None:
        other = other_repository.fetch(folder, model, settings.code_revision)
        python = sorted({*python, *(path.as_posix() for path in files.files_below(folder) if path.suffix == ".py")})
    code.check(folder, model, python, settings.trust_remote_code, may_be_table)
    if settings.trust_remote_code and python:
        say(f"{model}: ", ("runs the checkpoint's own code", "bold red"), f": {', '.join(python)}")
    return other


def load(folder: Path, model: str, settings: Download, adapter: Adapter | None) -> Loaded:
    """Load the model once, and check it: its weights, tokenizer and lengths; convert it to the kind that is asked for.

    Raises:
        FoundryError: when it does not load, or is not whole.
    """
    is_saved = (folder / "modules.json").is_file()
    is_converted = settings.kind is not None and not (is_saved and checkpoint_folder.kind(folder) == settings.kind)
    kind: Kind = settings.kind or checkpoint_folder.kind(folder)
    is_converted |= kind == "MultiVectorEncoder" and checkpoint_folder.is_of_older_colbert(folder)
    if not is_converted:
        check_loadable(folder)
        _ = checkpoint_folder.task(folder)
    loaded = loading.load(folder, kind, settings.trust_remote_code, kind_is_set=settings.kind is not None)
    weights.check(folder, loaded)
    tokenizer.check(loaded)
    tokenizer.check_scored(loaded)
    if adapter is not None:
        adapters.merge(folder, adapters.transformer_path(folder), adapter, loaded, model)
    if names := weights.unused(loaded):
        say(f"{model}: its files hold weights that its settings leave out, such as {names[0]} ({len(names)} in all)")
    if is_converted:
        save_converted(folder, loaded)
        check_loadable(folder)
    transformer_config.write(folder, loaded, model)
    weights.check_numbers(loaded)  # in fp32 from here on, in which less overflows than in fp16
    weights.write_safetensors(folder, model)
    tokenizer.write_length(folder, loaded, model)
    pair_templates.write(folder, loaded, model)
    return loaded


def leave_unread_settings(folder: Path, model: str) -> None:
    """Leave out settings that Sentence Transformers does not read where there is no modules.json: others would."""
    unread = folder / "config_sentence_transformers.json"
    if not (folder / "modules.json").is_file() and unread.is_file():
        files.remove(unread)
        say(f"{model}: {unread.name} is left out: without modules.json, Sentence Transformers does not read it")


def save_converted(folder: Path, loaded: Loaded) -> None:
    """Save the loaded model in the place of its folder; card and licence stay the author's."""
    with files.replacing(folder) as partial:
        loaded.model.save_pretrained(str(partial), create_model_card=False)
        contents.copy_documents(folder, partial)


def fetch_source(
    source: HubSource | PathSource | PackageSource, target: Path, trusted: bool, adapter: str | None = None
) -> Fetched:
    """Copy or download a source's needed files, and check that none of them is broken.

    Raises:
        FoundryError: as `fetch_hub`, `fetch_local` and `integrity.check` do.
    """
    if isinstance(source, HubSource):
        fetched = fetch_hub(source, target, trusted, adapter)
    else:
        fetched = fetch_local(source, target, trusted, adapter)
    integrity.check(target)
    names = [f"{folder}/{adapters.CONFIG}" for folder in fetched.adapters]
    return fetched if adapter is None else fetched._replace(adapter=adapters.find(names, adapter))


def choose_adapter(folder: Path, model: str, settings: Download, fetched: Fetched) -> None:
    """Put the adapter that the settings name where the transformer is; where they name none, say which there are."""
    if fetched.adapter is not None:
        adapters.choose(folder, fetched.adapter)
    elif fetched.adapters:
        names = ", ".join(fetched.adapters)
        say(f"{model}: built without the adapters that its source ships ({names}); models.{model}.adapter names one")


def fetch_base(folder: Path, model: str, settings: Download, scratch: Path) -> dict[str, Any]:
    """Put the base of an adapter beside it; give where the base comes from, with its files' hashes, for the record.

    Raises:
        FoundryError: when there is no adapter, or the base cannot be had.
    """
    if settings.base is None:
        return {}
    with failures_in(scratch, f"models.{model}.base"):
        fetched = fetch_source(settings.base, scratch, settings.trust_remote_code)
    hashes = dict(variant_folder.hashes(scratch))
    adapters.put_beside_base(folder, scratch, model)
    return {"base": {**fetched.origin, "files": hashes}}


@contextmanager
def failures_in(folder: Path, name: str) -> Iterator[None]:
    """Let what is wrong with a copy be one line, without the path of the copy, which is gone when the line is read."""
    try:
        yield
    except FoundryError as error:
        message = failures.without_folder(str(error), folder, name)
        raise FoundryError(" ".join(message.split("\n"))) from error


def check_other_side(folder: Path, model: str, settings: Download, fetched: Fetched, own: Loaded) -> None:
    """Check the side of a Router that is not built as strictly as the one that is: torch runs it.

    Raises:
        FoundryError: when it does not load, is not whole, or gives other dimensions.
    """
    if settings.side is None:
        return
    role = other_side.opposite(settings.side)
    with failures_in(folder, f"the checkpoint's side for {other_side.NAMES[role]}"):
        router_sides.check_plain(folder, role)
        check_code(folder, model, fetched.code, settings, may_be_table=True)
        if router_sides.is_transformer(folder):
            loaded = load(folder, model, settings, None)
        else:  # a table of words, which is no model that could be built
            kind: Kind = own.kind
            loaded = loading.load(folder, kind, settings.trust_remote_code, kind_is_set=settings.kind is not None)
            weights.check(folder, loaded)
            weights.check_numbers(loaded)
        router_sides.check_dimensions(own, loaded)


def fetch(model: str, settings: Download, out: Path, out_of_other_side: Path | None = None) -> None:
    """Make the folder `out`: the checkpoint's needed files, and a record of where they come from, with their hashes.

    `out_of_other_side` becomes a folder with the other side of a Router, where one side is built; else with none.

    Raises:
        FoundryError: when the checkpoint cannot be had, or is not one that can be built from.
    """
    trusted = settings.trust_remote_code
    with files.replacing_folder(out) as partial, tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        with failures_in(partial, "the checkpoint"):
            fetched = fetch_source(settings.source, partial, trusted, settings.adapter)
            origin = fetched.origin | router_sides.keep(partial, model, settings, scratch / "other side")
            choose_adapter(partial, model, settings, fetched)
            origin |= fetch_base(partial, model, settings, scratch / "base")
            adapter = adapters.set_aside(partial, adapters.transformer_path(partial), scratch / "adapter", model)
            if (clip_path := clip.path_in(partial)) is not None and settings.kind in (None, "SentenceTransformer"):
                origin["left_out"] = clip.keep_text_tower(partial, clip_path, model)
            leave_unread_settings(partial, model)
            unsupported.check(partial, settings.kind)
            if other := check_code(partial, model, fetched.code, settings):
                origin["code"] = other
            loaded = load(partial, model, settings, adapter)
        check_other_side(scratch / "other side", model, settings, fetched, loaded)
        if out_of_other_side is not None:
            other_side.write(out_of_other_side, scratch / "other side", settings.side, loaded.kind, trusted)
        if adapter is not None:
            origin["adapter"] = adapter.sha256
            if fetched.adapter is not None:
                origin["adapter_folder"] = fetched.adapter
        listing = record.write(partial, origin, record.facts(loaded, trusted))["files"]
        if mistake := model_card.parse(model_card.read(partial / "README.md")).mistake:
            say(f"{model}: README.md: {mistake}; its licence and tags are not known")
    size = sum(entry["size_bytes"] for entry in listing.values()) / 1e6
    say(f"{model}: {len(listing)} files, {size:.1f} MB")
