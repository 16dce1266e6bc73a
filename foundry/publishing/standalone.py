"""embed.py, one file that computes embeddings from a published folder by onnxruntime, tokenizers and numpy alone.

It is published only where it can compute the model, and only after it did, from the folder that is published, and was
compared with torch.
"""

import runpy
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.loading.prompts import with_prompt
from foundry.reference import tokenizer_files
from foundry.reference.closeness import cosines
from foundry.reference.reference import Reference
from foundry.reference.tokenizer_files import TokenizerRecord
from foundry.variants import checkpoint_folder, naming

NAME = "embed.py"
OUTPUT = "sentence_embedding"
CHECKED_TEXTS = 16


def why_not(folder: Path, outputs: Mapping[str, str | None], tokenizer: TokenizerRecord | None) -> str | None:
    """Why embed.py cannot compute a model's embeddings; None where it can.

    `outputs` has for each variant the output that the head gives, if its graph has the head.
    """
    if (folder / NAME).exists():
        return f"the checkpoint has an {NAME} of its own"
    if (kind := checkpoint_folder.kind(folder)) != "SentenceTransformer":
        return f"the model is a {kind}"
    of_onnx = {name: output for name, output in outputs.items() if naming.backend(name) == "onnx"}
    if not of_onnx:
        return "no ONNX variant passed"
    if without := [name for name, output in of_onnx.items() if output != OUTPUT]:
        return f"the graph of {without[0]} has no output {OUTPUT}"
    if tokenizer is None or tokenizer["same_by_file"] != tokenizer["texts"]:
        return "tokenizer.json alone does not give the model's tokens"
    if files.read_json(folder / checkpoint_folder.transformer_path(folder) / tokenizer_files.FILE)["padding"] is None:
        return "tokenizer.json does not say how a batch is padded"
    return None


def add(folder: Path, variant: str, expected: Reference, texts: Sequence[str], lowest_cosine: float) -> None:
    """Write embed.py into a folder that is otherwise complete, and compare what it gives with torch.

    Args:
        folder: What is published.
        variant: Whose file it takes where none is named.
        expected: torch's embeddings of the `texts`.
        texts: The validation texts.
        lowest_cosine: That this variant was validated for.

    Raises:
        FoundryError: when it fails, or gives other embeddings.
    """
    path = folder / NAME
    source = resources.files("foundry.publishing").joinpath(NAME).read_text("utf-8")
    path.write_text(source.replace(f'"{naming.file_name("onnx")}"', f'"{naming.file_name(variant)}"'), "utf-8")
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
