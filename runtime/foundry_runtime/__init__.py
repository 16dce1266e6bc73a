"""Run what Embedding Foundry published, without the tools that built it."""

from foundry_runtime.embedder import Embedder
from foundry_runtime.errors import FileChanged, UnusableModel, UsedAfterFork
from foundry_runtime.multi_vector import MultiVectorEmbedder
from foundry_runtime.reranker import Reranker
from foundry_runtime.routed import RoutedEmbedder
from foundry_runtime.sparse import SparseEmbedder, SparseEmbeddings

__all__ = [
    "Embedder", "FileChanged", "MultiVectorEmbedder", "Reranker", "RoutedEmbedder", "SparseEmbedder",
    "SparseEmbeddings", "UnusableModel", "UsedAfterFork",
]  # fmt: skip
