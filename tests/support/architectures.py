"""Tiny random checkpoints of every architecture that is claimed to work, with tokenizers trained on the spot."""

import contextlib
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from foundry.validation.results import why_failed
from foundry.variants.naming import backend
from tests.support import routers
from tests.support.checkpoints import make_multi_vector
from tests.support.projects import ROOT
from tests.support.stages import build, validate_in
from tests.support.texts import documents

VOCABULARY = 600
LENGTH = 64
SPECIAL = {
    "pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>",
    "bos_token": "<s>", "eos_token": "</s>",
}  # fmt: skip
BERT_SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
                "mask_token": "[MASK]"}  # fmt: skip
SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": LENGTH + 2, "initializer_range": 0.2,
}  # fmt: skip
DECODER = {**SMALL, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 256}


@dataclass(frozen=True)
class Architecture:
    """How a tiny model of one architecture is made."""

    tokens: str  # how its tokenizer cuts words: wordpiece, bytes or unigram
    config: dict[str, Any] = field(default_factory=lambda: dict(SMALL))
    pooling: str = "mean"
    padding_side: str = "right"
    ends_with: str = "pair"  # what the tokenizer puts around a text: `pair` for <s> </s>, `end` for </s> alone
    token_types: bool = False


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture("wordpiece", token_types=True),
    "roberta": Architecture("bytes"),
    "xlm-roberta": Architecture("unigram"),
    "mpnet": Architecture("wordpiece"),
    "distilbert": Architecture(
        "wordpiece",
        {
            "dim": 32,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 64,
            "max_position_embeddings": LENGTH,
            "initializer_range": 0.2,
        },
    ),
    "electra": Architecture("wordpiece", {**SMALL, "embedding_size": 32}, token_types=True),
    "albert": Architecture("unigram", {**SMALL, "embedding_size": 16}, token_types=True),
    "deberta-v2": Architecture(
        "unigram",
        {
            **SMALL,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        token_types=True,
    ),
    "camembert": Architecture("unigram"),
    "modernbert": Architecture("bytes", {**SMALL, "global_attn_every_n_layers": 2, "local_attention": 16}),
    "t5": Architecture(
        "unigram", {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}, ends_with="end"
    ),
    "qwen2": Architecture("bytes", DECODER, "lasttoken", "left", "end"),
    "qwen3": Architecture("bytes", DECODER, "lasttoken", "left", "end"),
    "gemma3_text": Architecture(
        "unigram", {**DECODER, "sliding_window": 16, "use_bidirectional_attention": True, "num_hidden_layers": 6}
    ),
    "mistral": Architecture("unigram", DECODER, "lasttoken", "left", "end"),
    # Not in transformers 4.
    "nomic_bert": Architecture("wordpiece", token_types=True),
    "gte": Architecture("unigram", pooling="cls"),
    "jina_embeddings_v3": Architecture("unigram"),
    "eurobert": Architecture("bytes", {**SMALL, "max_position_embeddings": 256}),
}


def train_tokenizer(kind: Architecture) -> Any:
    """A tokenizer of transformers, trained on real text; the same on every run."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = BERT_SPECIAL if kind.tokens == "wordpiece" else SPECIAL
    names = list(dict.fromkeys(special.values()))
    if kind.tokens == "wordpiece":
        core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        core.normalizer, core.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=names)
    elif kind.tokens == "bytes":
        core = Tokenizer(models.BPE())
        core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=names, initial_alphabet=alphabet)
    else:
        core = Tokenizer(models.Unigram())
        core.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=names, unk_token="<unk>")
    trainer.show_progress = False
    core.train_from_iterator(documents(), trainer)
    first, last = special["cls_token"], special["sep_token"]
    ids = [(token, core.token_to_id(token)) for token in (first, last)]
    single, pair = f"{first} $A {last}", f"{first} $A {last} $B:1 {last}:1"
    if kind.ends_with == "end":
        single, pair, ids = f"$A {last}", f"$A {last} $B:1 {last}:1", ids[1:]
    core.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
    inputs = ["input_ids", *(["token_type_ids"] if kind.token_types else []), "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=core, model_max_length=LENGTH, padding_side=kind.padding_side, model_input_names=inputs,
        **special,
    )  # fmt: skip


def make(
    folder: Path, name: str, head: str = "AutoModel", change: Callable[[dict[str, Any]], Any] = lambda config: None
) -> Path:
    """A bare model of transformers with random weights, and its tokenizer."""
    import torch
    import transformers

    kind = ARCHITECTURES[name]
    tokenizer = train_tokenizer(kind)
    keys = [f"{token}_token_id" for token in ("pad", "cls", "sep", "bos", "eos")]
    ids = {key: getattr(tokenizer, key) for key in keys}
    settings = {**kind.config, "vocab_size": len(tokenizer), **{key: id for key, id in ids.items() if id is not None}}
    change(settings)
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(name, **settings)
    if name == "t5" and head == "AutoModel":
        model = transformers.T5EncoderModel(config)
    else:
        model = getattr(transformers, head).from_config(config)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_embedder(folder: Path, name: str, pooling: str | None = None, **modules: Any) -> Path:
    """The same as a SentenceTransformer: with its architecture's pooling by default, and normalized."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    bare = make(folder / "bare", name)
    transformer = Transformer(str(bare), max_seq_length=LENGTH)
    pool = Pooling(transformer.get_embedding_dimension(), pooling or ARCHITECTURES[name].pooling)
    model = SentenceTransformer(modules=[transformer, pool, *modules.get("after", [Normalize()])], device="cpu")
    for key, value in modules.items():
        if key != "after":
            setattr(model, key, value)
    model.save_pretrained(str(folder / "saved"))
    return folder / "saved"


# --- The table of what works -----------------------------------------------------------------------------

TABLE = ROOT / "docs/architectures.md"
VARIANTS = [
    "onnx", "onnx_O1", "onnx_O2", "onnx_O3", "onnx_O4", "onnx_qint8_avx512_vnni", "onnx_qint8_static", "openvino",
    "openvino_fp16", "openvino_int8_weights", "openvino_qint8_quantized",
]  # fmt: skip
CAUSAL = "CrossEncoder, causal"
DECODERS = ("qwen2", "qwen3", "mistral")
HEADS = {
    "SentenceTransformer": "AutoModel",
    "SparseEncoder": "AutoModelForMaskedLM",
    "CrossEncoder": "AutoModelForSequenceClassification",
    "MultiVectorEncoder": "AutoModel",
}
# A MultiVectorEncoder's graph is an embedder's: a few architectures show what is read and finished of it.
OF_TOKENS = ("bert", "xlm-roberta", "modernbert")
# Random weights leave int8 no room: of its closeness the table says nothing, of everything else what params.yaml asks.
CLOSENESS = {
    "mean_cosine": 0.0, "p5_cosine": 0.0, "p1_cosine": 0.0, "min_cosine": 0.0, "max_abs_diff": 99.0,
    "mean_centred_cosine": -1.0, "p5_centred_cosine": -1.0, "p1_centred_cosine": -1.0, "min_centred_cosine": -1.0,
    "hard_min_cosine": -1.0, "recall_at_10": 0.0, "similarity_spearman": 0.0, "active_dimensions": 0.0,
    "passage_order": 0.0, "consistency_mean_cosine": -1.0, "consistency_min_cosine": -1.0,
}  # fmt: skip
HALF = {
    "max_abs_diff": 0.02,
    "p5_cosine": 0.999,
    "p1_cosine": 0.999,
    "mean_centred_cosine": 0.99,
    "p5_centred_cosine": 0.97,
    "p1_centred_cosine": 0.95,
    "min_centred_cosine": 0.9,
    "hard_min_cosine": 0.95,
    "recall_at_10": 0.9,
    "similarity_spearman": 0.99,
    "active_dimensions": 0.9,
    "passage_order": 0.99,
}  # nor fp16 much
INTRODUCTION = """# What works

Every kind of Sentence Transformers model with every architecture, as tiny models with random weights: exported, every
variant built, and validated as any other model is. Written by `python -m tests.support.architectures`;
tests/export/test_architectures.py builds the models again and compares. This is of the default toolchain.

A variant that is not ✓ has a number, and the reason stands below. *fused* is what ONNX Runtime's optimizer found at
O2, of what the layers have: attention, normalization and, where it is GELU, activation. fp32 holds the thresholds of
`params.yaml`; int8 holds all but those of closeness, for which random weights leave no room, and fp16 looser ones.
Each CrossEncoder has three labels; a *causal* one scores by two tokens of a language model. Each MultiVectorEncoder
expands queries and has a skip list. *Queries by a table* are SparseEncoders whose Router looks queries up, and these
are torch's to the last bit; *a head for each side* are SentenceTransformers with a Dense layer for queries and another
one for documents.
"""
BY_TABLE, BY_HEADS = "SparseEncoder, queries by a table", "SentenceTransformer, a head for each side"
# Kinds with a Router, whose transformer is like that of another kind: an architecture for each kind of tokenizer.
WITH_ROUTER = {BY_TABLE: ("bert", "roberta", "xlm-roberta", "distilbert"), BY_HEADS: ("bert",)}


def combinations() -> list[tuple[str, str]]:
    """Every kind with every architecture that transformers has a head for."""
    from transformers.models.auto import modeling_auto

    known = {
        "SentenceTransformer": modeling_auto.MODEL_MAPPING_NAMES,
        "SparseEncoder": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        "CrossEncoder": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "MultiVectorEncoder": OF_TOKENS,
    }
    # T5's heads are on its decoder, too, which Sentence Transformers does not use.
    plain = [
        (kind, name)
        for kind, names in known.items()
        for name in ARCHITECTURES
        if name in names and not (name == "t5" and kind != "SentenceTransformer")
    ]
    further = {**WITH_ROUTER, CAUSAL: DECODERS}
    return plain + [(kind, name) for kind, names in further.items() for name in names]


def make_kind(folder: Path, name: str, kind: str) -> Path:
    """A tiny model of this architecture and kind, as Sentence Transformers saves it."""
    import sentence_transformers

    if kind in WITH_ROUTER:
        add, encoder = (
            (routers.with_table, "SparseEncoder") if kind == BY_TABLE else (routers.with_heads, "SentenceTransformer")
        )
        return add(make_kind(folder / "encoder", name, encoder), folder / "saved")
    if kind == "SentenceTransformer":
        return make_embedder(folder, name)
    if kind == CAUSAL:
        from tests.support.causal import make_reranker

        return make_reranker(folder, name)
    if kind == "MultiVectorEncoder":
        return make_multi_vector(folder, make(folder / "bare", name, HEADS[kind]))
    # Three labels: with random weights, one score is much the same for every pair, and int8 has nothing to keep.
    bare = make(folder / "bare", name, HEADS[kind], lambda config: config.update(num_labels=3))
    model = getattr(sentence_transformers, kind)(str(bare), device="cpu")
    model.save_pretrained(str(folder / "saved"))
    return folder / "saved"


def write_params(root: Path, name: str, kind: str) -> None:
    """The committed params.yaml in small: this model, these variants, few texts, no tasks."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["models"] = {name: {"source": {"path": str(make_kind(root / "checkpoint", name, kind))}}}
    for texts in ("calibration", "validation", "benchmark"):
        raw["sample"][texts]["groups"] = {"short": {"count": 24, "cut": "sentence"}}
    raw["sample"]["tasks"] = {}
    raw["benchmark"]["settings"] = {}
    raw["quantize"] = {key: row for key, row in raw["quantize"].items() if key in VARIANTS}
    raw["variants"] = {key: {} for key in ("torch", *VARIANTS)}
    raw["validate"]["overrides"] = {key: CLOSENESS for key in VARIANTS if "int8" in key}
    raw["validate"]["overrides"] |= dict.fromkeys(("onnx_O4", "openvino_fp16"), HALF)
    (root / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))


def results(root: Path, name: str, kind: str) -> dict[str, Any]:
    """Build and validate every variant below `root`; give what validation wrote of each."""
    root.mkdir(parents=True, exist_ok=True)
    write_params(root, name, kind)
    folder = build(root, name)
    with contextlib.chdir(root):
        return {variant: validate_in(root, folder, variant, folder / variant) for variant in VARIANTS}


def row(name: str, kind: str, verdicts: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The line of the table, with a place for the number of each reason; and the reasons, by variant."""
    exporters = [
        verdicts[variant]["built"].get("exporter", "none").partition(" (")[0] for variant in ("onnx", "openvino")
    ]
    fusions = verdicts["onnx_O2"]["built"].get("fusions", {})
    fused = ", ".join(f"{fusion['found']}/{fusion['expected']}" for fusion in fusions.values())
    reasons = {key: verdict["reason"] for key, verdict in verdicts.items() if verdict["verdict"] == "skipped"}
    tools = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
    for key, verdict in verdicts.items():
        if verdict["verdict"] == "failed":
            why = why_failed(verdict["checks"]) or verdict["reason"]
            reasons[key] = f"{tools[backend(key)]}, with these random weights: {why}"
    cells = [f"{{{key}}}" if key in reasons else "✓" for key in VARIANTS]
    return f"| {kind} | {name} | {' | '.join([*exporters, *cells, fused])} |", reasons


def table(rows: list[tuple[str, dict[str, str]]]) -> str:
    """The page."""
    numbers: dict[str, int] = {}
    lines = []
    for line, reasons in rows:
        for reason in reasons.values():
            numbers.setdefault(reason, len(numbers) + 1)
        lines.append(line.format(**{key: numbers[reason] for key, reason in reasons.items()}))
    names = " | ".join(f"`{variant}`" for variant in VARIANTS)
    head = f"| kind | architecture | ONNX exported by | OpenVINO exported by | {names} | fused |"
    rule = "|---" * (len(VARIANTS) + 5) + "|"
    footnotes = [f"{number}. {reason}" for reason, number in numbers.items()]
    return "\n".join([INTRODUCTION, head, rule, *lines, "", *footnotes, ""])


def main() -> None:
    rows = []
    for kind, name in combinations():
        with tempfile.TemporaryDirectory() as scratch:
            rows.append(row(name, kind, results(Path(scratch), name, kind)))
        print(*rows[-1], file=sys.stderr, flush=True)
    TABLE.write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
