"""The prompts that a model was trained with: a short text is embedded as a query, a longer one as a document."""

from collections.abc import Mapping

MAX_QUERY_WORDS = 8  # A text of at most so many words is embedded as a query where the model has prompts.
DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # Sentence Transformers' names, in its order


def is_query(text: str) -> bool:
    """Whether a model that has prompts embeds the text as a query."""
    return len(text.split()) <= MAX_QUERY_WORDS


def with_prompt(text: str, prompts: Mapping[str, str], default: str | None) -> str:
    """The text with the prompt that Sentence Transformers puts before it, by the model's `prompts`."""
    names = ("query",) if is_query(text) else DOCUMENT_PROMPTS
    return next((prompts[name] for name in (*names, default) if name in prompts), "") + text
