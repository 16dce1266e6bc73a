"""Tiny random checkpoints, as Sentence Transformers saves them."""

import json
import re
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.texts import documents


def make_checkpoint(folder: Path, seed: int = 0) -> Path:
    """A BERT of two layers and 32 dimensions with random weights, and a WordPiece tokenizer for real text."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True)
    # The commonest words and every character: unlike a trained vocabulary, the same on every run.
    words = Counter(re.findall(r"[a-z]+", " ".join(documents()).lower()))
    common = [word for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:500] if len(word) > 1]
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *characters, *(f"##{character}" for character in characters), *common]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True, model_max_length=64).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,  # spread-out embeddings, so that damage shows
    )
    BertModel(config).eval().save_pretrained(folder, safe_serialization=True)
    kinds = ("Transformer", "Pooling", "Normalize")
    rows = [
        {
            "idx": i,
            "name": str(i),
            "path": "" if i == 0 else f"{i}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    (folder / "README.md").write_text("---\nlicense: mit\ntags:\n- tiny\n---\n# A tiny model\n\nIts own words.\n")
    return folder


def make_kind(folder: Path, kind: str, labels: int = 1) -> Path:
    """A tiny model of another kind than an embedder: the same BERT with another head, as Sentence Transformers saves
    it."""
    import sentence_transformers
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, BertForSequenceClassification

    if kind == "MultiVectorEncoder":
        return make_multi_vector(folder)
    base = make_checkpoint(folder / "base")
    torch.manual_seed(1)
    if kind == "SparseEncoder":
        model = BertForMaskedLM(BertConfig.from_pretrained(base))
        with torch.no_grad():
            model.cls.predictions.bias -= 2.0  # or nearly every dimension would be active
    else:
        model = BertForSequenceClassification(BertConfig.from_pretrained(base, num_labels=labels))
    model.eval().save_pretrained(folder / "bare")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "bare")
    getattr(sentence_transformers, kind)(str(folder / "bare"), device="cpu").save_pretrained(str(folder / "saved"))
    return folder / "saved"


EXPANDED_TO = 12  # tokens of a query of the tiny MultiVectorEncoder
DOCUMENT_LENGTH = 40


def make_multi_vector(folder: Path, bare: Path | None = None, **settings: Any) -> Path:
    """A tiny MultiVectorEncoder with all that such a model can have: prompts, a query's expansion that nobody attends
    to, a length of documents, punctuation that does not count; `settings` are others of its transformer."""
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.base.modules.dense import Dense
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    base = bare or make_checkpoint(folder / "base")
    expansion = {"strategy": "fixed", "length": EXPANDED_TO, "attend": False, "token": None}
    options: dict[str, Any] = {"query_expansion": expansion, "document_length": DOCUMENT_LENGTH, **settings}
    torch.manual_seed(2)
    transformer = Transformer(str(base), **options)
    dense = Dense(
        transformer.get_embedding_dimension(), 16, bias=False, activation_function=torch.nn.Identity(),
        module_input_name="token_embeddings",
    )  # fmt: skip
    modules = [transformer, dense, MultiVectorMask(list(string.punctuation)), Normalize("token_embeddings")]
    prompts = {"query": "[Q] ", "document": "[D] "}
    MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu").save_pretrained(str(folder / "saved"))
    return folder / "saved"


def make_pylate(folder: Path, module: str = "pylate.models.Dense.Dense") -> Path:
    """A tiny ColBERT as PyLate saves it: a Transformer and a Dense of its own, everything else in the settings."""
    from safetensors.torch import save_file

    base = make_checkpoint(folder)
    rows = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": module},
    ]
    (base / "modules.json").write_text(json.dumps(rows))
    settings = {
        "model_type": "ColBERT", "query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": EXPANDED_TO,
        "document_length": DOCUMENT_LENGTH, "do_query_expansion": True, "attend_to_expansion_tokens": False,
        "skiplist_words": list(string.punctuation), "similarity_fn_name": "MaxSim", "prompts": {},
    }  # fmt: skip
    (base / "config_sentence_transformers.json").write_text(json.dumps(settings))
    (base / "1_Dense").mkdir()
    dense = {
        "in_features": 32, "out_features": 16, "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }  # fmt: skip
    (base / "1_Dense/config.json").write_text(json.dumps(dense))
    save_file({"linear.weight": _projection()}, base / "1_Dense/model.safetensors")
    return base


def make_stanford(folder: Path) -> Path:
    """A tiny ColBERT as Stanford's own code saves it: its projection among the weights, and no modules.json."""
    from safetensors.torch import load_file, save_file

    base = make_checkpoint(folder)
    for name in ("modules.json", "sentence_bert_config.json"):
        (base / name).unlink()
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    tensors = {f"bert.{name}": tensor for name, tensor in load_file(base / "model.safetensors").items()}
    save_file({**tensors, "linear.weight": _projection()}, base / "model.safetensors", {"format": "pt"})
    metadata = {"query_maxlen": EXPANDED_TO, "doc_maxlen": DOCUMENT_LENGTH, "query_token_id": "[unused0]"}
    (base / "artifact.metadata").write_text(json.dumps(metadata))
    return base


def _projection() -> Any:
    import torch

    return torch.randn(16, 32, generator=torch.Generator().manual_seed(3))


def multilingual_tokenizer(folder: Path, words: Sequence[str], kind: str) -> Any:
    """A tokenizer whose vocabulary has these words: `wordpiece` as they are, or `byte-level` as GPT-2 writes them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import BertTokenizerFast, PreTrainedTokenizerFast

    if kind == "wordpiece":
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        (folder / "vocab.txt").write_text("\n".join([*special, *words]))
        return BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([" ".join(words)] * 5, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def write_own_task(checkpoint: Path) -> Path:
    """Similarity data on which random weights score: the checkpoint's own similarities, coarsely rounded."""
    from foundry.loading import loader
    from foundry.reference import closeness

    texts = documents()[:12]
    similar = closeness.similarities(loader.load(checkpoint, "torch").encode(texts))
    path = checkpoint.parent / "own.jsonl"
    rows = [
        {"sentence1": texts[i], "sentence2": texts[j], "score": round(float(similar[i, j]), 2)}
        for i in range(len(texts))
        for j in range(i)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
