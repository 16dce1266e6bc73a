"""Adapters (LoRA): what was trained beside a model's weights, and is merged into them, so that it is one model."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.checkpoints import integrity
from foundry.checkpoints.loading import REFUSALS, Loaded
from foundry.variants import variant_folder

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def set_aside(folder: Path, transformer: str, scratch: Path) -> Path | None:
    """Move an adapter out of a checkpoint's copy, so that it is not taken for the model; give the folder with it, or
    None where there is none.

    Raises:
        FoundryError: when its base is not beside it, or peft is not installed.
    """
    root = folder / transformer
    if not (root / CONFIG).is_file():
        files.remove(root / WEIGHTS)  # without its settings, it belongs to nothing
        return None
    base = integrity.read_json(root / CONFIG).get("base_model_name_or_path")
    if not variant_folder.weights_files(folder, "torch") or not (root / "config.json").is_file():
        raise FoundryError(
            f"the checkpoint is an adapter of {base}, without that model's weights. Merge the two with "
            "peft.PeftModel.from_pretrained(base, adapter).merge_and_unload(), save the result, and name that folder"
        )
    if importlib.util.find_spec("peft") is None:
        raise FoundryError(
            f"the checkpoint has an adapter beside its weights ({CONFIG}), which is merged by peft: "
            "pip install '.[adapters]'"
        )
    if not (root / WEIGHTS).is_file():
        raise FoundryError(f"{CONFIG} is there, and {WEIGHTS}, the adapter's weights, is not")
    for name in (CONFIG, WEIGHTS):
        files.copy(root / name, scratch / name)
        files.remove(root / name)
    return scratch


def merge(folder: Path, transformer: str, adapter: Path, loaded: Loaded, model: str) -> None:
    """Merge an adapter into the loaded model, and write the merged weights into the checkpoint's copy.

    Raises:
        FoundryError: when it does not fit the model.
    """
    peft: Any = importlib.import_module("peft")  # an extra
    module = loaded.model[0]
    try:
        merged = peft.PeftModel.from_pretrained(module.model, str(adapter), local_files_only=True).merge_and_unload()
    except REFUSALS as error:
        raise FoundryError(f"the adapter does not fit the weights beside it: {str(error).splitlines()[0]}") from error
    for path in variant_folder.weights_files(folder, "torch"):
        files.remove(path)
    merged.save_pretrained(str(folder / transformer), safe_serialization=True)
    module.model = merged
    say(f"{model}: merged the adapter beside its weights into them")
