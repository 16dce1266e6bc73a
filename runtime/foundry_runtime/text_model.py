"""What embedders of texts, dense and sparse, have in common beside `Model`: prompts by role, and similarity."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from foundry_runtime import similarity
from foundry_runtime.model import Model
from foundry_runtime.router import Role

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
        source = self._record.get("source")
        side = source.get("side") if isinstance(source, dict) else None
        # Of which Router it is one side, and which: what `RoutedEmbedder` asks.
        self.side: dict[str, Any] | None = side if isinstance(side, dict) else None
        self.similarity_fn_name = self._layout.model_settings.get("similarity_fn_name") or self._default_similarity
        self._similarity = similarity.by_name(self.similarity_fn_name)

    def encode_query(self, texts: str | Iterable[str], **options: Any) -> Embeddings:
        """`encode` with the task `query` and the prompt `query`, where the model has one and no other is named."""
        return self.encode(texts, **{"task": "query"} | self._with_prompt_of(("query",), options))

    def encode_document(self, texts: str | Iterable[str], **options: Any) -> Embeddings:
        """`encode` with the task `document` and the prompt `document`, `passage` or `corpus`, where no other is
        named."""
        return self.encode(texts, **{"task": "document"} | self._with_prompt_of(DOCUMENT_PROMPTS, options))

    @property
    def has_router(self) -> bool:
        """Whether a Router sends queries through other modules than documents."""
        return self._layout.sides is not None

    @property
    def has_query_table(self) -> bool:
        """Whether queries are looked up in a table, so that only documents go through the graph."""
        return self._query_table is not None

    @property
    def default_task(self) -> Role | None:
        """By which side of its Router `encode` embeds texts whose task is not named; None without a Router, and where
        that is an error."""
        return None if self._layout.sides is None else self._layout.sides.default

    def _role(self, task: str | None) -> Role | None:
        """By which side of the model's Router texts of a task go; None of a model without one, which asks for none.

        Raises:
            ValueError: when the Router has no route for it.
        """
        sides = self._layout.sides
        if sides is None:
            return None
        if task is None and sides.default is None:
            raise ValueError("the model's Router has no default: use encode_query or encode_document, or name a task")
        role = task or sides.default
        if role == "query":
            return "query"
        if role == "document":
            return "document"
        raise ValueError(f"the model's Router has no route for the task {task!r}; it has query and document")
