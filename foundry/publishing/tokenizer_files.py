"""The published tokenizer says itself where texts are cut and how they are padded, so that every reader does the same.

Sentence Transformers cuts texts by a setting of its own, which no other library reads: fastembed, transformers.js and
the like go by tokenizer.json and tokenizer_config.json, where many checkpoints have other lengths, and give other
embeddings for long texts. Only those values are changed, and the ids that come out are compared with torch's.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.loading import tokenization
from foundry.loading.items import first_tokenizer_input, make_items
from foundry.reference.reference import Reference
from foundry.variants import checkpoint_folder

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
LENGTHS = ("model_max_length", "max_length")  # of tokenizer_config.json; the second is written by some versions alone
BATCH = 8  # texts that are tokenized at once, so that padding is seen, too


class TokenizerRecord(TypedDict):
    """What foundry.json says of the tokenizer."""

    max_length: int | None  # tokens after which a text is cut
    texts: int  # whose ids were compared with those of torch
    same_by_file: int  # of them, those to which tokenizer.json alone, as anybody reads it, gives the same ids


def align(folder: Path, expected: Reference, texts: Sequence[str]) -> tuple[TokenizerRecord | None, list[str]]:
    """Write the model's maximum length and its padding into the tokenizer's files of a folder that is published.

    Returns what is known of the tokenizer, None where it has no tokenizer.json, and the names of the changed files.

    Raises:
        FoundryError: when Sentence Transformers would read other ids than torch did when it was frozen.
    """
    transformer = folder / checkpoint_folder.transformer_path(folder)
    if not (transformer / FILE).is_file():
        return None, []
    has_config = (transformer / CONFIG).is_file()
    config = files.read_json(transformer / CONFIG) if has_config else {}
    limit = checkpoint_folder.max_seq_length(folder)
    was_plain = tokenization.is_plain(folder)
    changed = [
        _rewrite(transformer / FILE, tokenizer_changes(files.read_json(transformer / FILE), config, limit, was_plain)),
        _rewrite(transformer / CONFIG, config_changes(config, limit)) if has_config else None,
    ]
    kind = expected.facts["kind"]
    items = [*make_items(texts, kind), *make_items(list(expected.hard_texts.values()), kind)]
    inputs = [first_tokenizer_input(item) for item in items]
    ids = by_file_as_it_is(transformer / FILE, inputs)
    same = sum(mine == frozen for mine, frozen in zip(ids, expected.tokens, strict=True))
    if not (was_plain and same == len(inputs)):
        # Something else than the file has a say in the tokens: what Sentence Transformers then reads is looked at.
        by_model = [fields["input_ids"][0].tolist() for fields in tokenization.by_model(folder, inputs)]
        if by_model != expected.tokens:
            raise FoundryError(f"{FILE} with a maximum length of {limit} gives Sentence Transformers other token ids")
    record: TokenizerRecord = {"max_length": limit, "texts": len(inputs), "same_by_file": same}
    return record, [path.relative_to(folder).as_posix() for path in changed if path is not None]


def tokenizer_changes(
    file: dict[str, Any], config: dict[str, Any], limit: int | None, is_plain: bool
) -> dict[str, Any]:
    """What tokenizer.json is to say of truncation and padding.

    Padding stays as it is where there is no token for it; and where nothing but the tokenizer's class says on which
    side it goes, which is the right of those that are plain alone.
    """
    changes: dict[str, Any] = {"truncation": None}
    if limit is not None:
        direction = str(config.get("truncation_side", "right")).capitalize()
        changes["truncation"] = {
            "direction": direction, "max_length": limit, "strategy": "LongestFirst", "stride": 0
        }  # fmt: skip
    before = file.get("padding") or {}
    token = config.get("pad_token") or before.get("pad_token")
    content = token["content"] if isinstance(token, dict) else token
    ids = {row["content"]: row["id"] for row in file.get("added_tokens", ())}
    vocabulary = file["model"].get("vocab")
    if isinstance(vocabulary, dict):
        ids = {**vocabulary, **ids}
    side = config.get("padding_side") or before.get("direction") or ("right" if is_plain else None)
    if content in ids and side is not None:
        changes["padding"] = {
            "strategy": "BatchLongest", "direction": str(side).capitalize(), "pad_to_multiple_of": None,
            "pad_id": ids[content], "pad_type_id": config.get("pad_token_type_id", before.get("pad_type_id", 0)),
            "pad_token": content,
        }  # fmt: skip
    return changes


def config_changes(config: dict[str, Any], limit: int | None) -> dict[str, Any]:
    """What tokenizer_config.json is to say of lengths; nothing where the model has no limit."""
    if limit is None:
        return {}
    return {name: limit for name in LENGTHS if name == LENGTHS[0] or name in config}


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


def _rewrite(path: Path, changes: dict[str, Any]) -> Path | None:
    """Change values of a JSON file, and leave all others as they are; give its path where something changed.

    Raises:
        FoundryError: when another value would change on the way, such as a number that JSON's readers round.
    """
    before = files.read_json(path)
    after = {**before, **changes}
    if after == before:
        return None
    # A vocabulary in lines would be twice as large.
    form: dict[str, Any] = {"separators": (",", ":")} if path.name == FILE else {"indent": 2}
    content = json.dumps(after, ensure_ascii=False, **form)
    try:
        encoded = content.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can name and UTF-8 cannot
        encoded = json.dumps(after, **form).encode()
    again = json.loads(encoded)
    if {**again, **dict.fromkeys(changes)} != {**before, **dict.fromkeys(changes)}:
        raise FoundryError(f"{path} does not survive being read and written: a value has changed")
    with files.replacing(path) as partial:
        partial.write_bytes(encoded)
    return path
