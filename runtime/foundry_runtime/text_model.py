"""What embedders of texts, dense and sparse, have in common beside `Model`: prompts by role, and similarity."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from foundry_runtime import similarity
from foundry_runtime.model import Model

DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # the first of these that a model has is that of documents
Embeddings = TypeVar("Embeddings")


class TextModel(Model, Generic[Embeddings]):
    """A model that embeds single texts; see `Model` for the arguments."""

    _output: ClassVar[str] = "sentence_embedding"
    _default_prompts = {"query": "", "document": ""}  # noqa: RUF012  as Sentence Transformers has them
    _default_similarity: ClassVar[str]
    encode: Callable[..., Embeddings]  # each class has its own, with its own options

    def __init__(self, model: str | Path, variant: str | None = None, **options: Any) -> None:
        super().__init__(model, variant, **options)
        self.similarity_fn_name = self._layout.model_settings.get("similarity_fn_name") or self._default_similarity
        self._similarity = similarity.by_name(self.similarity_fn_name)

    def encode_query(self, texts: str | Iterable[str], **options: Any) -> Embeddings:
        """`encode` with the prompt `query`, where the model has one and no other is named."""
        return self.encode(texts, **self._with_prompt_of(("query",), options))

    def encode_document(self, texts: str | Iterable[str], **options: Any) -> Embeddings:
        """`encode` with the prompt `document`, `passage` or `corpus`, where no other is named."""
        return self.encode(texts, **self._with_prompt_of(DOCUMENT_PROMPTS, options))
