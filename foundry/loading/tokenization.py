"""The tokens that a model reads, without its weights: what calibration runs through a graph.

Where the tokenizer's own file says everything, its own library reads it in milliseconds. Everywhere else (no fast
tokenizer, lower case or arguments in the settings, a class that adds something to the file) it is the model's own
tokenizer, as Sentence Transformers sets it up, for which transformers takes seconds to import.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foundry.base import files
from foundry.variants import checkpoint_folder

Text = str | tuple[str, str]
Fields = dict[str, np.ndarray]  # by the input's name, (1, tokens) of int64

PLAIN_CLASSES = {"PreTrainedTokenizerFast", "TokenizersBackend"}  # of transformers; the second since 5
# Classes that change nothing of the file but its normalizer, which `is_plain` compares.
BERT_CLASSES = {"BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast"}
# Settings by which some version of transformers changes a file of these classes.
OVERRULING = {"auto_map", "add_bos_token", "add_eos_token", "split_special_tokens"}
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
MORE_SPECIAL_TOKENS = ("additional_special_tokens", "extra_special_tokens")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
PLAIN_SETTINGS = {
    "max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name", "model_args",
    "model_kwargs", "config_args", "config_kwargs", "unpad_inputs",
}  # fmt: skip


def is_plain(folder: Path) -> bool:
    """Whether a model's tokenizer is what its tokenizer.json says, and nothing else has a say in the tokens."""
    transformer = folder / checkpoint_folder.transformer_path(folder)
    file, config = transformer / "tokenizer.json", transformer / "tokenizer_config.json"
    if not file.is_file() or not config.is_file() or checkpoint_folder.trusts_code(folder):
        return False
    settings = checkpoint_folder.module_settings(folder)
    if settings.get("do_lower_case") or any(value for key, value in settings.items() if key not in PLAIN_SETTINGS):
        return False
    if any("message" in name for name in settings.get("modality_config") or {}):
        return False
    tokenizer_config, tokenizer = files.read_json(config), files.read_json(file)
    if _has_other_tokens(tokenizer_config, tokenizer["added_tokens"]) or _has_more_tokens(
        transformer, {row["content"] for row in tokenizer["added_tokens"]}
    ):
        return False
    pre_tokenizer = tokenizer.get("pre_tokenizer") or {}
    has_prefix_space = pre_tokenizer.get("add_prefix_space", False)  # transformers 4 goes by the config, 5 by the file
    if has_prefix_space != tokenizer_config.get("add_prefix_space", False) or OVERRULING & tokenizer_config.keys():
        return False
    if tokenizer_config.get("truncation_side", "right") != "right":
        return False
    name = tokenizer_config.get("tokenizer_class")
    return name in PLAIN_CLASSES or (name in BERT_CLASSES and _is_bert(tokenizer_config, tokenizer))


def _has_other_tokens(tokenizer_config: dict[str, Any], added_tokens: list[dict[str, Any]]) -> bool:
    """Whether the config names a token that tokenizer.json does not have, or has with other flags."""
    known = {row["content"]: row for row in added_tokens}
    for number, row in tokenizer_config.get("added_tokens_decoder", {}).items():
        same = known.get(row["content"])
        if same is None or same["id"] != int(number):
            return True
        if any(bool(row.get(flag, same.get(flag))) != bool(same.get(flag)) for flag in FLAGS):
            return True
    named = [tokenizer_config.get(name) for name in SPECIAL_TOKENS]
    for name in MORE_SPECIAL_TOKENS:
        more = tokenizer_config.get(name) or []
        named += more.values() if isinstance(more, dict) else more
    return not {content(token) for token in named if token is not None} <= known.keys()


def _has_more_tokens(transformer: Path, known: set[str]) -> bool:
    """Whether older files beside tokenizer.json name tokens that it does not."""
    added, special = transformer / "added_tokens.json", transformer / "special_tokens_map.json"
    names = set(files.read_json(added)) if added.is_file() else set()
    for value in (files.read_json(special) if special.is_file() else {}).values():
        names |= {content(token) for token in (value if isinstance(value, list) else [value])}
    return not names <= known


def _is_bert(tokenizer_config: dict[str, Any], tokenizer: dict[str, Any]) -> bool:
    """Whether BertTokenizerFast would leave the file's normalizer as it is; and transformers 5, which takes no more
    than the vocabulary from the file, would make the same of it."""
    model = tokenizer["model"]
    if (tokenizer.get("pre_tokenizer") or {}).get("type") != "BertPreTokenizer" or model.get("type") not in (
        None, "WordPiece"
    ):  # fmt: skip
        return False
    if (model.get("continuing_subword_prefix"), model.get("max_input_chars_per_word")) != ("##", 100):
        return False
    normalizer = tokenizer.get("normalizer") or {}
    pairs = (("do_lower_case", "lowercase", True), ("strip_accents", "strip_accents", None),
             ("tokenize_chinese_chars", "handle_chinese_chars", True))  # fmt: skip
    is_same = all(tokenizer_config.get(key, default) == normalizer.get(name) for key, name, default in pairs)
    if not is_same or normalizer.get("type") != "BertNormalizer" or not normalizer.get("clean_text", True):
        return False
    unknown, first, last = (
        content(tokenizer_config.get(f"{name}_token", f"[{name.upper()}]")) for name in ("unk", "cls", "sep")
    )
    if model.get("unk_token") != unknown:
        return False
    return _puts_around(tokenizer.get("post_processor") or {}, first, last)


def content(token: Any) -> str:
    """A token as settings write it: its text, or an object that has it."""
    return str(token["content"] if isinstance(token, dict) else token)


def _puts_around(post_processor: dict[str, Any], first: str, last: str) -> bool:
    """Whether a text becomes `first text last`, and a pair `first text last text last`, the second text of type 1."""
    if post_processor.get("type") == "BertProcessing":
        return (post_processor["cls"][0], post_processor["sep"][0]) == (first, last)
    single = [(first, 0), ("A", 0), (last, 0)]
    expected = {"single": single, "pair": [*single, ("B", 1), (last, 1)]}
    return all(
        [(part["id"], part["type_id"]) for row in post_processor.get(name, ()) for part in row.values()] == parts
        for name, parts in expected.items()
    )


def by_file(folder: Path, texts: Sequence[Text]) -> Iterator[Fields]:
    """Each text or pair alone, by tokenizer.json, truncated as the model truncates."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / checkpoint_folder.transformer_path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(checkpoint_folder.longest_input(folder))
    for encoded in tokenizer.encode_batch(list(texts)):
        fields = {
            "input_ids": encoded.ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.type_ids,
        }
        yield {name: np.array([value], np.int64) for name, value in fields.items()}


def by_model(
    folder: Path,
    texts: Sequence[Text],
    has_limit: bool = True,
    prompt: str | None = None,
    tasks: Sequence[str] | None = None,
) -> Iterator[Fields]:
    """Each text or pair alone, by the model's own tokenizer, as Sentence Transformers sets it up.

    Args:
        has_limit: Whether a model that has no maximum length is given one, which a graph can be run with.
        prompt: Is put where the model has it: before the first text, or in its chat template.
        tasks: Of each text, whether it is read as a `query` or a `document`.
    """
    module = transformer_without_weights(folder)
    if has_limit and (module.max_seq_length is None or module.max_seq_length > checkpoint_folder.NO_LIMIT):
        module.max_seq_length = checkpoint_folder.longest_input(folder)
    for place, text in enumerate(texts):
        options = {} if tasks is None else {"task": tasks[place]}
        fields = module.preprocess([text], prompt=prompt, **options)
        yield {name: value.numpy().astype(np.int64) for name, value in fields.items() if hasattr(value, "numpy")}


def transformer_without_weights(folder: Path) -> Any:
    """Sentence Transformers' first module of a folder with its tokenizer and settings, and no model to run."""
    import torch
    from sentence_transformers.base.modules import Transformer

    class Tokenizing(Transformer):
        """Sentence Transformers offers no tokenizer without the model around it."""

        def _load_model(self, _path: str, _task: str, config: Any, *_rest: Any, **_options: Any) -> Any:
            model = torch.nn.Module()
            model.config = config
            return model

    options = {"local_files_only": True, "trust_remote_code": checkpoint_folder.trusts_code(folder)}
    path = checkpoint_folder.transformer_path(folder)
    if (folder / "modules.json").is_file():
        return Tokenizing.load(str(folder), subfolder=path, **options)
    kwargs = {name: dict(options) for name in ("model_kwargs", "processor_kwargs", "config_kwargs")}
    task = checkpoint_folder.task(folder)
    modality = {"text": {"method": "forward", "method_output_name": "logits"}}
    return Tokenizing(
        str(folder), transformer_task=task, modality_config=modality, module_output_name="scores", **kwargs
    )
