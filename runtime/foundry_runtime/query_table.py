"""Queries by a table: each token of a text has a weight, whatever stands around it. No graph, and no transformer."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from foundry_runtime.errors import UnusableModel
from foundry_runtime.folder import ModelFolder
from foundry_runtime.head import read_weights
from foundry_runtime.layout import Layout, join
from foundry_runtime.tokens import Tokens

KNOWN_SETTINGS = {"frozen"}  # whether training changes the weights


class QueryTable:
    """Sentence Transformers' SparseStaticEmbedding in numpy, with a tokenizer of its own.

    Args:
        folder: The model's.
        layout: What it says of its model.
        path: The folder of the table in it.

    Raises:
        UnusableModel: when the table or its tokenizer is none that is known here.
    """

    def __init__(self, folder: ModelFolder, layout: Layout, path: str) -> None:
        where = f"{folder.name}: {path}"
        if unknown := sorted(folder.settings(join(path, "config.json")).keys() - KNOWN_SETTINGS):
            raise UnusableModel(f"{where} has the setting {unknown[0]}, which is not known here")
        self.weights = read_weights(folder, path, ["weight"])["weight"]  # (vocabulary,), float32
        if self.weights.ndim != 1 or not np.isfinite(self.weights).all():
            raise UnusableModel(f"{where} is no table with a finite weight for each entry of the vocabulary")
        own = replace(
            layout,
            transformer=path,
            settings={},
            config={},
            tokenizer_config=folder.settings(join(path, "tokenizer_config.json")),
        )
        self._tokens = Tokens(folder, own, with_special=False)
        self._where = where

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids that are looked up for each text, in the order of its tokens, truncated."""
        return [entry.ids for entry in self._tokens.encode(list(texts))]

    def embed(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each text the entries of the vocabulary that it has, rising, in int64, and their weights in float32.

        A token that stands twice in a text counts once; one whose weight is zero is left out.

        Raises:
            UnusableModel: when the tokenizer gives an id that the table does not have.
        """
        rows = []
        for ids in self.token_ids(texts):
            indices = np.unique(np.array(ids, np.int64))
            if len(indices) and indices[-1] >= len(self.weights):
                raise UnusableModel(
                    f"{self._where} has {len(self.weights)} weights, and its tokenizer gives the id {indices[-1]}"
                )
            weights = self.weights[indices]
            rows.append((indices[weights != 0], weights[weights != 0]))
        return rows
