"""Tiny models with a Router, as Sentence Transformers saves them."""

from pathlib import Path
from typing import Any

from tests.support.checkpoints import make_checkpoint, make_kind


def make_inference_free(folder: Path, default: str | None = "document", prompts: dict[str, str] | None = None) -> Path:
    """A SparseEncoder that looks queries up in a table of random weights, a few of them zero and a few negative."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import Router, SparseStaticEmbedding

    encoder = SparseEncoder(str(make_kind(folder / "encoder", "SparseEncoder")), device="cpu")
    size = encoder[0].model.config.vocab_size
    weights = torch.rand(size, generator=torch.Generator().manual_seed(3)) * 3
    weights[::50], weights[1::50] = 0, -1
    table = SparseStaticEmbedding(encoder[0].tokenizer, weights, frozen=True)
    router = Router(
        {"query": [table], "document": [encoder[0], encoder[1]]}, default, allow_empty_key=default is not None
    )
    model = SparseEncoder(modules=[router], similarity_fn_name="dot", prompts=prompts)
    return saved(model, folder / "saved")


def make_with_heads(folder: Path, router_first: bool = False, default: str | None = "document") -> Path:
    """A SentenceTransformer of one transformer, with a Dense layer for queries and another for documents; its Router
    stands behind the pooling, or is all of it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Router

    encoder = SentenceTransformer(str(make_checkpoint(folder / "encoder")), device="cpu")
    torch.manual_seed(5)
    transformer, pooling = encoder[0], encoder[1]
    heads = {
        "query": [Dense(32, 16, activation_function=torch.nn.Tanh())],
        "document": [Dense(32, 16, activation_function=torch.nn.Identity())],
    }
    before = [transformer, pooling]
    if router_first:
        heads = {name: [*before, *head] for name, head in heads.items()}
        before = []
    router = Router(heads, default, allow_empty_key=default is not None)
    return saved(SentenceTransformer(modules=[*before, router, Normalize()]), folder / "saved")


def make_two_transformers(folder: Path) -> Path:
    """A SentenceTransformer with a transformer for queries and another one for documents."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Router

    sides = [
        SentenceTransformer(str(make_checkpoint(folder / f"encoder_{seed}", seed=seed)), device="cpu")
        for seed in (0, 1)
    ]
    router = Router.for_query_document(*(list(side.children())[:2] for side in sides))
    return saved(SentenceTransformer(modules=[router]), folder / "saved")


def saved(model: Any, folder: Path) -> Path:
    """A model as it is saved, without a card."""
    model.save_pretrained(str(folder), create_model_card=False)
    return folder
