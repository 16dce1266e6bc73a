"""What building costs: the pipeline's building stages against one process of Sentence Transformers' own functions.

    .venv-optimum/bin/python -m benchmarks.build_cost [--rounds 3] > build_cost.json

The builds alternate, each in a copy of this working tree without DVC cache and outputs. Seconds of:

- `pipeline`: `dvc repro` of the variants that Sentence Transformers has functions for, and all that they depend on;
- `sentence_transformers`: one process that loads the model, exports it to ONNX and OpenVINO, and calls the export
  functions for O1-O4, the four int8 targets and static int8, with the same calibration texts and as many of them;
- `no_op`: `dvc repro` of everything when nothing has changed;
- `one_int8_row_changed`: the rebuild of one changed row of `quantize`, without its validation and benchmark;
- `restore`: `dvc repro` after every model output was deleted, from DVC's cache.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import projects

# Sentence Transformers alone, in one process: what a user would write after reading its documentation.
SENTENCE_TRANSFORMERS = """
import json, sys
from pathlib import Path
from datasets import Dataset
import optimum.intel.openvino as ov
from sentence_transformers import (SentenceTransformer, export_optimized_onnx_model,
                                   export_dynamic_quantized_onnx_model,
                                   export_static_quantized_openvino_model)
source, texts, out = sys.argv[1:]
rows = [json.loads(line)["text"] for line in open(texts, encoding="utf-8")]
onnx = SentenceTransformer(source, backend="onnx")
onnx.save_pretrained(out)
for level in ("O1", "O2", "O3", "O4"):
    export_optimized_onnx_model(onnx, level, out)
for target in ("arm64", "avx2", "avx512", "avx512_vnni"):
    export_dynamic_quantized_onnx_model(onnx, target, out)
model = SentenceTransformer(source, backend="openvino")
model.save_pretrained(out)
# The same texts instead of a data set on the Hub; everything after that is Sentence Transformers' code.
ov.OVQuantizer.get_calibration_dataset = lambda self, preprocess_function, **_: Dataset.from_dict(
    {"sentence": rows}).map(preprocess_function, batched=True)
config = ov.OVQuantizationConfig(num_samples=len(rows))
export_static_quantized_openvino_model(model, config, out)
"""


def change_one_row(folder: Path) -> None:
    """Change one row of `quantize` in a project's params.yaml."""
    raw = projects.committed_params()
    raw["quantize"]["onnx_quint8_avx2"]["reduce_range"] = True
    projects.write_params(folder, raw)


def measure_round(scratch: Path, after_build: bool) -> dict[str, float]:
    """The seconds of both builds from cold, and with `after_build` those of what follows a build."""
    folder = projects.copy_working_tree(scratch / "pipeline")
    seconds = {"pipeline": projects.reproduce(folder, projects.BUILDING)}
    torch, texts = folder / "artifacts/models/minilm/torch", folder / "artifacts/texts/minilm/calibration.jsonl"
    arguments = (str(torch), str(texts), str(scratch / "sentence_transformers"))
    seconds["sentence_transformers"] = projects.run(scratch, sys.executable, "-c", SENTENCE_TRANSFORMERS, *arguments)
    if after_build:
        projects.reproduce(folder, ())
        seconds["no_op"] = statistics.median(projects.reproduce(folder, ()) for _ in range(3))
        shutil.rmtree(folder / "artifacts/models")
        seconds["restore"] = projects.reproduce(folder, ())
        change_one_row(folder)
        seconds["one_int8_row_changed"] = projects.reproduce(folder, projects.BUILDING)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    seconds: list[dict[str, float]] = []
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory() as scratch:
            seconds.append(measure_round(Path(scratch), after_build=number == rounds))
        print(f"round {number} of {rounds}: {seconds[-1]}", file=sys.stderr)
    ratios = [row["pipeline"] / row["sentence_transformers"] for row in seconds]
    result: dict[str, Any] = {
        key: round(statistics.median(row[key] for row in seconds if key in row), 1) for key in seconds[-1]
    }
    result |= {"ratio": round(statistics.median(ratios), 2), "ratios": [round(value, 2) for value in ratios]}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
