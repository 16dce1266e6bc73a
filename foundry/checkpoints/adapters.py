"""Adapters (LoRA): what was trained beside a model's weights, and is merged into them, so that it is one model."""

import importlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.checkpoints import contents, integrity, structure
from foundry.checkpoints.failures import failures
from foundry.checkpoints.loading import Loaded
from foundry.variants import checkpoint_folder, sides, variant_folder

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Settings of an adapter that make peft import a module by its name.
IMPORTING = ("megatron_config", "loftq_config", "eva_config", "corda_config")


class Adapter(NamedTuple):
    """An adapter that was moved out of a checkpoint's copy."""

    folder: Path  # with its two files, and nothing else
    base: str  # what its settings name as the model that it was trained on
    sha256: dict[str, str]  # of each file, by its name


def transformer_path(folder: Path) -> str:
    """Where a checkpoint's transformer stands: as modules.json says, or the root."""
    return structure.transformer_path(folder)


def folders(names: Iterable[str]) -> list[str]:
    """Of a checkpoint's file names, the folders below its root that hold an adapter."""
    return sorted(name.rpartition("/")[0] for name in names if name.endswith(f"/{CONFIG}"))


def find(names: Iterable[str], adapter: str) -> str:
    """The folder of the adapter that the settings name: by its path in the checkpoint, or the path's last part.

    Raises:
        FoundryError: with the adapters that there are, when it is none of them or could be several.
    """
    there = folders(names)
    wanted = adapter.strip("/")
    found = [folder for folder in there if folder == wanted]
    found = found or [folder for folder in there if folder.rpartition("/")[2] == wanted]
    if len(found) == 1:
        return found[0]
    known = ", ".join(there) if there else "none in a folder of its own"
    if found:
        raise FoundryError(
            f"adapter: {adapter!r} may be several of the checkpoint's adapters; write the path of {known}"
        )
    raise FoundryError(f"adapter: {adapter!r} is no adapter of the checkpoint's; it ships {known}")


def choose(folder: Path, inside: str) -> None:
    """Put the adapter in a folder of a checkpoint's copy where the transformer is, as the only one."""
    transformer = folder / transformer_path(folder)
    for name in (CONFIG, WEIGHTS):
        files.remove(transformer / name)
        if (folder / inside / name).is_file():
            files.copy(folder / inside / name, transformer / name)
    top = folder / inside.partition("/")[0]
    files.remove(top if top not in (transformer, *transformer.parents) else folder / inside)


def is_alone(folder: Path) -> bool:
    """Whether a checkpoint's copy is an adapter without the weights that it was trained on."""
    transformer = folder / transformer_path(folder)
    return (transformer / CONFIG).is_file() and not has_weights(transformer)


def has_weights(transformer: Path) -> bool:
    """Whether a folder holds a transformer's weights and settings."""
    is_there = any(any(transformer.glob(pattern)) for pattern in checkpoint_folder.TORCH_WEIGHTS)
    return is_there and (transformer / "config.json").is_file()


def put_beside_base(folder: Path, base: Path, model: str) -> None:
    """Put a base's files beside an adapter that stands alone; where both have a file, the adapter's stays.

    Args:
        folder: The copy of the adapter's checkpoint.
        base: The copy of its base's.
        model: Its name in params.yaml.

    Raises:
        FoundryError: when the one is no adapter alone, or the other holds no weights.
    """
    if not is_alone(folder):
        what = "holds weights of its own" if has_weights(folder / transformer_path(folder)) else f"has no {CONFIG}"
        raise FoundryError(f"models.{model}.base is for an adapter alone, and the checkpoint {what}; remove `base`")
    source, inside = transformer_path(base), transformer_path(folder)
    if not has_weights(base / source):
        raise FoundryError(f"models.{model}.base has no weights or no config.json; name the model, not another adapter")
    if not (folder / "modules.json").is_file():
        # The adapter's files belong where the base has its transformer.
        for name in (CONFIG, WEIGHTS, *(contents.TOKENIZER_FILES if source else ())):
            for path in [path for path in folder.glob(name) if source and path.is_file()]:
                files.copy(path, folder / source / path.name)
                files.remove(path)
        names, inside = files.files_below(base), source
    else:
        names = [Path(source) / path.name for path in (base / source).iterdir() if path.is_file()]
    has_tokenizer = any(any((folder / inside).glob(name)) for name in contents.TOKENIZER_FILES)
    for name in names:
        is_tokenizer = any(name.match(pattern) for pattern in contents.TOKENIZER_FILES)
        in_transformer = name.parent == Path(source)
        target = folder / (Path(inside) / name.name if in_transformer else name)
        # Files of two tokenizers do not make one.
        if not target.exists() and not (in_transformer and is_tokenizer and has_tokenizer):
            files.copy(base / name, target)


def set_aside(folder: Path, transformer: str, scratch: Path, model: str) -> Adapter | None:
    """Move an adapter out of a checkpoint's copy, so that it is not taken for the model; give it, or None where there
    is none.

    Raises:
        FoundryError: when its base is not beside it, it is no LoRA, or peft is not installed.
    """
    root = folder / transformer
    if not (root / CONFIG).is_file():
        files.remove(root / WEIGHTS)  # without its settings, it belongs to nothing
        return None
    settings = integrity.read_json(root / CONFIG)
    base = str(settings.get("base_model_name_or_path"))
    if not has_weights(root):
        raise FoundryError(
            f"the checkpoint is an adapter of {base}, without that model's weights. Name them as "
            f"models.{model}.base: {{hub: org/name, revision: <commit>}}, or a path or package, and download merges "
            "the two. Or merge them with peft.PeftModel.from_pretrained(base, adapter).merge_and_unload()"
        )
    if (peft_type := settings.get("peft_type")) != "LORA":
        raise FoundryError(f"{CONFIG} has peft_type: {peft_type}; what can be merged is LORA")
    if named := [key for key in IMPORTING if settings.get(key)]:
        raise FoundryError(f"{CONFIG} has {', '.join(named)}, which are for training; remove them")
    if importlib.util.find_spec("peft") is None:
        raise FoundryError(
            f"the checkpoint has an adapter ({CONFIG}), which is merged into its weights by peft: "
            "pip install '.[adapters]'"
        )
    if not (root / WEIGHTS).is_file():
        raise FoundryError(f"{CONFIG} is there, and {WEIGHTS}, the adapter's weights, is not")
    hashes = {name: files.sha256(root / name) for name in (CONFIG, WEIGHTS)}
    for name in (CONFIG, WEIGHTS):
        files.copy(root / name, scratch / name)
        files.remove(root / name)
    return Adapter(scratch, base, hashes)


def merge(folder: Path, transformer: str, adapter: Adapter, loaded: Loaded, model: str) -> None:
    """Merge an adapter into the loaded model, and write the merged weights into the checkpoint's copy.

    Raises:
        FoundryError: when it does not fit the model.
    """
    peft: Any = importlib.import_module("peft")  # an extra
    module = sides.transformer(loaded.model)
    with failures("the adapter does not fit the model", adapter.folder):
        adapted = peft.PeftModel.from_pretrained(module.model, str(adapter.folder), local_files_only=True)
        _check_weights(peft, adapted, adapter)
        merged = adapted.merge_and_unload(safe_merge=True)
        for path in variant_folder.weights_files(folder, "torch"):
            files.remove(path)
        merged.save_pretrained(str(folder / transformer), safe_serialization=True)
    module.model = merged
    say(f"{model}: merged its adapter into the weights of {adapter.base}")


def _check_weights(peft: Any, adapted: Any, adapter: Adapter) -> None:
    """Check that each of the adapter's weights is in the model: of one that is not, peft only warns."""
    from safetensors import safe_open

    with safe_open(adapter.folder / WEIGHTS, framework="numpy") as file:
        in_file = set(file.keys())
    in_model = set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
    # An adapter may bring whole embeddings, too, which the call above leaves out.
    strangers = sorted(name for name in in_file - in_model if "lora_" in name)
    if strangers or in_model - in_file:
        raise FoundryError(
            "the adapter does not fit the model: "
            f"{', '.join([*strangers, *sorted(in_model - in_file)][:4])} are not in both of them"
        )
