"""Texts to embeddings by a file of this folder, with onnxruntime, tokenizers and numpy alone.

pip install onnxruntime tokenizers numpy
echo "a text" | python embed.py                  # an embedding for each line, as JSON
echo "a text" | python embed.py model_O3.onnx    # by another file of onnx/

from embed import embed
embeddings = embed(["a text", "another"])        # (texts, dimensions), float32
"""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FOLDER = Path(__file__).resolve().parent
FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
OLD_KEYS = {"cls_token": "cls", "max_tokens": "max", "mean_tokens": "mean", "lasttoken": "lasttoken"}


@cache
def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8")) if (FOLDER / name).is_file() else {}


@cache
def load(graph: str | None) -> tuple[Tokenizer, onnxruntime.InferenceSession]:
    folder = FOLDER / read("modules.json")[0]["path"]
    graphs = sorted(folder.glob("onnx/*.onnx"), key=lambda path: (len(path.name), path.name))  # model.onnx first
    path = str(folder / "onnx" / graph if graph else graphs[0])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return Tokenizer.from_file(str(folder / "tokenizer.json")), session


def pool(tokens: np.ndarray, mask: np.ndarray, mode: str) -> np.ndarray:
    """Vectors (texts, dimensions) of tokens (texts, tokens, dimensions), as Sentence Transformers' Pooling has them."""
    if mode == "max":
        return np.where(mask[..., None] == 1, tokens, -np.inf).max(1)
    if mode == "mean":
        return (mask[:, None].astype(np.float32) @ tokens)[:, 0] / np.maximum(mask.sum(1, keepdims=True), 1e-9)
    place = mask.argmax(1) if mode == "cls" else mask.shape[1] - 1 - mask[:, ::-1].argmax(1)
    return tokens[np.arange(len(mask)), place]


def finish(vectors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What the model's modules make of the graph's vectors (texts, tokens, dimensions): (texts, dimensions)."""
    for module in read("modules.json")[1:]:
        if module["type"].endswith("Pooling"):
            settings = read(f"{module['path']}/config.json")
            old = [mode for key, mode in OLD_KEYS.items() if settings.get(f"pooling_mode_{key}")]
            vectors = pool(vectors, mask, settings.get("pooling_mode") or (old or ["mean"])[0])
        elif module["type"].endswith("Normalize"):
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors[:, : read("config_sentence_transformers.json").get("truncate_dim")]


def embed(texts: list[str], prompt: str = "", graph: str | None = None, batch_size: int = 32) -> np.ndarray:
    """Embeddings (texts, dimensions) in float32, as SentenceTransformer.encode gives them, each after `prompt`."""
    tokenizer, session = load(graph)
    output = session.get_outputs()[0].name  # a vector for each token
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    results: list[Any] = [None] * len(texts)
    for batch in (order[start : start + batch_size] for start in range(0, len(order), batch_size)):
        encoded = tokenizer.encode_batch([prompt + texts[index] for index in batch])
        names = [node.name for node in session.get_inputs()]
        inputs = {name: np.array([getattr(row, FIELDS[name]) for row in encoded], np.int64) for name in names}
        vectors = session.run([output], inputs)[0].astype(np.float32)
        for index, row in zip(batch, finish(vectors, inputs["attention_mask"]), strict=True):
            results[index] = row
    return np.array(results, np.float32)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(embed([line.rstrip("\n")], graph=sys.argv[1] if len(sys.argv) > 1 else None)[0].tolist()))
