"""Tiny models with a Router, as Sentence Transformers saves them."""

import json
from pathlib import Path
from typing import Any

from tests.support.checkpoints import make_checkpoint, make_kind, multilingual_tokenizer
from tests.support.texts import documents


def make_inference_free(folder: Path, default: str | None = "document", prompts: dict[str, str] | None = None) -> Path:
    """A SparseEncoder that looks queries up in a table."""
    return with_table(make_kind(folder / "encoder", "SparseEncoder"), folder / "saved", default, prompts)


def with_table(
    encoder: Path, folder: Path, default: str | None = "document", prompts: dict[str, str] | None = None
) -> Path:
    """A SparseEncoder whose documents go through another one, and whose queries are looked up in a table of random
    weights, a few of them zero and a few negative."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import Router, SparseStaticEmbedding

    documents = SparseEncoder(str(encoder), device="cpu")
    size = len(documents.tokenizer)
    weights = torch.rand(size, generator=torch.Generator().manual_seed(3)) * 3
    weights[::50], weights[1::50] = 0, -1
    table = SparseStaticEmbedding(documents.tokenizer, weights, frozen=True)
    routes = {"query": [table], "document": list(documents)}
    router = Router(routes, default, allow_empty_key=default is not None)
    return saved(SparseEncoder(modules=[router], similarity_fn_name="dot", prompts=prompts), folder)


def make_as_on_the_hub(folder: Path) -> Path:
    """The same in the form of OpenSearch's models: the transformer of documents in the model's own folder, and names of
    modules from before version 6."""
    model = make_inference_free(folder)
    inside = model / "document_0_Transformer"
    for path in inside.iterdir():
        path.rename(model / path.name)
    inside.rmdir()
    modules = "sentence_transformers.sparse_encoder.models."
    settings = {
        "types": {
            "query_0_SparseStaticEmbedding": f"{modules}SparseStaticEmbedding",
            "": f"{modules}MLMTransformer",
            "document_1_SpladePooling": f"{modules}SpladePooling",
        },
        "structure": {"query": ["query_0_SparseStaticEmbedding"], "document": ["", "document_1_SpladePooling"]},
        "parameters": {"default_route": "document", "allow_empty_key": True},
    }
    (model / "router_config.json").write_text(json.dumps(settings))
    rows = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}]
    (model / "modules.json").write_text(json.dumps(rows))
    (model / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    return model


def make_with_heads(folder: Path, router_first: bool = False, default: str | None = "document") -> Path:
    """A SentenceTransformer of one transformer with a head for queries and another for documents."""
    return with_heads(make_checkpoint(folder / "encoder"), folder / "saved", router_first, default)


def with_heads(encoder: Path, folder: Path, router_first: bool = False, default: str | None = "document") -> Path:
    """A SentenceTransformer of another one's transformer and pooling, with a Dense layer for queries and another for
    documents; its Router stands behind the pooling, or is all but the normalization."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Router

    before = list(SentenceTransformer(str(encoder), device="cpu"))[:2]
    torch.manual_seed(5)
    heads = {
        "query": [Dense(32, 16, activation_function=torch.nn.Tanh())],
        "document": [Dense(32, 16, activation_function=torch.nn.Identity())],
    }
    if router_first:
        heads, before = {name: [*before, *head] for name, head in heads.items()}, []
    router = Router(heads, default, allow_empty_key=default is not None)
    return saved(SentenceTransformer(modules=[*before, router, Normalize()]), folder)


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


def make_two_sides(folder: Path, prompts: dict[str, str] | None = None) -> Path:
    """A SentenceTransformer whose sides have nothing in common but their dimensions: documents go through a larger
    transformer with another tokenizer, other lengths, another pooling and a Dense; both are normalized."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Router
    from transformers import BertConfig, BertModel

    queries = list(SentenceTransformer(str(make_checkpoint(folder / "queries")), device="cpu"))[:2]
    queries[0].max_seq_length = 24
    bare = folder / "documents"
    bare.mkdir()
    words = sorted({word for text in documents()[:40] for word in text.split()})
    tokenizer = multilingual_tokenizer(bare, words, "wordpiece")
    tokenizer.model_max_length = 48
    tokenizer.save_pretrained(bare)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96,
        max_position_embeddings=48, initializer_range=0.2,
    )  # fmt: skip
    BertModel(config).eval().save_pretrained(bare)
    dense = Dense(48, 32, activation_function=torch.nn.Tanh())
    router = Router.for_query_document(queries, [Transformer(str(bare)), Pooling(48, "cls"), dense])
    return saved(SentenceTransformer(modules=[router, Normalize()], prompts=prompts), folder / "saved")


def make_two_sparse(folder: Path) -> Path:
    """A SparseEncoder with a transformer for queries and another one for documents."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import Router

    queries = SparseEncoder(str(make_kind(folder / "queries", "SparseEncoder")), device="cpu")
    others = SparseEncoder(str(make_kind(folder / "documents", "SparseEncoder")), device="cpu")
    with torch.no_grad():
        others[0].auto_model.bert.embeddings.word_embeddings.weight[5:].mul_(-1)
    router = Router.for_query_document(list(queries), list(others))
    return saved(SparseEncoder(modules=[router], similarity_fn_name="dot"), folder / "saved")


def make_static_queries(folder: Path) -> Path:
    """A SentenceTransformer that looks queries up in a table of vectors, and whose documents have a transformer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Router, StaticEmbedding

    encoder = SentenceTransformer(str(make_checkpoint(folder / "documents")), device="cpu")
    size = len(encoder.tokenizer)
    vectors = torch.randn(size, 32, generator=torch.Generator().manual_seed(3)).numpy()
    table = StaticEmbedding(encoder.tokenizer._tokenizer, embedding_weights=vectors)
    router = Router.for_query_document([table], list(encoder))
    return saved(SentenceTransformer(modules=[router]), folder / "saved")


def saved(model: Any, folder: Path) -> Path:
    """A model as it is saved, without a card."""
    model.save_pretrained(str(folder), create_model_card=False)
    return folder
