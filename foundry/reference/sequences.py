"""Short sequences of token ids that go over the vocabulary: through the graph as they are, without a tokenizer.

They are what batches are made of, and what stands for the vocabulary where a graph's table of words cannot be found.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foundry.loading.items import Item, Query
from foundry.loading.variant import LoadedVariant
from foundry.variants import sides

IDS_PER_SEQUENCE = 6
PAIRS_PER_ROW = 4  # of a CrossEncoder: its scores of so many pairs are one row, as they are for a query
LARGEST_VOCABULARY = 32_768  # of a larger one, so many ids are taken at regular distances
LARGEST_ROWS = 4_000_000  # numbers in all rows: a sparse embedding has one for each entry of the vocabulary
FEWEST_SEQUENCES = 128  # the largest batch
# What a model gives that a row is made of, where it is no embedding.
OUTPUTS = {"CrossEncoder": "scores", "MultiVectorEncoder": "token_embeddings"}
COLUMN_SEQUENCES = 4  # from which a SparseEncoder's words are compared


def template(variant: LoadedVariant) -> tuple[dict[str, Any], list[int]]:
    """What the model takes for a text of six words (for a CrossEncoder, three in each), and the places of its ids.

    Empty places where a tokenizer makes special tokens alone of any word.
    """
    words = ["the"] * IDS_PER_SEQUENCE
    half = " ".join(words[: IDS_PER_SEQUENCE // 2])
    item: Item = Query(half, (half,)) if variant.kind == "CrossEncoder" else " ".join(words)
    features = dict(variant.tokenize([item]))
    special = special_ids(variant)
    places = [place for place, token in enumerate(features["input_ids"][0].tolist()) if token not in special]
    return features, places


def special_ids(variant: LoadedVariant) -> set[int]:
    """The ids that mean something to the model beside words: padding, start and end. The unknown word is a word."""
    tokenizer = variant.transformer.tokenizer
    return set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}


def make(variant: LoadedVariant, columns: int, rows: int | None = None) -> np.ndarray:
    """Sequences of ids (sequences, tokens) that hold each word of the vocabulary once, in an order that is the same on
    every run; of embeddings with so many `columns`, or a large vocabulary, as many words as the limits above allow.

    Ids from `rows` on, for which the model has no row, are left out.
    """
    features, places = template(variant)
    if not places:
        return np.zeros((0, features["input_ids"].shape[1]), np.int64)
    special = special_ids(variant)
    words = np.array(
        [
            token
            for token in range(min(variant.vocabulary_size, rows or variant.vocabulary_size))
            if token not in special
        ]
    )
    # A CrossEncoder's row is of several sequences.
    most_sequences = LARGEST_ROWS // columns * (PAIRS_PER_ROW if variant.kind == "CrossEncoder" else 1)
    most = min(LARGEST_VOCABULARY, max(most_sequences, FEWEST_SEQUENCES) * len(places))
    if len(words) > most:
        words = words[np.linspace(0, len(words) - 1, most).astype(int)]
    words = np.random.default_rng(0).permutation(words)
    count = max(-(-len(words) // len(places)), FEWEST_SEQUENCES)
    count += -count % PAIRS_PER_ROW
    sequences = np.repeat(features["input_ids"].numpy(), count, axis=0)
    sequences[:, places] = np.resize(words, (count, len(places)))  # begins again where the vocabulary is small
    return sequences.astype(np.int64)


def encode(variant: LoadedVariant, sequences: np.ndarray, batch_size: int) -> np.ndarray:
    """The rows of sequences of ids (sequences, tokens), as `LoadedVariant.encode` gives them for items: float32.

    A row is a sequence's embedding, or a CrossEncoder's scores of four sequences, before the activation; of a
    MultiVectorEncoder the vectors of all its tokens side by side, those that do not count, too.
    """
    import torch

    features, _ = template(variant)
    task = {"task": "document"} if sides.has_router(variant.model) else {}
    batches: list[np.ndarray] = []
    for start in range(0, len(sequences), batch_size):
        with torch.inference_mode():
            outputs = variant.model(_inputs(variant, features, sequences[start : start + batch_size]), **task)
        rows = outputs[OUTPUTS.get(variant.kind, "sentence_embedding")]
        if variant.kind == "MultiVectorEncoder":
            batches.append(rows.float().cpu().numpy().reshape(len(rows), -1))
            continue
        rows = rows[:, : getattr(variant.model, "truncate_dim", None)]
        batches.append((rows.to_dense() if rows.is_sparse else rows).float().cpu().numpy())
    rows = np.concatenate(batches)
    rows_per_item = PAIRS_PER_ROW if variant.kind == "CrossEncoder" else 1
    joined: np.ndarray = rows.reshape(len(sequences) // rows_per_item, -1)
    return joined


def _inputs(variant: LoadedVariant, features: Mapping[str, Any], sequences: np.ndarray) -> dict[str, Any]:
    """What a model takes for sequences of ids, where it computes, by what it takes for the template alone."""
    import torch

    ids = torch.from_numpy(sequences)
    repeated = {
        name: value.repeat(len(ids), *[1] * (value.ndim - 1)) if isinstance(value, torch.Tensor) else value
        for name, value in features.items()
    }
    return {
        name: value.to(variant.model.device) if isinstance(value, torch.Tensor) else value
        for name, value in {**repeated, "input_ids": ids}.items()
    }


def output_columns(variant: LoadedVariant, sequences: np.ndarray) -> np.ndarray:
    """What a SparseEncoder computes for each word of its vocabulary, before it drops what is negative, from the first
    sequences, each alone: (sequences, tokens, vocabulary), float32. Of any other kind nothing: (0, 0, 0)."""
    import torch

    if variant.kind != "SparseEncoder" or not len(sequences):
        return np.zeros((0, 0, 0), np.float32)
    features, _ = template(variant)
    columns = []
    for place in range(min(COLUMN_SEQUENCES, len(sequences))):
        with torch.inference_mode():
            outputs = variant.transformer(_inputs(variant, features, sequences[place : place + 1]))
        columns.append(outputs["token_embeddings"][0].float().cpu().numpy())
    return np.stack(columns)


def words_in(sequences: Sequence[Sequence[int]] | np.ndarray, special: set[int]) -> int:
    """How many words of the vocabulary stand in sequences of ids."""
    return len(set(np.unique(np.asarray(sequences)).tolist()) - special)
