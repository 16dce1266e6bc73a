"""Types of the settings that this project itself reads: a number that is written as a text is one line, no crash."""

from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError

Check = tuple[str, Callable[[Any], bool]]  # what is expected, in words, and whether a value is that


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    # JSON can write half of a surrogate pair, which no file in UTF-8 holds.
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


TOKENS: Check = (
    "a number of tokens, 1 or more",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 1,
)
COUNT: Check = ("a number, 1 or more", TOKENS[1])
NUMBER: Check = ("a number", _is_number)
TEXT: Check = ("a text", _is_text)
MAPPING: Check = ("a mapping", lambda value: isinstance(value, dict))
TEXTS: Check = ("a list of texts", lambda value: isinstance(value, list) and all(map(_is_text, value)))
PROMPTS: Check = (
    "a mapping of names to texts",
    lambda value: (
        isinstance(value, dict)
        and all(_is_text(name) and (text is None or _is_text(text)) for name, text in value.items())
    ),
)

# Sentence Transformers 5 stops at another one, and 6 takes cosine in its place.
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan", "maxsim", "meanmaxsim")
SIMILARITY: Check = (
    f"one of {', '.join(SIMILARITIES)}",
    lambda value: isinstance(value, str) and value.lower() in SIMILARITIES,  # PyLate writes MaxSim
)

# Each by its older and its newer name.
MODEL_ARGUMENTS, TOKENIZER_ARGUMENTS = ("model_args", "model_kwargs"), ("tokenizer_args", "processor_kwargs")
CONFIG_ARGUMENTS = ("config_args", "config_kwargs")
ARGUMENTS = (*MODEL_ARGUMENTS, *TOKENIZER_ARGUMENTS, *CONFIG_ARGUMENTS)
TYPES: dict[str, dict[str, Check]] = {
    "sentence_*_config.json": {
        "max_seq_length": TOKENS,
        "modality_config": MAPPING,
        "transformer_task": TEXT,
        **dict.fromkeys(ARGUMENTS, MAPPING),
    },
    "config_sentence_transformers.json": {
        "model_type": TEXT,
        "prompts": PROMPTS,
        "default_prompt_name": TEXT,
        "similarity_fn_name": SIMILARITY,
        "truncate_dim": COUNT,
    },
    "config.json": {
        "model_type": TEXT,
        "num_hidden_layers": COUNT,
        "architectures": TEXTS,
        "max_position_embeddings": NUMBER,
        "sentence_transformers": MAPPING,
    },
    "tokenizer_config.json": {"model_max_length": NUMBER, "max_len": NUMBER},
}
# Sentence Transformers takes a model_type that is null there for another kind, and leaves modules out.
NEVER_NULL = {("config_sentence_transformers.json", "model_type")}


def check(name: Path, settings: dict[str, Any]) -> None:
    """Check the settings in one file of a checkpoint; a key that is null is as one that is not there, but for
    `NEVER_NULL`.

    Raises:
        FoundryError: naming the file, the key, its value and what was expected.
    """
    for pattern, keys in TYPES.items():
        if not fnmatch(name.name, pattern):
            continue
        for key, (expected, is_expected) in keys.items():
            value = settings.get(key)
            is_set = value is not None or (key in settings and (pattern, key) in NEVER_NULL)
            if is_set and not is_expected(value):
                raise FoundryError(
                    f"{name} has {key}: {str(value)[:60]!r} ({type(value).__name__}); {expected} is expected"
                )
