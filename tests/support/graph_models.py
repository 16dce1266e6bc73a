"""A published folder with a tiny ONNX graph that is written by hand, for which torch is not imported."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.texts import documents

WIDTH = 8
LONGEST = 32
HOST = {"architecture": "x86_64", "instruction_sets": ["avx2", "fma"]}


def make_tokenizer(folder: Path, **truncation: Any) -> int:
    """tokenizer.json of lower-case words, with the settings beside it; give the number of its entries."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = sorted({word for text in documents() for word in re.findall(r"[a-z]+", text.lower())})
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(entries)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(entries[:4])
    if truncation:
        tokenizer.enable_truncation(**truncation)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "model_max_length": 512}
    write_json(folder / "tokenizer_config.json", config)
    return len(entries)


def make_graph(path: Path, entries: int, with_embedding: bool = False) -> None:
    """A graph that looks up a vector for each token and adds one for its position and one for the mask's length."""
    from onnx import TensorProto, helper, numpy_helper, save

    random = np.random.default_rng(0)
    tables = {
        "words": random.normal(size=(entries, WIDTH)).astype(np.float32),
        "positions": random.normal(size=(LONGEST, WIDTH)).astype(np.float32),
        "zero": np.array(0, np.int64), "one": np.array(1, np.int64), "axis": np.array([1], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["looked_up"]),
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["length"]),
        helper.make_node("Range", ["zero", "length", "one"], ["places"]),
        helper.make_node("Gather", ["positions", "places"], ["at_places"]),
        helper.make_node("Add", ["looked_up", "at_places"], ["last_hidden_state"]),
    ]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", WIDTH])]
    if with_embedding:  # of another kind than the modules', so that it shows which was read
        nodes.append(helper.make_node("ReduceMax", ["last_hidden_state"], ["sentence_embedding"], axes=[1], keepdims=0))
        outputs.append(helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", WIDTH]))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in tables.items() if name != "axis"]
    nodes.append(helper.make_node("Identity", ["attention_mask"], ["mask"]))
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


def make_published(folder: Path, variants: tuple[str, ...] = ("onnx",), with_embedding: bool = False) -> Path:
    """A folder as `publish` writes it, as far as the runtime reads it."""
    folder.mkdir(parents=True)
    entries = make_tokenizer(folder, max_length=8)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    rows = [{"idx": i, "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (path, kind) in
            enumerate(modules)]  # fmt: skip
    write_json(folder / "modules.json", rows)
    write_json(folder / "1_Pooling/config.json", {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True})
    write_json(folder / "config.json", {"model_type": "bert", "max_position_embeddings": LONGEST})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": False})
    prompts = {"query": "find ", "document": "", "other": "other words "}
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts, "similarity_fn_name": "dot"})
    for variant in variants:
        suffix = variant.partition("_")[2]
        make_graph(folder / f"onnx/model{'_' if suffix else ''}{suffix}.onnx", entries, with_embedding)
    record(folder, variants)
    return folder


def record(folder: Path, variants: tuple[str, ...] = ("onnx",), **changes: Any) -> None:
    """Write foundry.json of what the folder holds; `changes` are those of each variant's entry, by its name."""
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "foundry.json"
    }
    entries = {}
    for variant in variants:
        suffix = variant.partition("_")[2]
        name = f"onnx/model{'_' if suffix else ''}{suffix}.onnx"
        entries[variant] = {
            "files": {name: files[name]}, "verdict": "passed", "figures": {"min_cosine": 1.0}, "processors": {},
            "ways": {"f32": {}}, "speed": {"medium": {"median": 1.0, "low": None, "high": None}},
            **changes.get(variant, {}),
        }  # fmt: skip
    torch = {"files": {}, "verdict": "passed", "figures": {}, "processors": {}, "ways": {}, "speed": {}}
    write_json(
        folder / "foundry.json",
        {
            "format": 1, "model": "tiny", "host": changes.get("host", HOST), "files": files,
            "variants": {"torch": torch, **entries}, "recommended": changes.get("recommended", []),
        },
    )  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
