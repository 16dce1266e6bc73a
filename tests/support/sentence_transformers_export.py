"""Sentence Transformers' export functions in a fresh process, where nothing of this project is imported or patched.

python -m tests.support.sentence_transformers_export optimize MODEL_FOLDER OUT O1 O2
python -m tests.support.sentence_transformers_export quantize MODEL_FOLDER OUT avx2 arm64
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(kind: str, model_folder: Path, out: Path, settings: Iterable[str]) -> Path:
    """Let Sentence Transformers write a graph for each setting, from an exported model; return their folder."""
    command = [sys.executable, "-m", "tests.support.sentence_transformers_export", kind]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    arguments = [str(model_folder.absolute()), str(out.absolute()), *settings]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out / "onnx"


def main(kind: str, model_folder: str, out: str, *settings: str) -> None:
    """Write the graphs: levels for `optimize`, instruction sets for `quantize`."""
    from sentence_transformers import (
        SentenceTransformer,
        export_dynamic_quantized_onnx_model,
        export_optimized_onnx_model,
    )

    functions = {"optimize": export_optimized_onnx_model, "quantize": export_dynamic_quantized_onnx_model}
    model = SentenceTransformer(model_folder, backend="onnx", model_kwargs={"file_name": "model.onnx"})
    for setting in settings:
        functions[kind](model, setting, out)
    assert not any(name.partition(".")[0] in ("foundry", "stages") for name in sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])
