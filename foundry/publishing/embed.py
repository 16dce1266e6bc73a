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
DEFAULT = "model.onnx"  # the file of onnx/ that is taken where none is named
FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


@cache
def load(graph: str | None) -> tuple[Tokenizer, onnxruntime.InferenceSession]:
    folder = FOLDER / json.loads((FOLDER / "modules.json").read_text("utf-8"))[0]["path"]
    path = folder / "onnx" / (graph or DEFAULT)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return Tokenizer.from_file(str(folder / "tokenizer.json")), session


def embed(texts: list[str], prompt: str = "", graph: str | None = None, batch_size: int = 32) -> np.ndarray:
    """Embeddings (texts, dimensions) in float32, as SentenceTransformer.encode gives them, each after `prompt`."""
    tokenizer, session = load(graph)
    names = [node.name for node in session.get_inputs()]
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    results: list[Any] = [None] * len(texts)
    for batch in (order[start : start + batch_size] for start in range(0, len(order), batch_size)):
        encoded = tokenizer.encode_batch([prompt + texts[index] for index in batch])
        inputs = {name: np.array([getattr(row, FIELDS[name]) for row in encoded], np.int64) for name in names}
        for index, row in zip(batch, session.run(["sentence_embedding"], inputs)[0], strict=True):
            results[index] = row
    return np.array(results, np.float32)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(embed([line.rstrip("\n")], graph=sys.argv[1] if len(sys.argv) > 1 else None)[0].tolist()))
