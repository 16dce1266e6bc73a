"""What a checkpoint would run: module types, classes of its own, names of functions in its settings.

Without `trust_remote_code` nothing may run but torch, transformers and Sentence Transformers. Trust is that setting
alone, and never follows from what lies in the folder.
"""

import importlib
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundry_runtime.router import TABLE

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.checkpoints import integrity, structure
from foundry.checkpoints.settings_types import ARGUMENTS
from foundry.variants import checkpoint_folder

OURS = "sentence_transformers."
TABLES = ("StaticEmbedding", TABLE)
# Packages whose models look like Sentence Transformers' own.
PACKAGES = {
    "pylate": "PyLate's, of which Sentence Transformers reads its Dense alone, in a MultiVectorEncoder",
    "model2vec": "Model2Vec's",
}
# Sentence Transformers' MultiVectorEncoder takes its own Dense in its place.
PYLATE_DENSE = "pylate.models.Dense.Dense"
SETTINGS = re.compile(r"sentence_[\w-]+_config\.json")
# Arguments of from_pretrained that name other files or sources, or allow pickles.
LOADING_ARGUMENTS = {
    "weights_only", "pretrained_model_name_or_path", "gguf_file", "adapter_kwargs", "state_dict", "subfolder",
    "cache_dir", "code_revision", "config", "proxies", "trust_remote_code", "ignore_mismatched_sizes", "backend",
    "variant", "from_tf", "from_flax", "tokenizer_file", "vocab_file", "merges_file", "quantization_config",
}  # fmt: skip
ACTIVATIONS = ("activation_function", "activation_fn", "sbert_ce_default_activation_function")


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    """A JSON value's mappings: itself, and those inside."""
    waiting = [value]  # no recursion: JSON nests as deeply as it likes
    while waiting:
        inner = waiting.pop(0)
        if isinstance(inner, dict):
            yield inner
            waiting += inner.values()
        elif isinstance(inner, list):
            waiting += inner


def json_settings(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every JSON file that holds settings, relative to the folder, and its value."""
    for name in files.files_below(folder):
        # Vocabularies and listings of weights hold no settings, and may be large.
        is_data = name.name in ("tokenizer.json", "vocab.json", "added_tokens.json", "special_tokens_map.json")
        if name.suffix == ".json" and not is_data and not name.name.endswith(".index.json"):
            yield name.as_posix(), integrity.read_json(folder / name)


def own_classes(folder: Path) -> dict[str, str]:
    """The classes of the author's that `auto_map` names in any settings file: each one's file, by the class."""
    named: dict[str, str] = {}
    for name, value in json_settings(folder):
        for mapping in mappings(value):
            auto_map = mapping.get("auto_map") or {}
            values = auto_map.values() if isinstance(auto_map, dict) else [auto_map]
            for classes in values:
                for reference in classes if isinstance(classes, list) else [classes]:
                    if reference is not None:
                        named[str(reference)] = name
    return named


def own_module_types(folder: Path) -> list[str]:
    """The module types that are not Sentence Transformers' own, in the checkpoint's order."""
    types = structure.module_types(folder).values()
    return [name for name in types if not name.startswith(OURS) and name != PYLATE_DENSE]


def elsewhere(folder: Path) -> dict[str, str]:
    """The references to code in another repository (`org/repo--module.Class`), and the file that makes each."""
    references = own_classes(folder) | dict.fromkeys(own_module_types(folder), "modules.json")
    return {reference: where for reference, where in references.items() if "--" in reference}


def check(folder: Path, model: str, code: list[str], trusted: bool, may_be_table: bool = False) -> None:
    """Check that nothing would run that may not.

    Args:
        folder: The checkpoint's copy.
        model: Its name in params.yaml.
        code: The Python files that its source has.
        trusted: Whether the checkpoint's own code may run.
        may_be_table: Whether its first module may look words up in a table, because nothing is exported of it.

    Raises:
        FoundryError: naming what would run, and what to do.
    """
    if references := elsewhere(folder):
        reference, where = next(iter(references.items()))
        repository = reference.partition("--")[0]
        raise FoundryError(
            f"{where} of {model} names {reference}: code of another repository, {repository}, which may change under "
            f"the model. Read it at one commit, and set models.{model}.trust_remote_code: true and code_revision: "
            "<that commit>, which fetches it into the checkpoint"
        )
    named = own_classes(folder)
    types = structure.module_types(folder).values()
    of_model = len(structure.module_rows(folder))  # those behind these are inside of Routers
    needs = [f"{where}: {reference}" for reference, where in named.items()]
    for position, name in enumerate(types):
        if may_be_table and not position and name.startswith(OURS) and name.rpartition(".")[2] in TABLES:
            continue
        if name.startswith(OURS):
            _check_module_type(name, position, is_inside=position >= of_model)
        elif name == PYLATE_DENSE and position and checkpoint_folder.kind(folder) == "MultiVectorEncoder":
            continue
        elif position >= of_model:
            _refuse_in_router(name)
        else:
            _check_own_type(name, folder, code, trusted)
            needs.append(f"module {name}")
    if not trusted and (architecture := _unknown_architecture(folder)) is not None:
        needs.append(f"architecture {architecture}")
        if not named and not code:
            raise FoundryError(
                f"config.json of {model} has model_type {architecture!r}, which this version of transformers does not "
                "know, and the checkpoint brings no code of its own"
            )
    if needs and not trusted:
        raise FoundryError(
            f"{', '.join(needs)} of {model} needs the checkpoint's own code "
            f"({', '.join(code) or 'no file of it is there'}). Read it, and set models.{model}.trust_remote_code: true"
        )
    if not trusted:
        check_settings(folder)


def _unknown_architecture(folder: Path) -> str | None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    path = folder / structure.transformer_path(folder) / "config.json"
    architecture = integrity.read_json(path).get("model_type") if path.is_file() else None
    return None if architecture in CONFIG_MAPPING_NAMES or architecture is None else str(architecture)


def _check_own_type(name: str, folder: Path, code: list[str], trusted: bool) -> None:
    """Check a module type that is not Sentence Transformers' own: it must be in a file of the checkpoint."""
    top = name.partition(".")[0]
    if (
        re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name)
        and f"{name.rpartition('.')[0].replace('.', '/')}.py" in code
    ):
        return
    whose = PACKAGES.get(top, "no class of Sentence Transformers, and no file of the checkpoint")
    raise FoundryError(
        f"module type {name} is of the package {top} ({whose}). What can be built are Sentence Transformers' own "
        "modules, and with trust_remote_code: true those whose Python file is in the checkpoint"
    )


def _refuse_in_router(name: str) -> None:
    """Refuse a type in a Router that is not Sentence Transformers' own, trusted or not: a Router imports whatever its
    settings name."""
    top = name.partition(".")[0]
    whose = PACKAGES.get(top, "no class of Sentence Transformers")
    raise FoundryError(
        f"module type {name} is of the package {top} ({whose}). Inside of a Router, what can be built are Sentence "
        "Transformers' own modules alone"
    )


def _check_module_type(name: str, position: int, is_inside: bool = False) -> None:
    """Check that a type below `sentence_transformers.` is a module that may follow or be a transformer; of those inside
    of a Router, whose order `routers.check` knows, that its name says what it is."""
    from sentence_transformers.base.modules import InputModule, Module, Router, Transformer
    from sentence_transformers.util import import_from_string

    try:
        module = import_from_string(name) if re.fullmatch(r"\w+(\.\w+)+", name) else None
    except (ImportError, AttributeError, ValueError):
        module = None
    if not (isinstance(module, type) and issubclass(module, Module) and module.__module__.startswith(OURS)):
        raise FoundryError(f"module type {name} is no module of Sentence Transformers {_version()}")
    if is_inside:
        end = name.rpartition(".")[2]
        is_named = end == TABLE or end.endswith("Transformer") or issubclass(module, Router)
        if issubclass(module, InputModule) != is_named or issubclass(module, Transformer) != end.endswith(
            "Transformer"
        ):
            raise FoundryError(f"module type {name} cannot be built inside of a Router: it reads texts in its own way")
        return
    if issubclass(module, InputModule) and not issubclass(module, Transformer | Router):
        raise FoundryError(
            f"module type {name} reads texts without a transformer; only a Transformer can be exported, and what comes "
            "after it stays as it is"
        )
    if position and issubclass(module, Transformer):
        raise FoundryError(
            f"module {position + 1} is a {name}, too. Only the first module can be a transformer: it alone is "
            "exported, and what comes after it stays as it is"
        )


def _version() -> str:
    return importlib.metadata.version("sentence-transformers")


def check_settings(folder: Path) -> None:
    """Check that no settings file names a function to call, a file outside, or a way of loading that runs pickles.

    Raises:
        FoundryError: naming the file, the key and its value.
    """
    for name, value in json_settings(folder):
        for mapping in mappings(value):
            for key in ACTIVATIONS:
                if isinstance(reference := mapping.get(key), str) and "." in reference:
                    _check_activation(name, key, reference)
        base = name.rpartition("/")[2]
        if base == "config.json" and "in_features" in value and "activation_function" in value:
            # Sentence Transformers' Dense takes Tanh in place of what does not begin with torch.
            _check_activation(name, "activation_function", str(value["activation_function"]))
        if SETTINGS.fullmatch(base):
            _check_module_settings(name, value)
        if base == "tokenizer_config.json":
            _check_tokenizer_settings(name, value)
        if base == "config.json":
            _check_attention(name, value)


def _check_activation(where: str, key: str, reference: str) -> None:
    """Check that an activation is a class of torch.nn: Sentence Transformers would call whatever torch has there."""
    import torch

    module, _, name = reference.rpartition(".")
    try:
        imported = importlib.import_module(module) if re.fullmatch(r"torch\.nn(\.modules(\.\w+)?)?", module) else None
    except ImportError:
        imported = None
    function = getattr(imported, name, None)
    if not (isinstance(function, type) and issubclass(function, torch.nn.Module)):
        raise FoundryError(f"{where} has {key}: {reference}, which is no activation of torch.nn")


def _check_attention(where: str, value: dict[str, Any]) -> None:
    for key in ("attn_implementation", "_attn_implementation", "_attn_implementation_internal"):
        if isinstance(setting := value.get(key), str) and "/" in setting:
            raise FoundryError(f"{where} has {key}: {setting}, which is code from the Hub; remove it")


def _check_module_settings(where: str, value: dict[str, Any]) -> None:
    if value.get("tokenizer_name_or_path"):
        raise FoundryError(
            f"{where} has tokenizer_name_or_path: {value['tokenizer_name_or_path']}, outside of the checkpoint; save "
            "the tokenizer in its folder, and remove the key"
        )
    for arguments in ARGUMENTS:
        for key, argument in (value.get(arguments) or {}).items():
            is_path = isinstance(argument, str) and ("/" in argument or "\\" in argument or ".." in argument)
            # Sentence Transformers itself takes this key out.
            if key != "trust_remote_code" and (key in LOADING_ARGUMENTS or is_path):
                raise FoundryError(
                    f"{where} has {arguments}: {key}: {argument}, which loads something other than the checkpoint's "
                    "files"
                )
    for modality, forward in (value.get("modality_config") or {}).items():
        method = forward.get("method") if isinstance(forward, dict) else None
        if not re.fullmatch(r"forward|get_\w+_features", str(method)):
            raise FoundryError(f"{where} has modality_config: {modality}: method: {method}, which is no forward pass")


def _check_tokenizer_settings(where: str, value: dict[str, Any]) -> None:
    for key, paths in value.items():
        # This one is written by transformers with the author's path, and never read.
        if not re.fullmatch(r"\w*_files?", key) or key == "special_tokens_map_file":
            continue
        for path in paths if isinstance(paths, list) else [paths]:
            if isinstance(path, str) and ("/" in path or "\\" in path):
                raise FoundryError(f"{where} has {key}: {path}, outside of the checkpoint; remove the key")
