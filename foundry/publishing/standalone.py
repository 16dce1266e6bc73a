"""embed.py, one file that computes embeddings from a published folder by onnxruntime, tokenizers and numpy alone.

It is published only where it can compute the model, and only after it did, from the folder that is published, and was
compared with torch.
"""

import runpy
from collections.abc import Collection, Sequence
from importlib import resources
from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.loading.prompts import with_prompt
from foundry.publishing import tokenizer_files
from foundry.publishing.tokenizer_files import TokenizerRecord
from foundry.reference.closeness import cosines
from foundry.reference.reference import Reference
from foundry.variants import checkpoint_folder, naming

NAME = "embed.py"
MODES = ("cls", "max", "mean", "lasttoken")
OLD_MODES = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
MODULES = ("Pooling", "Normalize", "Dropout")
CHECKED_TEXTS = 16


def why_not(folder: Path, variants: Collection[str], tokenizer: TokenizerRecord | None) -> str | None:
    """Why embed.py cannot compute a model's embeddings; None where it can."""
    if (folder / NAME).exists():
        return f"the checkpoint has an {NAME} of its own"
    if (kind := checkpoint_folder.kind(folder)) != "SentenceTransformer":
        return f"the model is a {kind}"
    if not any(name.startswith("onnx") for name in variants):
        return "no ONNX variant passed"
    if tokenizer is None or tokenizer["same_by_file"] != tokenizer["texts"]:
        return "tokenizer.json alone does not give the model's tokens"
    if files.read_json(folder / checkpoint_folder.transformer_path(folder) / tokenizer_files.FILE)["padding"] is None:
        return "tokenizer.json does not say how a batch is padded"
    for module in checkpoint_folder.modules(folder)[1:]:
        name = module["type"].rpartition(".")[2]
        if name not in MODULES or not module["type"].startswith("sentence_transformers."):
            return f"module {module['path']} is a {module['type']}"
        path = folder / module["path"] / "config.json"
        settings = files.read_json(path) if path.is_file() else {}
        if name == "Normalize" and settings.get("module_input_name", "sentence_embedding") != "sentence_embedding":
            return f"module {module['path']} normalizes {settings['module_input_name']}"
        if name != "Pooling":
            continue
        old = [key for key in OLD_MODES if settings.get(f"pooling_mode_{key}")]
        modes = settings.get("pooling_mode") or [key.replace("_tokens", "").replace("_token", "") for key in old]
        modes = [modes] if isinstance(modes, str) else modes
        if len(modes) > 1 or not set(modes) <= set(MODES) or not settings.get("include_prompt", True):
            return f"module {module['path']} pools by {', '.join(modes)}, or without the prompt"
    return None


def add(folder: Path, expected: Reference, texts: Sequence[str], lowest_cosine: float) -> None:
    """Write embed.py into a folder that is otherwise complete, and compare what it gives with torch.

    Args:
        folder: What is published.
        expected: torch's embeddings of the `texts`.
        texts: The validation texts.
        lowest_cosine: That the folder's first ONNX file was validated for.

    Raises:
        FoundryError: when it fails, or gives other embeddings.
    """
    path = folder / NAME
    path.write_bytes(resources.files("foundry.publishing").joinpath(NAME).read_bytes())
    prompts, default = checkpoint_folder.prompts(folder)
    prompted = [with_prompt(text, prompts, default) for text in texts[:CHECKED_TEXTS]]
    refusals: tuple[type[Exception], ...] = (*loader.load_errors(), LookupError)
    try:
        rows = runpy.run_path(str(path))["embed"](prompted)
    except refusals as error:
        raise FoundryError(
            f"{NAME} fails on the folder that is to be published: {type(error).__name__} {error}"
        ) from error
    cosine = float(cosines(rows, expected.embeddings[: len(rows)]).min())
    if not cosine >= lowest_cosine:
        raise FoundryError(f"{NAME} gives a cosine of {cosine:.4f} to torch, must be >= {lowest_cosine:g}")


def graph_variant(variants: Collection[str]) -> str:
    """The variant whose file is taken where none is named: of ONNX files, else of OpenVINO's, the shortest name."""
    names = [(naming.backend(name) != "onnx", len(naming.file_name(name)), naming.file_name(name), name)
             for name in variants if name != "torch"]  # fmt: skip
    return min(names)[-1]
