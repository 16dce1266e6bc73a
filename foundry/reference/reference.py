"""What every variant is compared with: torch's embeddings and scores, and what kind of model it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundry.base import files
from foundry.loading import loader
from foundry.loading.encoders import Item, tokenizable

REPEATED_WORDS = 10_000
# Texts in scripts and shapes that ordinary text does not have; those that depend on the tokenizer are made per model.
HARD_TEXTS = {
    "empty": "",
    "one_character": "a",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🤷🏿‍♀️",
    "cjk": "東京は日本の首都です。今天天气很好。한국어 문장입니다.",
    "right_to_left": "مرحبا بالعالم. שלום עולם. \u202bmixed עברית text\u202c",
    "combining_marks": "Z̷̛̦a̴l̸g̵o̶ e\u0301le\u0300ve n\u0303 ก็ ที่นี่",
    "control_characters": "tab\there\u0000null\u0007bell\u200bzero\u200dwidth\ufeffmark\r\nline",
    "unknown_tokens": "𐎀𐎁𐎂 𓀀𓀁 𒀀𒀁",
}


@dataclass(frozen=True)
class Reference:
    """The reference of one model, as `embed` froze it."""

    embeddings: np.ndarray  # (texts, dimensions), float32: the validation texts, less `offset`
    hard: dict[str, str]
    hard_embeddings: np.ndarray  # (hard texts, dimensions), float32, each embedded alone, less `offset`
    tokens: list[list[int]]  # token ids of the validation texts, then of the hard texts
    facts: dict[str, Any]
    scores: dict[str, float]  # by task
    vocabulary_size: int
    batch_size: int  # in which the validation texts were embedded
    offset: float  # the mean of a CrossEncoder's scores, which would drown their differences in a cosine; else 0

    def centred(self, rows: np.ndarray) -> np.ndarray:
        """Rows (texts, dimensions) of a variant, to be compared with those here."""
        return rows - np.float32(self.offset) if self.offset else rows

    @property
    def vocabulary_covered(self) -> int:
        """How many entries of the vocabulary the texts hold: a damaged row of another one goes unseen."""
        return len({token for ids in self.tokens for token in ids})


def hard_texts(model: Any) -> dict[str, str]:
    """The fixed hard texts, and those whose length is a matter of the model's tokenizer and maximum length."""
    word = "the"
    alone, double = (len(ids) for ids in token_ids(model, [word, f"{word} {word}"]))
    step = max(double - alone, 1)
    made = {"one_token": word, "repeated_words": " ".join([word] * REPEATED_WORDS)}
    longest = model.max_seq_length
    if longest is not None and longest * step <= REPEATED_WORDS:
        words = (longest - (alone - step)) // step
        made |= {
            "exactly_max_length": " ".join([word] * words),
            "beyond_max_length": " ".join([word] * (words - 1) + ["different", "words", "at", "the", "end"] * 20),
        }
    return HARD_TEXTS | made


def token_ids(model: Any, items: Sequence[Item]) -> list[list[int]]:
    """The token ids of each item alone, as the model itself tokenizes, truncation and lower-casing included."""
    return [model.preprocess([tokenizable(item)])["input_ids"][0].tolist() for item in items]


def facts(model: Any) -> dict[str, Any]:
    """What must be the same in every variant: its class, maximum length, similarity or activation, and every module
    after the first."""
    said = getattr(model, "similarity_fn_name", None) or type(model.activation_fn).__name__
    return {
        "kind": loader.kind(model),
        "max_seq_length": model.max_seq_length,
        "similarity": str(said),
        "prompts": dict(model.prompts),
        "truncate_dim": getattr(model, "truncate_dim", None),
        "trust_remote_code": bool(model.trust_remote_code),
        "modules": [[type(module).__name__, module.get_config_dict()] for module in list(model)[1:]],
    }


def write(folder: Path, reference: Reference) -> None:
    """Write the reference into a folder that is there."""
    np.savez(folder / "embeddings.npz", texts=reference.embeddings, hard=reference.hard_embeddings)
    rest = {
        "facts": reference.facts,
        "scores": reference.scores,
        "vocabulary_size": reference.vocabulary_size,
        "batch_size": reference.batch_size,
        "offset": reference.offset,
        "hard": reference.hard,
        "tokens": reference.tokens,
    }
    files.write_json(folder / "reference.json", rest)


def read(folder: Path) -> Reference:
    """Read what `write` wrote."""
    rest = files.read_json(folder / "reference.json")
    with np.load(folder / "embeddings.npz") as arrays:
        return Reference(embeddings=arrays["texts"], hard_embeddings=arrays["hard"], **rest)
