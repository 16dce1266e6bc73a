"""Whether tokenizer.json is all that has a say in a model's tokens, or its class in transformers overrules it.

Embedding Foundry publishes a tokenizer.json that is. In other folders, what transformers' classes make of the file
differs from class to class and from version to version; what is known here is what all versions make of it.
"""

from collections.abc import Mapping
from typing import Any

from foundry_runtime.errors import UnusableModel

PLAIN = ("PreTrained", "TokenizersBackend")  # classes that change nothing
# Classes that overrule the normalizer, and nothing else, where the rest of the file is as their own.
BERTS = ("Bert", "DistilBert", "Electra", "LayoutLM", "Lxmert", "MobileBert", "SqueezeBert")
# Settings that change the tokens, differently in each version.
OVERRULING = ("add_bos_token", "add_eos_token", "split_special_tokens")


def as_loaded(file: Mapping[str, Any], config: Mapping[str, Any], lower_case: bool) -> dict[str, Any]:
    """The content of tokenizer.json as a tokenizer of transformers would have it, without truncation and padding.

    Args:
        file: The content of tokenizer.json.
        config: That of tokenizer_config.json.
        lower_case: Whether Sentence Transformers' settings ask for lower case.

    Raises:
        UnusableModel: when something else has a say in the tokens.
    """
    kind = str(config.get("tokenizer_class") or "").removesuffix("Fast").removesuffix("Tokenizer")
    if config.get("auto_map"):
        raise UnusableModel("its tokenizer is code of the model's own")
    if kind not in (*PLAIN, *BERTS):
        raise UnusableModel(
            f"its tokenizer is a {config.get('tokenizer_class')}, which reads tokenizer.json otherwise than it stands; "
            "published again by Embedding Foundry, tokenizer.json says everything"
        )
    if settings := [name for name in OVERRULING if config.get(name)]:
        raise UnusableModel(f"its tokenizer's settings have {settings[0]}, which overrules tokenizer.json")
    pre_tokenizer = file.get("pre_tokenizer") or {}
    if pre_tokenizer.get("add_prefix_space", False) != config.get("add_prefix_space", False) and kind not in BERTS:
        raise UnusableModel("tokenizer.json and tokenizer_config.json differ in add_prefix_space")
    normalizer = file.get("normalizer")
    if kind in BERTS:
        if (normalizer or {}).get("type") != "BertNormalizer" or pre_tokenizer.get("type") != "BertPreTokenizer":
            raise UnusableModel(f"its tokenizer is a {kind}Tokenizer, and tokenizer.json is none of a BERT")
        normalizer = {
            **(normalizer or {}),
            "lowercase": config.get("do_lower_case", True),
            "strip_accents": config.get("strip_accents"),
            "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
        }
    if lower_case and not _lowers(normalizer):
        parts = normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else [normalizer]
        normalizer = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *filter(None, parts)]}
    return {**file, "truncation": None, "padding": None, "normalizer": normalizer}


def _lowers(normalizer: Mapping[str, Any] | None) -> bool:
    """Whether a normalizer makes lower case somewhere."""
    if normalizer is None:
        return False
    parts = normalizer.get("normalizers") or ()
    return normalizer["type"] == "Lowercase" or bool(normalizer.get("lowercase")) or any(map(_lowers, parts))


def content(token: Any) -> str:
    """A token as settings write it: its text, or an object that has it."""
    return str(token["content"] if isinstance(token, dict) else token)
