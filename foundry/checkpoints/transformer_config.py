"""config.json says all of what is computed, so that every stage and every runtime has the model that torch has.

Exporters, and whoever loads a published folder by transformers, read config.json alone. Sentence Transformers also
reads arguments for it from settings of its own, and computes in the precision of the weights.
"""

from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.progress import say
from foundry.checkpoints.failures import failures
from foundry.checkpoints.loading import Loaded
from foundry.checkpoints.settings_types import CONFIG_ARGUMENTS, MODEL_ARGUMENTS
from foundry.variants import checkpoint_folder
from foundry.variants.variant_folder import TORCH_SETTINGS

DTYPES = ("dtype", "torch_dtype")
COMPUTED = "float32"


def write(folder: Path, loaded: Loaded, model: str) -> None:
    """Write into config.json what Sentence Transformers' settings change in it, and that it is computed in fp32 where
    the checkpoint is in another precision, mostly half of that: no graph is computed in bf16 on every processor, and a
    reference in half precision has errors of its own. Files of other checkpoints keep their bytes.

    Raises:
        FoundryError: when the settings and config.json do not go together.
    """
    if loaded.model.transformers_model is None:  # a first module of the checkpoint's own
        return
    transformer = folder / checkpoint_folder.transformer_path(folder)
    settings = checkpoint_folder.module_settings(folder)
    configuration = loaded.model.transformers_model.config
    arguments = [key for name in CONFIG_ARGUMENTS for key in settings.get(name) or {} if hasattr(configuration, key)]
    named = tuple(key for key in arguments if key not in (*TORCH_SETTINGS, "trust_remote_code"))
    if named:
        with failures(f"{', '.join(named)} of its settings cannot stand in config.json", folder):
            # What a configuration makes of an argument is known to its class alone.
            configuration.save_pretrained(str(transformer))
        say(f"{model}: wrote {', '.join(named)} of its settings into config.json")
    dropped = dict.fromkeys(CONFIG_ARGUMENTS, named)
    if others := other_precisions(transformer, loaded):
        config = files.read_json(transformer / "config.json")
        config = {key: value for key, value in config.items() if key not in DTYPES}
        files.write_json(transformer / "config.json", {**config, "dtype": COMPUTED})
        loaded.model.float()
        dropped |= {name: (*dropped.get(name, ()), *DTYPES) for name in (*MODEL_ARGUMENTS, *CONFIG_ARGUMENTS)}
        say(f"{model}: is in {' and '.join(others)}, and computed in {COMPUTED} here; its weights stay as they are")
    path = checkpoint_folder.module_settings_path(transformer)
    if path is not None and (kept := without(settings, dropped)) != settings:
        files.write_json(path, kept)


def other_precisions(transformer: Path, loaded: Loaded) -> list[str]:
    """The precisions beside fp32 that a checkpoint is in, as it was loaded, or would be by its config.json: older
    versions of transformers load in fp32 whatever that says, and newer ones load what is published."""
    config = files.read_json(transformer / "config.json")
    loaded_in = str(loaded.model.transformers_model.dtype)
    named = [str(name).removeprefix("torch.") for name in (loaded_in, *map(config.get, DTYPES)) if name is not None]
    return [name for name in dict.fromkeys(named) if name not in (COMPUTED, "auto")]


def without(settings: dict[str, Any], dropped: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Settings without some of the arguments in them: of each name that has arguments, which are dropped."""
    kept = {}
    for name, value in settings.items():
        if name in dropped and isinstance(value, dict):
            left = {key: argument for key, argument in value.items() if key not in dropped[name]}
            if value and not left:
                continue
            value = left
        kept[name] = value
    return kept
