"""Late interaction: what tokens a model reads of a text by its role, and which of their vectors count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foundry_runtime.errors import UnusableModel
from foundry_runtime.head import MultiVectorMask
from foundry_runtime.tokens import Encoded, Text, Tokens

EXPANSION_KEYS = {"strategy", "attend", "token", "length"}
COUNTED = "counted"  # beside a batch's inputs: which of its vectors count, (texts, tokens)


@dataclass(frozen=True)
class Expansion:
    """Tokens put behind a query until it has `length`: their vectors count, attended to or not (ColBERT)."""

    strategy: str  # `fixed`, where a longer query is cut to the length, or `min`
    length: int
    attends: bool
    token: int  # its id

    @classmethod
    def read(cls, name: str, settings: Mapping[str, Any] | None, tokens: Tokens, special: Mapping[str, Any]) -> Any:
        """The expansion that a model's settings name, or None; `special` is tokenizer_config.json.

        Raises:
            UnusableModel: when they say something that is not known here.
        """
        if settings is None:
            return None
        strategy, length, token = (settings.get(key) for key in ("strategy", "length", "token"))
        if set(settings) - EXPANSION_KEYS or strategy not in ("fixed", "min") or not isinstance(length, int):
            raise UnusableModel(f"{name}: its query_expansion is {dict(settings)}, which is not known here")
        if tokens.pads_left or tokens.pad_type:
            raise UnusableModel(f"{name}: queries are expanded on the left or with another token type: not known here")
        if token is None:
            named = next((special[key] for key in ("mask_token", "eos_token") if special.get(key) is not None), None)
            token = named["content"] if isinstance(named, dict) else named
        index = tokens.id_of(str(token)) if token is not None else None
        if index is None:
            raise UnusableModel(f"{name}: queries are expanded by {token!r}, which its tokenizer does not have")
        return cls(strategy, length, bool(settings.get("attend", False)), index)


@dataclass(frozen=True)
class RoleTokens:
    """A model's tokens for queries, for documents or for what is neither: expanded, and each with whether it counts."""

    tokens: Tokens
    expansion: Expansion | None
    skipped: np.ndarray  # ids that do not count
    kept: np.ndarray  # where there are any, the only ids that count

    def encode(self, texts: Sequence[Text]) -> list[Encoded]:
        """As `Tokens.encode`, with the tokens of the expansion."""
        encoded = self.tokens.encode(texts)
        return encoded if self.expansion is None else [self._expanded(entry, self.expansion) for entry in encoded]

    def _expanded(self, entry: Encoded, expansion: Expansion) -> Encoded:
        more = max(expansion.length - len(entry), 0)
        attended = None if expansion.attends or not more else len(entry)
        return Encoded([*entry.ids, *[expansion.token] * more], [*entry.types, *[0] * more], attended)

    def padded(self, tokens: int, is_aligned: bool) -> int:
        """See `Tokens.padded`."""
        return self.tokens.padded(tokens, is_aligned)

    def pad(self, encoded: Sequence[Encoded], is_aligned: bool = False) -> dict[str, np.ndarray]:
        """As `Tokens.pad`, and beside it which vectors count."""
        inputs = self.tokens.pad(encoded, is_aligned)
        ids = inputs["input_ids"]
        places = np.arange(ids.shape[1])
        lengths = np.array([len(entry) for entry in encoded])[:, None]
        counted = places >= ids.shape[1] - lengths if self.tokens.pads_left else places < lengths
        counted &= ~np.isin(ids, self.skipped)
        if len(self.kept):
            counted &= np.isin(ids, self.kept)
        return {**inputs, COUNTED: counted}


def role_tokens(
    tokens: Tokens, expansion: Expansion | None, masks: Sequence[MultiVectorMask], task: str | None
) -> RoleTokens:
    """How a text of a task (`query`, `document` or none) is read, by the masks among a model's modules."""
    skipped: set[int] = set()
    kept: set[int] | None = None
    for mask in masks:
        if (task or "document") in mask.tasks:
            # A word that is no entry of the vocabulary has no id of its own, and does not stand for the unknown one.
            skipped |= {index for word in mask.skipped if (index := tokens.id_of(word)) is not None}
        if task != "query" and mask.kept_ids:
            kept = set(mask.kept_ids) if kept is None else kept & set(mask.kept_ids)
    return RoleTokens(
        tokens, expansion if task == "query" else None, np.array(sorted(skipped), np.int64),
        np.array(sorted(kept or ()), np.int64),
    )  # fmt: skip
