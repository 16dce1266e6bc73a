"""The prompts that a model was trained with: a short text is embedded as a query, a longer one as a document."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

# How a model embeds texts, by the name of its method: Sentence Transformers' and foundry_runtime's.
Method = Literal["encode", "encode_query", "encode_document"]

MAX_QUERY_WORDS = 8  # A text of at most so many words is embedded as a query where the model has prompts.
DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # Sentence Transformers' names, in its order


def is_query(text: str) -> bool:
    """Whether a model that has prompts embeds the text as a query."""
    return len(text.split()) <= MAX_QUERY_WORDS


def with_prompt(text: str, prompts: Mapping[str, str], default: str | None, has_queries: bool = True) -> str:
    """The text with the prompt that Sentence Transformers puts before it, by the model's `prompts`; that of a document
    where none `has_queries`, as where they are looked up in a table."""
    names = ("query",) if has_queries and is_query(text) else DOCUMENT_PROMPTS
    return next((prompts[name] for name in (*names, default) if name in prompts), "") + text


def embed_by_role(texts: Sequence[str], embed: Callable[[Method, list[str]], np.ndarray]) -> np.ndarray:
    """Rows (texts, dimensions) in the order of the texts, by `embed`: the queries together, and the documents."""
    methods: list[Method] = ["encode_query" if is_query(text) else "encode_document" for text in texts]
    places = {method: [i for i, name in enumerate(methods) if name == method] for method in dict.fromkeys(methods)}
    rows = np.concatenate([embed(method, [texts[i] for i in indices]) for method, indices in places.items()])
    order = np.argsort([i for indices in places.values() for i in indices])
    sorted_rows: np.ndarray = rows[order]
    return sorted_rows


def by_role(texts: Sequence[str], embed: Callable[[Method, list[str]], Sequence[Any]]) -> list[Any]:
    """What `embed` gives for each text, in the order of the texts: the queries together, and the documents."""
    methods: list[Method] = ["encode_query" if is_query(text) else "encode_document" for text in texts]
    result: list[Any] = [None] * len(texts)
    for method in dict.fromkeys(methods):
        places = [place for place, name in enumerate(methods) if name == method]
        for place, value in zip(places, embed(method, [texts[place] for place in places]), strict=True):
            result[place] = value
    return result
