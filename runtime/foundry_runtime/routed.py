"""Queries by one model and documents by another: the two sides of a Router, each published as a model of its own."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from foundry_runtime.errors import UnusableModel
from foundry_runtime.router import Role
from foundry_runtime.text_model import TextModel

Embeddings = TypeVar("Embeddings")


class RoutedEmbedder(Generic[Embeddings]):
    """Two loaded models, which may be other variants, on other devices.

    Args:
        queries: The side for queries, an `Embedder` or a `SparseEmbedder`.
        documents: The side for documents of the same checkpoint, of the same class.

    Raises:
        UnusableModel: when they are not the two sides of one checkpoint, as the foundry.json of each says.
    """

    def __init__(self, queries: TextModel[Embeddings], documents: TextModel[Embeddings]) -> None:
        routers = {_router(queries, "query"), _router(documents, "document")}
        if len(routers) > 1:
            raise UnusableModel(
                f"{queries.name} and {documents.name} are sides of two checkpoints, or of two states of one"
            )
        if type(queries) is not type(documents) or queries.similarity_fn_name != documents.similarity_fn_name:
            raise UnusableModel(f"{queries.name} and {documents.name} are models of two kinds, or compare in two ways")
        self.queries, self.documents = queries, documents
        self.similarity_fn_name = documents.similarity_fn_name

    def encode_query(self, texts: str | Iterable[str], **options: Any) -> Embeddings:
        """Embeddings of queries; the options are those of the model's own `encode_query`."""
        return self.queries.encode_query(texts, **options)

    def encode_document(self, texts: str | Iterable[str], **options: Any) -> Embeddings:
        """Embeddings of documents; the options are those of the model's own `encode_document`."""
        return self.documents.encode_document(texts, **options)

    def similarity(self, queries: Any, documents: Any) -> Any:
        """How alike each query is to each document, (queries, documents), by the checkpoint's own measure."""
        return self.documents.similarity(queries, documents)  # type: ignore[attr-defined]


def _router(model: TextModel[Any], role: Role) -> str:
    """By which hash a model names the checkpoint of which it is this side.

    Raises:
        UnusableModel: when it is no side, or the other one.
    """
    side = model.side
    if side is None:
        raise UnusableModel(f"{model.name} is no side of a Router: its foundry.json names none")
    if side.get("role") != role:
        raise UnusableModel(f"{model.name} is the side for the role {side.get('role')!r}, and not for {role!r}")
    return str(side.get("router"))
