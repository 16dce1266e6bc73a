"""How others read what is published: lines for the card, which the tests run as they stand there."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from foundry.publishing import standalone
from foundry.reporting.rendering import loading_lines
from foundry.validation.results import Family
from foundry.variants import naming
from foundry.variants.checkpoint_folder import Kind
from foundry.variants.facts import Facts

# The line that uses foundry_runtime's class of a kind.
USES: dict[Kind, str] = {
    "SentenceTransformer": 'embeddings = model.encode(["a text", "another"])',
    "SparseEncoder": 'embeddings = model.encode(["a text", "another"])  # in CSR; .to_dense()',
    "MultiVectorEncoder": 'queries = model.encode_query(["a query"])  # a vector for each token\n'
    'scores = model.similarity(queries, model.encode_document(["a document", "another"]))',
    "CrossEncoder": 'scores = model.predict([("a query", "a document"), ("a query", "another")])',
}
# Where a Router sends queries through other modules than documents.
USES_OF_ROLES = 'queries = model.encode_query(["a text"])\ndocuments = model.encode_document(["a text", "another"])'
# It takes the graph's own embedding where it is not told to pool or to normalize.
LIGHT_EMBED = """from light_embed import TextEmbedding

config = {{"onnx_file": "{file}", "normalize": False}}
model = TextEmbedding("{where}", model_config=config)
embeddings = model.encode(["a text", "another"])"""
FASTEMBED_POOLING = {"cls": "CLS", "mean": "MEAN"}
TRANSFORMERS_JS_POOLING = {"cls": "cls", "mean": "mean", "lasttoken": "last_token"}


class Reader(NamedTuple):
    """A tool, the language of its lines, and these."""

    tool: str
    language: str
    lines: str


def readers(
    where: str,
    variants: Mapping[str, Mapping[Family, str]],
    facts: Facts,
    dimensions: int,
    has_runtime: bool,
    has_embed: bool,
    dtypes: Mapping[str, str] = MappingProxyType({}),
    has_special_tokens: bool = False,
) -> list[Reader]:
    """The tools that give Sentence Transformers' embeddings of a published model, and their lines.

    Args:
        where: The repository or folder that the lines name.
        variants: Those that are published, with the families of processors on which each fails, and why.
        facts: The model's, as the reference has them.
        dimensions: Of the embeddings.
        has_runtime: Whether foundry_runtime runs every variant, as it was tried.
        has_embed: Whether embed.py is published: then fastembed and transformers.js read the same tokens, too.
        dtypes: The variant that transformers.js takes for each dtype beside fp32.
        has_special_tokens: Whether there is a special_tokens_map.json, without which light-embed loads nothing.
    """
    from foundry_runtime.model import CLASSES

    if variants.keys() <= {"torch"}:
        return []
    runtime = CLASSES[facts["kind"]]
    use = USES_OF_ROLES if has_router(facts) else USES[facts["kind"]]
    lines = f'from foundry_runtime import {runtime}\n\nmodel = {runtime}("{where}")\n{use}'
    variant = standalone.graph_variant(variants)
    result = [Reader("foundry_runtime, without torch", "python", lines)] if has_runtime else []
    result.append(
        Reader(
            "Sentence Transformers 6, without optimum",
            "python",
            "import foundry_runtime.sentence_transformers\n\nfoundry_runtime.sentence_transformers.install()\n"
            + loading_lines(where, variant, facts, fails_on=variants[variant]),
        )
    )
    if not has_embed:
        return result
    result.append(
        Reader("embed.py of this repository, without any of these", "bash", 'echo "a text" | python embed.py')
    )
    if has_special_tokens and not facts["trust_remote_code"] and not any(facts["prompts"].values()):
        file = f"onnx/{naming.file_name(variant)}"
        result.append(Reader("light-embed", "python", LIGHT_EMBED.format(where=where, file=file)))
    mode, normalized = plain_pooling(facts)
    if mode in FASTEMBED_POOLING:
        file = f"onnx/{naming.file_name(variant)}"
        result.append(Reader("fastembed", "python", _fastembed(where, mode, normalized, dimensions, file)))
    if "onnx" in variants and mode in TRANSFORMERS_JS_POOLING:
        result.append(Reader("transformers.js", "javascript", _transformers_js(where, mode, normalized, dtypes)))
    return result


def has_router(facts: Mapping[str, Any]) -> bool:
    """Whether a model sends queries through other modules than documents."""
    return any(name == "Router" for name, _ in facts["modules"])


def plain_pooling(facts: Mapping[str, Any]) -> tuple[str | None, bool]:
    """How a model pools that does nothing but that, and whether it normalizes; no pooling of a model that does more."""
    plain = facts["kind"] == "SentenceTransformer" and not any(facts["prompts"].values())
    if not plain or facts["truncate_dim"] is not None or facts["trust_remote_code"]:
        return None, False
    names, settings = [name for name, _ in facts["modules"]], dict(facts["modules"])
    mode = settings.get("Pooling", {}).get("pooling_mode")
    if settings.get("Normalize", {}).get("module_input_name", "sentence_embedding") != "sentence_embedding":
        return None, False
    if names not in (["Pooling"], ["Pooling", "Normalize"]) or not isinstance(mode, str):
        return None, False
    return mode, "Normalize" in names


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


def _transformers_js(where: str, mode: str, normalized: bool, dtypes: Mapping[str, str]) -> str:
    others = "".join(f'// dtype: "{dtype}" is {variant}\n' for dtype, variant in dtypes.items())
    return (
        f'import {{ pipeline }} from "@huggingface/transformers";\n\n{others}'
        f'const extract = await pipeline("feature-extraction", "{where}", {{ dtype: "fp32" }});\n'
        f'const embeddings = await extract(["a text", "another"], {{ pooling: "{TRANSFORMERS_JS_POOLING[mode]}", '
        f"normalize: {str(normalized).lower()} }});"
    )
