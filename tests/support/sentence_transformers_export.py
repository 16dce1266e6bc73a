"""Sentence Transformers' export functions in a fresh process, where nothing of this project is imported or patched.

python -m tests.support.sentence_transformers_export MODEL_FOLDER OUT
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


# Of dynamic int8: the instruction set, and what the weights are.
TARGETS = {"arm64": "qint8", "avx2": "quint8", "avx512": "qint8", "avx512_vnni": "qint8"}
LEVELS = ("O1", "O2", "O3", "O4")


def run(model_folder: Path, out: Path) -> None:
    """Let Sentence Transformers write a graph for each level and each instruction set, from an exported model."""
    command = [sys.executable, "-m", "tests.support.sentence_transformers_export"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    arguments = [str(model_folder.absolute()), str(out.absolute())]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def main(model_folder: str, out: str) -> None:
    """Write the graphs to the folder `onnx` in `out`."""
    from sentence_transformers import (
        SentenceTransformer,
        export_dynamic_quantized_onnx_model,
        export_optimized_onnx_model,
    )

    model = SentenceTransformer(model_folder, backend="onnx", model_kwargs={"file_name": "model.onnx"})
    for level in LEVELS:
        export_optimized_onnx_model(model, level, out)
    for target in TARGETS:
        export_dynamic_quantized_onnx_model(model, target, out)
    assert not any(name.partition(".")[0] in ("foundry", "stages") for name in sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])
