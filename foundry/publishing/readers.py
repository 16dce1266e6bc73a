"""How others read what is published: lines for the card, which the tests run as they stand there."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base import files
from foundry.publishing import standalone
from foundry.variants import checkpoint_folder, naming
from foundry.variants.checkpoint_folder import Kind

# foundry_runtime's class for each of Sentence Transformers', and the line that uses it.
RUNTIME: dict[Kind, tuple[str, str]] = {
    "SentenceTransformer": ("Embedder", 'embeddings = model.encode(["a text", "another"])'),
    "SparseEncoder": ("SparseEmbedder", 'embeddings = model.encode(["a text", "another"])  # in CSR; .to_dense()'),
    "CrossEncoder": ("Reranker", 'scores = model.predict([("a query", "a document"), ("a query", "another")])'),
}
FASTEMBED_POOLING = {"cls": "CLS", "mean": "MEAN"}
TRANSFORMERS_JS_POOLING = {"cls": "cls", "mean": "mean", "lasttoken": "last_token"}


class Reader(NamedTuple):
    """A tool, the language of its lines, and these."""

    tool: str
    language: str
    lines: str


def readers(
    folder: Path,
    where: str,
    variants: Collection[str],
    facts: Mapping[str, Any],
    dimensions: int,
    standalone_file: bool,
) -> list[Reader]:
    """The tools that give Sentence Transformers' embeddings from the folder, and their lines.

    Args:
        folder: What is published, complete.
        where: The repository or folder that the lines name.
        variants: Those that are published.
        facts: Of the report's row on any of them.
        dimensions: Of the embeddings.
        standalone_file: Whether the folder has an embed.py: then fastembed and transformers.js can read it, too.
    """
    graphs = [name for name in variants if name != "torch"]
    if not graphs:
        return []
    kind: Kind = facts["kind"]
    runtime, use = RUNTIME[kind]
    lines = f'from foundry_runtime import {runtime}\n\nmodel = {runtime}("{where}")\n{use}'
    result = [
        Reader("foundry_runtime, without torch", "python", lines),
        Reader("Sentence Transformers 6, without optimum", "python", _sentence_transformers(where, kind, graphs)),
    ]
    if not standalone_file:
        return result
    result.append(
        Reader("embed.py of this repository, without any of these", "bash", 'echo "a text" | python embed.py')
    )
    mode, normalized = _pooling(folder)
    file = f"onnx/{naming.file_name(standalone.graph_variant(graphs))}"
    if mode in FASTEMBED_POOLING:
        result.append(Reader("fastembed", "python", _fastembed(where, mode, normalized, dimensions, file)))
    if "onnx" in graphs and mode in TRANSFORMERS_JS_POOLING:
        result.append(Reader("transformers.js", "javascript", _transformers_js(where, mode, normalized)))
    return result


def _pooling(folder: Path) -> tuple[str, bool]:
    """The one pooling of a model that embed.py can compute, and whether Normalize follows."""
    mode, normalized = "mean", False
    for module in checkpoint_folder.modules(folder)[1:]:
        name = module["type"].rpartition(".")[2]
        normalized |= name == "Normalize"
        path = folder / module["path"] / "config.json"
        if name == "Pooling" and path.is_file():
            (mode,) = standalone.pooling_modes(files.read_json(path)) or ["mean"]
    return mode, normalized


def _sentence_transformers(where: str, kind: Kind, graphs: Collection[str]) -> str:
    variant = min(graphs, key=lambda name: (not name.startswith("onnx"), len(naming.file_name(name)), name))
    backend, file = naming.backend(variant), naming.model_kwargs(variant, "f32")
    return (
        f"from sentence_transformers import {kind}\n"
        "import foundry_runtime.sentence_transformers\n\n"
        "foundry_runtime.sentence_transformers.install()\n"
        f'model = {kind}("{where}", backend="{backend}", model_kwargs={json.dumps(file)})'
    )


def _fastembed(where: str, mode: str, normalized: bool, dimensions: int, file: str) -> str:
    return (
        "from fastembed import TextEmbedding\n"
        "from fastembed.common.model_description import ModelSource, PoolingType\n\n"
        "TextEmbedding.add_custom_model(\n"
        f'    model="{where}", pooling=PoolingType.{FASTEMBED_POOLING[mode]}, normalization={normalized},\n'
        f'    sources=ModelSource(hf="{where}"), dim={dimensions}, model_file="{file}",\n'
        ")\n"
        f'model = TextEmbedding("{where}")  # of a folder: specific_model_path=...\n'
        'embeddings = list(model.embed(["a text", "another"]))'
    )


def _transformers_js(where: str, mode: str, normalized: bool) -> str:
    return (
        'import { pipeline } from "@huggingface/transformers";\n\n'
        f'const extract = await pipeline("feature-extraction", "{where}", {{ dtype: "fp32" }});\n'
        f'const embeddings = await extract(["a text", "another"], {{ pooling: "{TRANSFORMERS_JS_POOLING[mode]}", '
        f"normalize: {str(normalized).lower()} }});"
    )
