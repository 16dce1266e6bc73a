"""The published tokenizer.json says everything that has a say in the tokens, so that every reader has the same ones.

Sentence Transformers cuts texts by a setting of its own, which no other library reads: fastembed, transformers.js and
the like go by tokenizer.json and tokenizer_config.json, where many checkpoints have other lengths, and give other
embeddings for long texts. And the classes of transformers overrule the file, each in its own way, and those of
transformers 4 otherwise than those of 5. So where the file is not all that has a say, the tokenizer is written as it
is once loaded, for a class that changes nothing. The ids that come out are compared with those that torch read.
"""

import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.loading import tokenization
from foundry.reference.reference import Reference
from foundry.variants import checkpoint_folder

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
LENGTHS = ("model_max_length", "max_length")  # of tokenizer_config.json; the second is written by some versions alone
PLAIN_CLASS = "PreTrainedTokenizerFast"  # in every version of transformers, the class that changes nothing
BATCH = 8  # texts that are tokenized at once, so that padding is seen, too


class TokenizerRecord(TypedDict):
    """What foundry.json says of the tokenizer."""

    max_length: int | None  # tokens after which a text is cut
    texts: int  # whose ids were compared with those of torch
    same_by_file: int  # of them, those to which tokenizer.json alone, as anybody reads it, gives the same ids
    transformers: str  # the version whose reading of the checkpoint's tokenizer these ids are


def align(folder: Path, expected: Reference, texts: Sequence[str]) -> tuple[TokenizerRecord | None, list[str]]:
    """Write the tokenizer's files of a folder that is published so that they say everything.

    Returns what is known of the tokenizer, None where tokenizer.json cannot say it, and the names of the changed files.

    Raises:
        FoundryError: when Sentence Transformers would read other ids than torch did when it was frozen.
    """
    transformer = folder / checkpoint_folder.transformer_path(folder)
    limit = checkpoint_folder.max_seq_length(folder)
    was_plain = tokenization.is_plain(folder)
    inputs = expected.tokenizer_inputs(texts)
    of_queries = _ids_of_queries(folder, inputs)
    changed = rewrite(folder, expected.facts["trust_remote_code"])
    if changed is None:
        return None, []
    if of_queries is not None and _ids_of_queries(folder, inputs, is_rewritten=True) != of_queries:
        raise FoundryError(
            f"{FILE} of queries, written so that it says everything, gives transformers other token ids than before: "
            "publish with the version of transformers that the checkpoint was saved with"
        )
    ids = by_file_as_it_is(transformer / FILE, inputs)
    same = sum(mine == frozen for mine, frozen in zip(ids, expected.tokens, strict=True))
    if not (was_plain and same == len(inputs)):
        # Sentence Transformers has settings of its own, and versions of transformers choose a class by the model's.
        by_model = [
            fields["input_ids"][0].tolist() for fields in tokenization.by_model(folder, inputs, has_limit=False)
        ]
        if by_model != expected.tokens:
            raise FoundryError(
                f"{FILE} with a maximum length of {limit} gives Sentence Transformers other token ids than torch read "
                "when it was frozen: publish with the settings and the version of transformers of that time"
            )
    version = importlib.metadata.version("transformers")
    record: TokenizerRecord = {"max_length": limit, "texts": len(inputs), "same_by_file": same, "transformers": version}
    return record, changed


def rewrite(folder: Path, trusts_code: bool) -> list[str] | None:
    """Write the tokenizer's files of a folder so that they say everything, and compare nothing; see `align`.

    Returns the names of the files that changed; None where tokenizer.json cannot say it, or where it would take code of
    the checkpoint's own to know.
    """
    transformer = folder / checkpoint_folder.transformer_path(folder)
    limit = checkpoint_folder.max_seq_length(folder)
    if tokenization.is_plain(folder):
        file, config = files.read_json(transformer / FILE), files.read_json(transformer / CONFIG)
    else:
        if trusts_code:
            return None
        tokenizer = tokenization.transformer_without_weights(folder).tokenizer
        if not tokenizer.is_fast:
            return None
        file, config = as_loaded(tokenizer)
    changed = [
        _write(transformer / FILE, file | tokenizer_changes(file, config, limit)),
        _write(transformer / CONFIG, config | config_changes(config, limit)),
        *_rewrite_queries(folder),
    ]
    return [path.relative_to(folder).as_posix() for path in changed if path is not None]


def _overruled_queries(folder: Path) -> Path | None:
    """The folder of the table that queries are looked up in, where its tokenizer is of a class that has a say in the
    tokens beside its file; None for one of BERT's, which every reader knows, and where there is no table."""
    table = checkpoint_folder.query_table(folder)
    if table is None or not (folder / table / CONFIG).is_file():
        return None
    name = files.read_json(folder / table / CONFIG).get("tokenizer_class")
    is_known = name in tokenization.PLAIN_CLASSES or name in tokenization.BERT_CLASSES
    return None if is_known else folder / table


def _rewrite_queries(folder: Path) -> list[Path | None]:
    """Write the tokenizer of queries as it is once loaded, where its file does not say everything."""
    table = _overruled_queries(folder)
    if table is None:
        return []
    tokenizer = _query_tokenizer(table)
    if not tokenizer.is_fast:
        return []
    file, config = as_loaded(tokenizer)
    return [_write(table / FILE, file), _write(table / CONFIG, config)]


def _ids_of_queries(folder: Path, inputs: Sequence[Any], is_rewritten: bool = False) -> list[list[int]] | None:
    """The ids of each text as a query by transformers, without special tokens, where `_rewrite_queries` changes or has
    changed something; else None."""
    path = checkpoint_folder.query_table(folder)
    table = folder / path if is_rewritten and path is not None else _overruled_queries(folder)
    if table is None:
        return None
    ids: list[list[int]] = _query_tokenizer(table)(list(inputs), truncation=True, add_special_tokens=False)["input_ids"]
    return ids


def _query_tokenizer(table: Path) -> Any:
    """The tokenizer of queries as Sentence Transformers loads it."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(table, local_files_only=True)


def as_loaded(tokenizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What tokenizer.json and tokenizer_config.json say of a loaded tokenizer, so that no class has to add anything."""
    file = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {
        name: str(token) for name, token in tokenizer.special_tokens_map.items() if name in tokenization.SPECIAL_TOKENS
    }
    config = {
        "tokenizer_class": PLAIN_CLASS,
        "model_max_length": tokenizer.model_max_length,
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
        "pad_token_type_id": tokenizer.pad_token_type_id,
        "model_input_names": list(tokenizer.model_input_names),
        "clean_up_tokenization_spaces": tokenizer.clean_up_tokenization_spaces,
        # transformers 4 puts it into the file's pre-tokenizer, and a missing one as False.
        "add_prefix_space": (file["pre_tokenizer"] or {}).get("add_prefix_space", False),
        **special,
        "added_tokens_decoder": {
            str(row["id"]): {key: value for key, value in row.items() if key != "id"} for row in file["added_tokens"]
        },
    }
    if tokenizer.split_special_tokens:
        config["split_special_tokens"] = True
    if isinstance(tokenizer.chat_template, dict):
        config["chat_template"] = [{"name": name, "template": text} for name, text in tokenizer.chat_template.items()]
    elif tokenizer.chat_template is not None:
        config["chat_template"] = tokenizer.chat_template
    return file, config


def tokenizer_changes(file: dict[str, Any], config: dict[str, Any], limit: int | None) -> dict[str, Any]:
    """What tokenizer.json is to say of truncation and padding; there is no padding where there is no token for it."""
    changes: dict[str, Any] = {"truncation": None}
    if limit is not None:
        direction = str(config.get("truncation_side", "right")).capitalize()
        changes["truncation"] = {
            "direction": direction, "max_length": limit, "strategy": "LongestFirst", "stride": 0
        }  # fmt: skip
    before = file.get("padding") or {}
    token = config.get("pad_token") or before.get("pad_token")
    content = token and tokenization.content(token)
    ids = {row["content"]: row["id"] for row in file.get("added_tokens", ())}
    vocabulary = file["model"].get("vocab")
    if isinstance(vocabulary, dict):
        ids = {**vocabulary, **ids}
    if content in ids:
        side = config.get("padding_side") or before.get("direction") or "right"
        changes["padding"] = {
            "strategy": "BatchLongest", "direction": str(side).capitalize(), "pad_to_multiple_of": None,
            "pad_id": ids[content], "pad_type_id": config.get("pad_token_type_id", before.get("pad_type_id", 0)),
            "pad_token": content,
        }  # fmt: skip
    return changes


def config_changes(config: dict[str, Any], limit: int | None) -> dict[str, Any]:
    """What tokenizer_config.json is to say of lengths, nothing where the model has no limit; and of a class that
    changes nothing, by its name and with its inputs as every version reads them."""
    changes: dict[str, Any] = {}
    if limit is not None:
        changes = {name: limit for name in LENGTHS if name == LENGTHS[0] or name in config}
    if config.get("tokenizer_class") in tokenization.PLAIN_CLASSES:
        changes["tokenizer_class"] = PLAIN_CLASS
        # Where nothing is said, transformers 4 gives a pair's second text another token type, and 5 gives none.
        by_default = ["input_ids", "token_type_ids", "attention_mask"]
        if int(importlib.metadata.version("transformers").partition(".")[0]) > 4:
            by_default.remove("token_type_ids")
        changes["model_input_names"] = config.get("model_input_names", by_default)
    return changes


def by_file_as_it_is(path: Path, inputs: Sequence[tokenization.Text]) -> list[list[int]]:
    """The ids of each text or pair by a tokenizer.json as anybody reads it, in batches, without the padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    batches = (list(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH))
    if tokenizer.padding is None:  # then each stays as long as it is
        batches = ([text] for text in inputs)
    return [
        [index for index, counts in zip(encoded.ids, encoded.attention_mask, strict=True) if counts]
        for batch in batches
        for encoded in tokenizer.encode_batch(batch)
    ]


def special_tokens(transformer: Path) -> dict[str, Any]:
    """The special tokens that tokenizer_config.json names, as transformers 4 wrote them to a file of their own."""
    path = transformer / CONFIG
    config = files.read_json(path) if path.is_file() else {}
    return {name: config[name] for name in tokenization.SPECIAL_TOKENS if config.get(name) is not None}


def _write(path: Path, content: dict[str, Any]) -> Path | None:
    """Write a JSON file that does not hold this already; give its path where something changed.

    Raises:
        FoundryError: when a value would change on the way, such as a number that JSON has no name for.
    """
    if path.is_file() and files.read_json(path) == content:
        return None
    # A vocabulary in lines would be twice as large.
    form: dict[str, Any] = {"separators": (",", ":")} if path.name == FILE else {"indent": 2}
    try:
        encoded = json.dumps(content, ensure_ascii=False, **form).encode()
    except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can name and UTF-8 cannot
        encoded = json.dumps(content, **form).encode()
    if json.loads(encoded) != content:
        raise FoundryError(f"{path} does not survive being read and written: a value has changed")
    with files.replacing(path) as partial:
        partial.write_bytes(encoded)
    return path
