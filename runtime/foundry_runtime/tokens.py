"""The tokens that a model reads, by its tokenizer.json, as Sentence Transformers makes them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from foundry_runtime import batches
from foundry_runtime.errors import UnusableModel
from foundry_runtime.folder import ModelFolder
from foundry_runtime.layout import Layout, join
from foundry_runtime.pair_template import FILLERS, common_end
from foundry_runtime.tokenizer_classes import as_loaded, content

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Text = str | tuple[str, str] | tuple[str, str, str]  # or a pair; of a model with a template, maybe with a prompt


@dataclass(frozen=True)
class Encoded:
    """The tokens of one text or pair, without padding."""

    ids: list[int]
    types: list[int]
    attended: int | None = None  # how many of the first tokens the model attends to; None for all

    def __len__(self) -> int:
        return len(self.ids)


# What of tokenizer_config.json names special tokens: one, several, or several by their roles.
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
                  "additional_special_tokens", "extra_special_tokens")  # fmt: skip


# A text with more for each token that is kept is shortened before it is tokenized; English has about five.
CHARACTERS_PER_TOKEN = 8


class Tokens:
    """A model's tokenizer. It may be used by several threads: nothing of it changes after it was made.

    Raises:
        UnusableModel: when the folder has no tokenizer.json, or says something of its tokens that is not known here.
    """

    def __init__(
        self, folder: ModelFolder, layout: Layout, max_seq_length: int | None = None, with_special: bool = True
    ) -> None:
        """Read the tokenizer; of each text, `with_special` also the special tokens that begin and end it."""
        from tokenizers import Tokenizer

        written = folder.read(join(layout.transformer, "tokenizer.json"))
        if written is None:
            raise UnusableModel(
                f"{folder.name} has no tokenizer.json, which is read here: its tokenizer is one of Python alone"
            )
        config = layout.tokenizer_config
        file = json.loads(written)
        try:
            loaded = as_loaded(file, config, bool(layout.settings.get("do_lower_case")))
        except UnusableModel as error:
            raise UnusableModel(f"{folder.name}: {error}") from None
        self._tokenizer = Tokenizer.from_str(json.dumps(loaded))
        self._with_special = with_special
        _check_added_tokens(folder, layout, file, self._tokenizer)
        self._template = layout.template
        self._tokenizer.no_truncation()
        self._ends = {} if self._template is None else {is_with: self._end(is_with) for is_with in (False, True)}
        self.max_seq_length = max_seq_length or layout.max_seq_length
        if self.max_seq_length is not None:
            self._tokenizer.enable_truncation(
                self.max_seq_length, strategy="longest_first", direction=config.get("truncation_side", "right")
            )
        truncates_right = config.get("truncation_side", "right") == "right"
        self._may_shorten = self.max_seq_length is not None and truncates_right and _ends_words_at_spaces(loaded)
        self._special = _special_ids(file, config, self._tokenizer)
        padding = file.get("padding") or {}
        is_left = str(config.get("padding_side") or padding.get("direction")).lower() == "left"
        # The token behind a pair is the last one of each row, as Sentence Transformers has it.
        self.pads_left = is_left or layout.task == "text-generation"
        self.pad_id = _pad_id(self._tokenizer, config, padding, layout.config)
        self.pad_type = int(config.get("pad_token_type_id", padding.get("pad_type_id", 0)))
        self._has_types = "token_type_ids" in config.get("model_input_names", ["token_type_ids"])

    def encode(self, texts: Sequence[Text]) -> list[Encoded]:
        """The tokens of each text or pair, truncated, with the special tokens unless they are not asked for."""
        if self._template is not None:
            return [self._encode_rendered(text) for text in texts]
        if not self._may_shorten:
            return self._encode(texts)
        shortened = [self._shortened(text) for text in texts]
        encoded = self._encode(shortened)
        # Of long words and the like, the beginning may have fewer tokens than are kept.
        again = [
            place
            for place, text in enumerate(texts)
            if shortened[place] is not text and len(encoded[place]) != self.max_seq_length
        ]
        for place, entry in zip(again, self._encode([texts[place] for place in again]), strict=True):
            encoded[place] = entry
        return encoded

    def _encode(self, texts: Sequence[Text]) -> list[Encoded]:
        # A single one is not worth waking other threads for.
        if len(texts) == 1:
            text, pair = (texts[0], None) if isinstance(texts[0], str) else texts[0][:2]
            encodings = [self._tokenizer.encode(text, pair, add_special_tokens=self._with_special)]
        else:
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=self._with_special)
        return [Encoded(encoding.ids, encoding.type_ids) for encoding in encodings]

    def _encode_rendered(self, text: Text) -> Encoded:
        """The tokens of a pair in the template, whose end is put back where it was cut off."""
        query, document, prompt = (*text, "")[:3] if not isinstance(text, str) else (text, "", "")
        assert self._template is not None
        encoding = self._tokenizer.encode(self._template.render(query, document, prompt), add_special_tokens=False)
        ids, end = encoding.ids, self._ends[bool(prompt)]
        if self.max_seq_length is not None and len(ids) >= self.max_seq_length:
            kept = min(len(end), len(ids))
            ids = [*ids[: len(ids) - kept], *end[len(end) - kept :]]
        return Encoded(ids, encoding.type_ids)

    def _end(self, with_prompt: bool) -> list[int]:
        """The ids that the template ends with, found as Sentence Transformers finds them, before anything is cut."""
        assert self._template is not None
        prompt = FILLERS[0] if with_prompt else ""
        rendered = [self._template.render(filler, filler, prompt) for filler in FILLERS]
        first, second = (self._tokenizer.encode(text, add_special_tokens=False).ids for text in rendered)
        return common_end(first, second)

    def _shortened(self, text: Text) -> Text:
        """The beginning of a text far beyond the maximum, up to a space; other texts and pairs as they are.

        The tokenizer would make tokens of all of it, and throw nearly all away.
        """
        limit = CHARACTERS_PER_TOKEN * (self.max_seq_length or 0)
        if not isinstance(text, str) or len(text) <= limit or (end := text.rfind(" ", 0, limit)) <= 0:
            return text
        return text[:end]

    def padded(self, tokens: int, is_aligned: bool) -> int:
        """To how many tokens a batch is padded whose longest text has so many.

        `is_aligned`: to a number that a processor computes well.
        """
        # Where padding is in front, it could move the positions of the longest text.
        return batches.aligned(tokens, self.max_seq_length) if is_aligned and not self.pads_left else tokens

    def pad(self, encoded: Sequence[Encoded], is_aligned: bool = False) -> dict[str, np.ndarray]:
        """What a graph reads of a batch: arrays (texts, tokens) of int64 by name. See `padded`."""
        shape = (len(encoded), self.padded(max(map(len, encoded)), is_aligned))
        ids = np.full(shape, self.pad_id, np.int64)
        types = np.full(shape, self.pad_type if self._has_types else 0, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, entry in enumerate(encoded):
            place = slice(shape[1] - len(entry), None) if self.pads_left else slice(0, len(entry))
            ids[row, place] = entry.ids
            mask[row, place] = 1
            if entry.attended is not None:
                mask[row, entry.attended :] = 0
            if self._has_types:
                types[row, place] = entry.types
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}

    def prompt_length(self, prompt: str) -> int:
        """How many tokens a prompt puts before a text, with the special ones that begin it."""
        ids = self.encode([prompt])[0].ids
        return len(ids) - 1 if ids and ids[-1] in self._special else len(ids)

    def id_of(self, token: str) -> int | None:
        """The id of an entry of the vocabulary; None where there is none."""
        index: int | None = self._tokenizer.token_to_id(token)
        return index

    def token(self, index: int) -> str:
        """The entry of the vocabulary that has this id."""
        return str(self._tokenizer.id_to_token(index))


def _check_added_tokens(folder: ModelFolder, layout: Layout, file: Mapping[str, Any], tokenizer: "Tokenizer") -> None:
    """Whether every token that other files name is one of tokenizer.json: transformers would add what is not, and find
    a special one in a text where the file finds a word.

    Raises:
        UnusableModel: when one is not.
    """
    named = set(folder.settings(join(layout.transformer, "added_tokens.json")))
    special = folder.settings(join(layout.transformer, "special_tokens_map.json"))
    for value in special.values():
        named |= {content(token) for token in (value if isinstance(value, list) else [value])}
    wrong = {
        content(row): int(index)
        for index, row in layout.tokenizer_config.get("added_tokens_decoder", {}).items()
        if tokenizer.token_to_id(content(row)) != int(index)
    }
    added = {row["content"] for row in file.get("added_tokens", ())}
    special_tokens: set[str] = set()
    for name in SPECIAL_TOKENS:
        value = layout.tokenizer_config.get(name) or []
        value = value.values() if isinstance(value, dict) and "content" not in value else value
        special_tokens |= {content(token) for token in ([value] if isinstance(value, (str, dict)) else value)}
    missing = sorted(wrong) + sorted(token for token in named if tokenizer.token_to_id(token) is None)
    if missing := missing + sorted(special_tokens - added):
        raise UnusableModel(f"{folder.name}: its tokenizer.json does not have {missing[0]!r}, which other files add")


def _ends_words_at_spaces(file: Mapping[str, Any]) -> bool:
    """Whether no token, and no rule that makes one, looks beyond a space: so the tokenizers of BERT are."""
    normalizer, splitter = file.get("normalizer") or {}, file.get("pre_tokenizer") or {}
    return (
        file["model"].get("type") == "WordPiece"
        and normalizer.get("type", "BertNormalizer") == "BertNormalizer"
        and splitter.get("type") == "BertPreTokenizer"
        and not any(character.isspace() for row in file.get("added_tokens", ()) for character in row["content"])
    )


def _special_ids(file: Mapping[str, Any], config: Mapping[str, Any], tokenizer: "Tokenizer") -> set[int]:
    ids = {int(row["id"]) for row in file.get("added_tokens", ()) if row.get("special")}
    return ids | {int(index) for index, row in config.get("added_tokens_decoder", {}).items() if row.get("special")}


def _pad_id(
    tokenizer: "Tokenizer", config: Mapping[str, Any], padding: Mapping[str, Any], model_config: Mapping[str, Any]
) -> int:
    """The id that padding has; a model that counts positions by it must see the right one."""
    for token in (config.get("pad_token"), padding.get("pad_token")):
        if token is not None and (index := tokenizer.token_to_id(content(token))) is not None:
            return int(index)
    return int(model_config.get("pad_token_id") or 0)
