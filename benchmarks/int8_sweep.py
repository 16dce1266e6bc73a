"""The sweep behind the defaults of static int8: one setting changed at a time, each measured on the validation texts.

    python -m benchmarks.int8_sweep [--model minilm] > int8_sweep.json

Run it in the root of a built pipeline (`make artifacts`): it reads the exported graph, the frozen texts and the
reference, and writes nothing. Measured with ONNX Runtime; both runtimes use the same plan. `calibrated_on` says how
many calibration texts of each group were used, and `validated_on` gives the closeness by group of the validation texts.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from foundry.data import texts
from foundry.int8 import calibration, planning
from foundry.int8.settings import Calibrate
from foundry.loading import loader
from foundry.onnx.static_int8 import OnnxGraph
from foundry.reference import reference
from foundry.reference.closeness import cosines
from foundry.variants import checkpoint_folder, variant_folder

VARIANT = "onnx_qint8_static"
ALL = {"spoken": 40, "short": 160, "long": 60, "fragments": 120}
MIXES: dict[str, dict[str, int]] = {
    "a quarter of the texts": {"spoken": 10, "short": 40, "long": 15, "fragments": 30},
    "half of the texts": {"spoken": 20, "short": 80, "long": 30, "fragments": 60},
    "no fragments": {"spoken": 40, "short": 160, "long": 60},
    "fewer fragments": {"spoken": 40, "short": 160, "long": 60, "fragments": 30},
    "no short complete sentences": {"short": 160, "long": 60, "fragments": 120},
    "no long texts": {"spoken": 40, "short": 160, "fragments": 120},
    "no short texts": {"spoken": 40, "long": 60, "fragments": 120},
    "fragments alone": {"fragments": 120},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "preset performance": {"preset": "performance"},
    **{f"smooth_quant_alpha {alpha}": {"smooth_quant_alpha": alpha} for alpha in (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)},
    **{f"outlier_copies {copies}": {"outlier_copies": copies} for copies in (0, 4, 8, 32, 64)},
    "no error_feedback": {"error_feedback": False},
    "no bias_correction": {"bias_correction": False},
    "reduce_range never": {"reduce_range": "never"},
    "reduce_range always": {"reduce_range": "always"},
    "float embeddings": {"int8_embeddings": False},
    **{
        f"float {name}": {"ignored_scope": {"patterns": [pattern]}}
        for name, pattern in (
            ("query, key and value", r"attention/self"),
            ("attention output", r"attention/output"),
            ("first feed-forward products", r"intermediate"),
            ("second feed-forward products", r"layer\.\d+/output"),
        )
    },
}


def measure(
    root: Path, model: str, changes: dict[str, Any], mix: dict[str, int], graph: OnnxGraph
) -> dict[str, dict[str, float]]:
    """Mean, 1st percentile and minimum of the cosine to torch, by group of the validation texts."""
    row = Calibrate.model_validate(changes)
    source = root / "models" / model / "onnx"
    groups = texts.by_group(texts.read(root / "texts" / model / "calibration.jsonl"))
    sample = [text for group, count in mix.items() for text in groups[group][:count]]
    products = calibration.products_in_scope(graph.products(), row)
    sources = list(dict.fromkeys(product.source for product in products))
    inputs = calibration.tokenize(source, sample, graph.input_names)
    activations = calibration.record_activations(graph, inputs, sources)
    expected = reference.read(root / "reference" / model).embeddings
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        graph.write(variant_folder.prepare(folder, source, VARIANT), planning.plan(products, activations, row))
        loaded = loader.load(folder, VARIANT)
        closeness: dict[str, dict[str, float]] = {}
        start = 0
        for group, group_texts in texts.by_group(texts.read(root / "texts" / model / "validation.jsonl")).items():
            cosine = cosines(loaded.encode(group_texts, batch_size=32), expected[start : start + len(group_texts)])
            start += len(group_texts)
            closeness[group] = {
                "mean": round(float(cosine.mean()), 5),
                "p1": round(float(np.percentile(cosine, 1)), 5),
                "min": round(float(cosine.min()), 5),
            }
    return closeness


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm")
    model = parser.parse_args().model
    root = Path("artifacts")
    exported = root / "models" / model / "onnx"
    path, config = variant_folder.weights_path(exported, "onnx"), checkpoint_folder.config(exported)
    stack = contextlib.ExitStack()
    scratch = {flag: Path(stack.enter_context(tempfile.TemporaryDirectory())) for flag in (True, False)}
    graphs = {flag: OnnxGraph.read(path, folder, config, int8_embeddings=flag) for flag, folder in scratch.items()}
    trials: list[tuple[str, dict[str, Any], dict[str, int]]] = [("the defaults", {}, ALL)]
    trials += [(name, {}, mix) for name, mix in MIXES.items()]
    trials += [(name, changes, ALL) for name, changes in SETTINGS.items()]
    results = []
    for name, changes, mix in trials:
        closeness = measure(root, model, changes, mix, graphs[changes.get("int8_embeddings", True)])
        print(f"{name}: {closeness}", file=sys.stderr, flush=True)
        results.append({"changed": name, "settings": changes, "calibrated_on": mix, "validated_on": closeness})
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
