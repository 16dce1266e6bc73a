"""Tiny language models with random weights that rerank, as Sentence Transformers saves them."""

from pathlib import Path
from typing import Any

from foundry.base import files
from tests.support.architectures import make

# As Qwen3-Reranker's in Sentence Transformers: the roles of a pair, and the prompt as an instruction.
TEMPLATE = (
    "<s>Judge whether the Document meets the Query by the Instruct. Answer yes or no.</s>\n"
    '<s><Instruct>: {{ messages | selectattr("role", "eq", "system") | map(attribute="content") | first'
    ' | default("Given a query, retrieve passages", true) }}\n'
    '<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}\n'
    '<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}</s>\n'
    "<s>assistant\n\n"
)
LENGTH = 256  # tokens, of which the template takes a quarter


def make_bare(folder: Path, name: str = "qwen3", template: str | None = TEMPLATE) -> Path:
    """A causal language model of transformers, whose tokenizer knows yes and no, and maybe has a chat template."""
    from transformers import AutoTokenizer

    make(folder, name, "AutoModelForCausalLM", lambda config: config.update(vocab_size=config["vocab_size"] + 8))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["yes", "no"])
    tokenizer.chat_template = template
    tokenizer.model_max_length = LENGTH
    tokenizer.save_pretrained(folder)
    # The class of transformers and the file would differ in this otherwise.
    before = (files.read_json(folder / "tokenizer.json")["pre_tokenizer"] or {}).get("add_prefix_space")
    config = files.read_json(folder / "tokenizer_config.json")
    files.write_json(folder / "tokenizer_config.json", config | ({"add_prefix_space": before} if before else {}))
    return folder


def make_reranker(folder: Path, name: str = "qwen3", template: str | None = TEMPLATE, **options: Any) -> Path:
    """The same as a CrossEncoder that scores by yes and no; `options` are those of CrossEncoder."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(make_bare(folder / "bare", name, template)), device="cpu", **options)
    model.save_pretrained(str(folder / "saved"))
    return folder / "saved"
