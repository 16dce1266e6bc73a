"""A loaded variant of any kind: `encode` gives a row of numbers for each item, and the rest says what model it is.

The row of a text is its embedding; a sparse embedding is written out, zeros and all. The row of a query with passages
is their scores before the activation, because the activation would hide a difference where it saturates.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from foundry.loading.items import PASSAGES_PER_QUERY, Item, Query, first_tokenizer_input, make_items
from foundry.loading.prompts import Method, embed_by_role
from foundry.variants import sides
from foundry.variants.checkpoint_folder import Kind
from foundry.variants.facts import Facts

if TYPE_CHECKING:
    from sentence_transformers.base.model import BaseModel


class LoadedVariant(ABC):
    """A variant, ready to run; `loader.load` makes it.

    `model` is Sentence Transformers' own object, for what takes one: its evaluators and its exporters.
    """

    kind: ClassVar[Kind]

    def __init__(self, model: "BaseModel") -> None:
        self.model = model

    @abstractmethod
    def encode(self, items: Sequence[Item], batch_size: int = 32) -> np.ndarray:
        """The rows of the items: (items, columns), float32; of a MultiVectorEncoder those of all tokens that count."""

    def encode_each(self, items: Sequence[Item], batch_size: int = 32) -> list[np.ndarray]:
        """The rows of each item: one, (1, columns); of a MultiVectorEncoder one for each token that counts."""
        return [row[None] for row in self.encode(items, batch_size)]

    @property
    def transformer(self) -> Any:
        """Sentence Transformers' module with the graph: the model's first one, or that of its Router's documents."""
        return sides.transformer(self.model)

    def items(self, texts: Sequence[str], passages_per_query: int = PASSAGES_PER_QUERY) -> list[Item]:
        """One item of this kind for each text."""
        return make_items(texts, self.kind, passages_per_query)

    @property
    def max_seq_length(self) -> int | None:
        """The number of tokens after which the model truncates."""
        return sides.max_seq_length(self.model)

    @property
    def longest_text(self) -> int | None:
        """The number of tokens after which a text is cut: `max_seq_length`, but where documents have one of their
        own."""
        return self.max_seq_length

    @property
    def vocabulary_size(self) -> int:
        """The number of entries of the tokenizer's vocabulary."""
        return len(self.transformer.tokenizer)

    @property
    def vocabulary(self) -> list[str]:
        """Every entry of the tokenizer's vocabulary as the text that it stands for, by its id."""
        entries: list[str] = self.transformer.tokenizer.batch_decode([[index] for index in range(self.vocabulary_size)])
        return entries

    @property
    def prompts(self) -> Mapping[str, str]:
        """The prompts that the model was trained with, by name."""
        return cast(Mapping[str, str], self.model.prompts)

    @property
    def has_prompts(self) -> bool:
        """Whether a query and a document with the same text get different embeddings, by prompts or by a Router."""
        return any(self.prompts.values()) or sides.has_router(self.model)

    @property
    def has_query_table(self) -> bool:
        """Whether queries are looked up in a table, so that only documents go through the graph."""
        return sides.table(self.model) is not None

    @property
    def graph_inputs(self) -> frozenset[str]:
        """The names of the inputs of an ONNX or OpenVINO graph; empty for torch."""
        return frozenset(getattr(self.transformer.auto_model, "input_names", ()))

    def tokenize(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """What the model computes on, by the name of the input: tensors (items, tokens); of a query its first pair."""
        # What a graph reads is the same of queries and documents, where both go through one.
        task = {"task": "document"} if sides.has_router(self.model) else {}
        features: Mapping[str, Any] = self.model.preprocess([first_tokenizer_input(item) for item in items], **task)
        return features

    def token_ids(self, items: Sequence[Item]) -> list[list[int]]:
        """The token ids of each item alone, as the model itself tokenizes, truncation and lower-casing included."""
        return [self.tokenize([item])["input_ids"][0].tolist() for item in items]

    def facts(self) -> Facts:
        """What must be the same in every variant of a model."""
        return {
            "kind": self.kind,
            "max_seq_length": self.max_seq_length,
            "similarity": self.similarity_name,
            "prompts": dict(self.prompts),
            "truncate_dim": getattr(self.model, "truncate_dim", None),
            "trust_remote_code": bool(self.model.trust_remote_code),
            "modules": self._modules(),
        }

    def _modules(self) -> list[list[Any]]:
        """All modules but the transformer, by the names of their classes, and their configurations; Routers first."""
        routers: list[list[Any]] = [["Router", {"routes": router}] for router in sides.routers(self.model)]
        behind = [module for module in sides.modules(self.model) if module is not self.transformer]
        return [*routers, *([type(module).__name__, module.get_config_dict()] for module in behind)]

    @property
    @abstractmethod
    def similarity_name(self) -> str:
        """How two texts are compared: the name of the similarity, or of a CrossEncoder's activation."""


class EmbeddingVariant(LoadedVariant):
    """A SentenceTransformer: (texts, dimensions). A model with prompts or a Router embeds short texts as queries; one
    that looks queries up in a table, where no graph is asked, all of them as documents."""

    kind: ClassVar[Kind] = "SentenceTransformer"

    def encode(self, items: Sequence[Item], batch_size: int = 32) -> np.ndarray:
        texts = cast(Sequence[str], items)
        if self.has_query_table:
            return self.embed(texts, batch_size, "encode_document")
        if not self.has_prompts:
            return self.embed(texts, batch_size)
        return embed_by_role(texts, lambda method, group: self.embed(group, batch_size, method))

    def embed(
        self, texts: Sequence[str], batch_size: int, method: Method = "encode", prompt: str | None = None
    ) -> np.ndarray:
        """Embeddings (texts, dimensions) in float32 by one of the model's own methods, with the prompt put before."""
        if method == "encode" and sides.has_router(self.model):
            # A Router without a default has no other way for what is neither a query nor a document.
            method = "encode_document"
        embed = getattr(self.model, method)
        rows = embed(list(texts), prompt=prompt, batch_size=batch_size, show_progress_bar=False, **self._output)
        if not isinstance(rows, np.ndarray):  # a tensor, which may be of bf16, that NumPy does not know
            rows = rows.float().cpu().numpy()
        return np.asarray(rows, dtype=np.float32)

    _output: ClassVar[Mapping[str, bool]] = {"convert_to_numpy": True}

    @property
    def similarity_name(self) -> str:
        return str(self.model.similarity_fn_name)


class SparseVariant(EmbeddingVariant):
    """A SparseEncoder: (texts, vocabulary)."""

    kind: ClassVar[Kind] = "SparseEncoder"
    _output: ClassVar[Mapping[str, bool]] = {"convert_to_sparse_tensor": False}


class PairVariant(LoadedVariant):
    """A CrossEncoder: (queries, passages times labels)."""

    kind: ClassVar[Kind] = "CrossEncoder"

    def encode(self, items: Sequence[Item], batch_size: int = 32) -> np.ndarray:
        import torch

        queries = cast(Sequence[Query], items)
        pairs = [pair for query in queries for pair in query.pairs]
        scores = self.model.predict(
            pairs, batch_size=batch_size, show_progress_bar=False, activation_fn=torch.nn.Identity()
        )
        return np.asarray(scores, dtype=np.float32).reshape(len(queries), -1)

    @property
    def similarity_name(self) -> str:
        return type(self.model.activation_fn).__name__
