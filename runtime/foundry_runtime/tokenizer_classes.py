"""What transformers' tokenizer classes overrule in tokenizer.json, by tokenizer_config.json.

The ids that a model was trained with are those of the class, so that the file alone would give others: lower case of a
BERT, a blank before the first word of a RoBERTa, the tokens around a Llama's text.
"""

from collections.abc import Mapping
from typing import Any

from foundry_runtime.errors import UnusableModel

BERTS = ("Bert", "DistilBert", "Electra", "LayoutLM", "Lxmert", "MobileBert", "SqueezeBert", "ConvBert", "Funnel",
         "Realm", "RetriBert")  # fmt: skip
# Whether text begins and ends with a special token, where the config does not say.
LLAMAS = {"Llama": True, "Gemma": True, "Cohere": True, "GPTNeoX": False}
PADS_LEFT = ("Llama", "CodeLlama", "Gemma", "Cohere", "XLNet")
PAD_TYPES = {"XLNet": 3}
NOT_KNOWN = ("CodeLlama", "CLIP")  # write their tokens in ways of their own


def overruled(file: Mapping[str, Any], config: Mapping[str, Any], lower_case: bool) -> dict[str, Any]:
    """The content of tokenizer.json as a tokenizer of transformers would have it, without truncation and padding.

    Args:
        file: The content of tokenizer.json.
        config: That of tokenizer_config.json.
        lower_case: Whether Sentence Transformers' settings ask for lower case.

    Raises:
        UnusableModel: for a class that is not known here.
    """
    kind = _kind(config)
    if config.get("auto_map") or kind in NOT_KNOWN:
        raise UnusableModel(f"its tokenizer is a {config.get('tokenizer_class')} or code of the model's own")
    result = {**file, "truncation": None, "padding": None}
    result["normalizer"] = _normalizer(file.get("normalizer"), config, kind, lower_case)
    if "add_prefix_space" in (file.get("pre_tokenizer") or {}):
        result["pre_tokenizer"] = {**file["pre_tokenizer"], "add_prefix_space": config.get("add_prefix_space", False)}
    if kind in LLAMAS:
        result["post_processor"] = _template(file, config, kind)
    return result


def pads_left(config: Mapping[str, Any], padding: Mapping[str, Any]) -> bool:
    """Whether a batch is padded on the left: by the config, by the padding of tokenizer.json, or as the class does."""
    side = config.get("padding_side") or padding.get("direction") or ("left" if _kind(config) in PADS_LEFT else "right")
    return str(side).lower() == "left"


def pad_type(config: Mapping[str, Any], padding: Mapping[str, Any]) -> int:
    """The token type that padding has."""
    return int(config.get("pad_token_type_id", padding.get("pad_type_id", PAD_TYPES.get(_kind(config), 0))))


def _kind(config: Mapping[str, Any]) -> str:
    return str(config.get("tokenizer_class") or "").removesuffix("Fast").removesuffix("Tokenizer")


def _normalizer(
    normalizer: Mapping[str, Any] | None, config: Mapping[str, Any], kind: str, lower_case: bool
) -> Mapping[str, Any] | None:
    if normalizer and normalizer["type"] == "BertNormalizer" and kind in (*BERTS, "MPNet"):
        normalizer = {
            **normalizer,
            "lowercase": config.get("do_lower_case", True),
            "strip_accents": config.get("strip_accents"),
        }
        if kind != "MPNet":
            normalizer = {**normalizer, "handle_chinese_chars": config.get("tokenize_chinese_chars", True)}
    if not lower_case or _lowers(normalizer):
        return normalizer
    parts = normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else [normalizer]
    return {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *filter(None, parts)]}


def _lowers(normalizer: Mapping[str, Any] | None) -> bool:
    """Whether a normalizer makes lower case somewhere."""
    if normalizer is None:
        return False
    parts = normalizer.get("normalizers") or ()
    return normalizer["type"] == "Lowercase" or bool(normalizer.get("lowercase")) or any(map(_lowers, parts))


def _template(file: Mapping[str, Any], config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The post-processor of a Llama: its first and its last token around each text, as far as the config has them."""
    ids = {row["content"]: row["id"] for row in file.get("added_tokens", ())}
    first = content(config.get("bos_token", "<s>")) if config.get("add_bos_token", LLAMAS[kind]) else None
    last = content(config.get("eos_token", "</s>")) if config.get("add_eos_token", False) else None

    def around(name: str, number: int) -> list[dict[str, Any]]:
        parts = [first, None, last]
        return [
            {"Sequence": {"id": name, "type_id": number}}
            if index == 1
            else {"SpecialToken": {"id": token, "type_id": number}}
            for index, token in enumerate(parts)
            if index == 1 or token is not None
        ]

    return {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": [*around("A", 0), *around("B", 1)],
        "special_tokens": {
            token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (first, last) if token in ids
        },
    }


def content(token: Any) -> str:
    """A token as settings write it: its text, or an object that has it."""
    return str(token["content"] if isinstance(token, dict) else token)
