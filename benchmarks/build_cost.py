"""What building costs: the pipeline's building stages against one process of Sentence Transformers' own functions.

    python benchmarks/build_cost.py [--rounds 3] > build_cost.json

Interleaved, in a clone of this working tree, from cold (no DVC cache, no outputs). Times, in seconds:

- `pipeline`: `dvc repro` of the variants that Sentence Transformers has functions for, and all that they depend on;
- `sentence_transformers`: one process that loads the model, exports it to ONNX and OpenVINO, and calls the export
  functions for O1-O4, the four int8 targets and static int8, with the same calibration texts and as many of them;
- `no_op`: `dvc repro` of everything when nothing has changed;
- `one_int8_row_changed`: the rebuild of one changed row of `quantize`, without its validation and benchmark;
- `restore`: `dvc repro` after every model output was deleted, from DVC's cache.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
INT8 = ("qint8_arm64", "quint8_avx2", "qint8_avx512", "qint8_avx512_vnni")
BUILDING = ["export", "optimize", "calibrate", *(f"quantize@minilm-onnx_{name}" for name in INT8)]  # what both build
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

# Sentence Transformers' own way, in one process: what a user would write after reading its documentation.
PEER = """
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
# The same texts instead of a data set on the Hub; everything after that is its own code.
ov.OVQuantizer.get_calibration_dataset = lambda self, preprocess_function, **_: Dataset.from_dict(
    {"sentence": rows}).map(preprocess_function, batched=True)
config = ov.OVQuantizationConfig(num_samples=len(rows))
export_static_quantized_openvino_model(model, config, out)
"""


def clock(command: list[str], folder: Path) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - started


def clone(target: Path) -> Path:
    """This working tree's tracked and new files, without outputs and cache."""
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and name != "dvc.lock" and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)
    return target


def change_one_row(folder: Path) -> None:
    path = folder / "params.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["quantize"]["onnx_quint8_avx2"]["reduce_range"] = True
    path.write_text(yaml.safe_dump(raw, sort_keys=False))


def one_round(scratch: Path, after_build: bool) -> dict[str, float]:
    """Both cold builds; after the last one also what a built tree costs."""
    built = clone(scratch / "pipeline")
    times = {"pipeline": clock(["dvc", "repro", *BUILDING], built)}
    torch, texts = built / "artifacts/models/minilm/torch", built / "artifacts/texts/minilm/calibration.jsonl"
    peer = [sys.executable, "-c", PEER, str(torch), str(texts), str(scratch / "peer")]
    times["sentence_transformers"] = clock(peer, scratch)
    if after_build:
        clock(["dvc", "repro"], built)
        times["no_op"] = statistics.median(clock(["dvc", "repro"], built) for _ in range(3))
        shutil.rmtree(built / "artifacts/models")
        times["restore"] = clock(["dvc", "repro"], built)
        change_one_row(built)
        times["one_int8_row_changed"] = clock(["dvc", "repro", *BUILDING], built)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    times: list[dict[str, float]] = []
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as scratch:
            times.append(one_round(Path(scratch), after_build=turn == rounds - 1))
        print(f"round {turn + 1} of {rounds}: {times[-1]}", file=sys.stderr)
    ratios = [row["pipeline"] / row["sentence_transformers"] for row in times]
    result: dict[str, Any] = {
        key: round(statistics.median(row[key] for row in times if key in row), 1) for key in times[-1]
    }
    result |= {"ratio": round(statistics.median(ratios), 2), "ratios": [round(value, 2) for value in ratios]}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
