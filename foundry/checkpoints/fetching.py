"""Fetch one checkpoint into its `torch` folder: only the files that are needed, each with its hash on record."""

import importlib.metadata
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.checkpoints.settings import Download
from foundry.data import sources
from foundry.data.settings import HubSource, PackageSource, PathSource
from foundry.variants import checkpoint_folder, variant_folder
from foundry.variants.checkpoint_folder import Kind

# What checkpoints carry for other frameworks and for their own training.
UNNEEDED = (
    ".*", "*/.*", "onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.onnx",
    "*.gguf", "*.mlmodel", "coreml/*", "eval/*", "*.ckpt*", "*.pth", "optimizer.*", "training_args.bin",
    "train_script.py", "data_config.json", "__pycache__/*", "*/__pycache__/*", "*.pyc",
)  # fmt: skip


def needed(names: Iterable[str]) -> list[str]:
    """Of a checkpoint's file names, those that Sentence Transformers loads: safetensors where there are any."""
    kept = [name for name in names if not any(fnmatch(name, pattern) for pattern in UNNEEDED)]
    with_safetensors = {name.rpartition("/")[0] for name in kept if name.endswith(".safetensors")}

    def is_second_copy(name: str) -> bool:
        folder, _, base = name.rpartition("/")
        return folder in with_safetensors and fnmatch(base, "pytorch_model*.bin*")

    return sorted(name for name in kept if not is_second_copy(name))


def fetch_local(source: PathSource | PackageSource, target: Path) -> dict[str, Any]:
    """Copy a local checkpoint's needed files; say what is known of its revision."""
    folder = sources.local_path(source)
    if not (folder / "config.json").is_file():
        checkpoint_folder.modules(folder)  # says what is missing, before a folder of anything is copied
    names = needed(path.as_posix() for path in files.files_below(folder))
    files.require_space(target, sum((folder / name).stat().st_size for name in names))
    for name in names:
        files.copy(folder / name, target / name)
    if isinstance(source, PathSource):
        return {"path": source.path}
    distributions = importlib.metadata.packages_distributions().get(source.package, [])
    versions = {name: importlib.metadata.version(name) for name in sorted(set(distributions))}
    return {"package": source.package, "path": source.path, "distribution": versions}


def fetch_hub(source: HubSource, target: Path) -> dict[str, Any]:
    """Download a pinned revision's needed files; huggingface_hub retries and resumes.

    Raises:
        FoundryError: when the Hub cannot be reached, or refuses.
    """
    import requests
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        info = HfApi().model_info(source.hub, revision=source.revision)
        names = needed(sibling.rfilename for sibling in info.siblings or [])
        cached = snapshot_download(source.hub, revision=source.revision, allow_patterns=names)
    except HfHubHTTPError as error:
        raise FoundryError(f"the Hub refuses {source.hub} at {source.revision}: {error}") from error
    except (
        requests.ConnectionError,
        requests.Timeout,
        OfflineModeIsEnabled,
        LocalEntryNotFoundError,
    ) as error:
        raise FoundryError(
            f"the Hub cannot be reached, and {source.hub} at {source.revision} comes from there "
            f"({type(error).__name__}). Connect this machine, unset HF_HUB_OFFLINE, or name a local source: "
            "{path: ...} or {package: ..., path: ...}"
        ) from error
    for name in names:
        files.copy(Path(cached) / name, target / name)
    return {"hub": source.hub, "revision": info.sha}


def check_loadable(folder: Path) -> None:
    """Check that the folder is a whole Sentence Transformers model, without loading it.

    Raises:
        FoundryError: naming what is missing or broken.
    """
    from safetensors import SafetensorError, safe_open

    for row in checkpoint_folder.modules(folder):
        # A module with settings has a folder of its own; Normalize has none, and its folder may be missing.
        if row["path"] and not row["type"].endswith("Normalize") and not (folder / row["path"]).is_dir():
            raise FoundryError(
                f"module {row['path']} ({row['type']}) stands in modules.json, but its folder is not there"
            )
    root = folder / checkpoint_folder.transformer_path(folder)
    if not (root / "config.json").is_file():
        raise FoundryError(f"{root} has no config.json")
    if not variant_folder.weights_files(folder, "torch"):
        raise FoundryError(f"{root} has no weights: expected one of {', '.join(checkpoint_folder.TORCH_WEIGHTS)}")
    for path in root.rglob("*.safetensors"):
        try:
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            raise FoundryError(f"{path.name} is truncated or no safetensors file: {error}") from error


def convert(folder: Path, kind: Kind) -> None:
    """Make the folder a model of this kind of Sentence Transformers, as its own class saves it.

    Raises:
        FoundryError: when that class cannot load it.
    """
    import sentence_transformers

    loading = getattr(sentence_transformers, kind)
    trusted = checkpoint_folder.has_own_code(folder)
    try:
        model = loading(str(folder), device="cpu", local_files_only=True, trust_remote_code=trusted)
    except (ValueError, OSError, RuntimeError, KeyError, TypeError) as error:
        raise FoundryError(
            f"the checkpoint does not load as the {kind} that params.yaml says it is: {error}"
        ) from error
    with files.replacing(folder) as partial:
        model.save_pretrained(str(partial))


def keep_or_drop_code(folder: Path, model: str, trusted: bool) -> None:
    """Say loudly which code of the checkpoint's will run, or take it out, so that none can.

    Raises:
        FoundryError: when the checkpoint cannot be loaded without its own code, and that is not allowed.
    """
    code = [path.as_posix() for path in files.files_below(folder) if path.suffix == ".py"]
    if not code:
        return
    if trusted:
        say(f"{model}: ", ("runs the checkpoint's own code", "bold red"), f": {', '.join(code)}")
        return
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    # Modules that are not Sentence Transformers' own, or an architecture that transformers does not know.
    types = [row["type"] for row in checkpoint_folder.modules(folder)]
    needs = [name for name in types if name.partition(".")[0] not in ("sentence_transformers", "Transformer")]
    if (architecture := checkpoint_folder.config(folder).get("model_type")) not in CONFIG_MAPPING_NAMES:
        needs.append(f"architecture {architecture}")
    if needs:
        raise FoundryError(
            f"{', '.join(needs)} of {model} needs the checkpoint's own code ({', '.join(code)}). Read it, and set "
            f"models.{model}.trust_remote_code: true"
        )
    for name in code:
        files.remove(folder / name)


def licence(folder: Path) -> str | None:
    """The licence that the model card's front matter names."""
    from huggingface_hub import ModelCard

    card = folder / "README.md"
    if not card.is_file():
        return None
    data: Any = ModelCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data
    return None if data.license is None else str(data.license)


def fetch(model: str, settings: Download, out: Path) -> None:
    """Make the folder `out`: the checkpoint's needed files, and a record of where they come from, with their hashes.

    Raises:
        FoundryError: when the checkpoint cannot be had, or is not one that can be built from.
    """
    source = settings.source
    with files.replacing_folder(out) as partial:
        origin = fetch_hub(source, partial) if isinstance(source, HubSource) else fetch_local(source, partial)
        is_saved = (partial / "modules.json").is_file()
        if settings.kind is not None and not (is_saved and checkpoint_folder.kind(partial) == settings.kind):
            convert(partial, settings.kind)
        check_loadable(partial)
        keep_or_drop_code(partial, model, settings.trust_remote_code)
        listing: dict[str, dict[str, Any]] = {
            name: {"sha256": digest, "size_bytes": (partial / name).stat().st_size}
            for name, digest in variant_folder.hashes(partial)
        }
        record = {"source": origin, "licence": licence(partial), "files": listing}
        files.write_json(partial / variant_folder.SOURCE_RECORD, record)
    size = sum(entry["size_bytes"] for entry in listing.values()) / 1e6
    say(f"{model}: {len(listing)} files, {size:.1f} MB")
