"""A params.yaml that uses a tiny checkpoint, and which variants there are."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.support.checkpoints import write_own_task

ROOT = Path(__file__).parents[2]
REAL_VARIANTS = [
    "torch", "onnx", "onnx_O1", "onnx_O2", "onnx_O3", "onnx_O4", "onnx_qint8_arm64", "onnx_quint8_avx2",
    "onnx_qint8_avx512", "onnx_qint8_avx512_vnni", "onnx_qint8_O3", "onnx_qint8_static", "openvino", "openvino_fp16",
    "openvino_int8_weights", "openvino_qint8_quantized",
]  # fmt: skip
TINY_VARIANTS = [
    "torch", "onnx", "onnx_O2", "onnx_qint8_avx512", "onnx_qint8_static", "openvino", "openvino_fp16",
    "openvino_qint8_quantized",
]  # fmt: skip
# Random weights leave less room for int8 than trained ones.
# Random weights leave all embeddings much alike, too: what is left of them without their mean is small.
LOOSE = {"mean_cosine": 0.8, "p5_cosine": 0.3, "p1_cosine": 0.0, "min_cosine": 0.0, "max_abs_diff": 2.0}
LOOSE |= {"mean_centred_cosine": 0.1, "p5_centred_cosine": -1.0, "p1_centred_cosine": -1.0, "min_centred_cosine": -1.0}
LOOSE |= {
    "hard_min_cosine": -1.0,
    "recall_at_10": 0.3,
    "similarity_spearman": 0.5,
    "active_dimensions": 0.5,
    "passage_order": 0.5,
}
LOOSE |= {"consistency_mean_cosine": 0.3, "consistency_min_cosine": -1.0}


def kind_params(tiny_params: dict[str, Any], model: str, checkpoint: Path) -> dict[str, Any]:
    """Values for params.yaml with one model of any kind, every tiny variant, and no tasks."""
    raw: dict[str, Any] = json.loads(json.dumps(tiny_params))
    raw["models"] = {model: {"source": {"path": str(checkpoint)}}}
    raw["sample"]["tasks"] = {}
    raw["validate"]["overrides"] = {name: LOOSE for name in TINY_VARIANTS if "qint8" in name or "fp16" in name}
    return raw


def make_params(checkpoint: Path) -> dict[str, Any]:
    """The default params.yaml, shrunk: the tiny model, fewer variants, fewer texts."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["models"] = {"tiny": {"source": {"path": str(checkpoint)}}}
    raw["optimize"] = {"onnx_O2": {"level": "O2"}}
    raw["quantize"] = {"onnx_qint8_avx512": {"isa": "avx512"}}
    raw["compress"] = {"openvino_fp16": {"weights": "fp16"}}
    raw["variants"] = {name: {} for name in TINY_VARIANTS}
    raw["sample"]["calibration"]["groups"] = {"short": {"count": 24, "cut": "sentence"}}
    raw["sample"]["validation"]["groups"] = {
        "short": {"count": 40, "cut": "sentence"},
        "long": {"count": 8, "cut": "document"},
    }
    raw["sample"]["benchmark"]["groups"] = {"short": {"count": 8, "cut": 40}, "long": {"count": 2, "cut": 620}}
    raw["sample"]["tasks"] = {"own": {"pairs": {"path": str(write_own_task(checkpoint))}}}
    raw["benchmark"] = {
        "effort": "tiny",
        "efforts": {
            "tiny": {
                "minutes": 0.01,
                "rounds": 3,
                "interval": 0.9,
                "batch_sizes": [2, 4],
                "seconds": 0.02,
                "busy_share": 1,
                "requests": {"share": 0},
            }
        },
        "settings": {
            "openvino_f32": {"of": "openvino", "inference_precision": "f32"},
            "onnx_runtime": {"of": "onnx", "runner": "foundry_runtime"},
        },
    }
    # Random weights leave less room for int8 than trained ones.
    loose = {"mean_cosine": 0.9, "p5_cosine": 0.7, "p1_cosine": 0.7, "min_cosine": 0.7, "hard_min_cosine": 0.5}
    loose |= {"recall_at_10": 0.3, "similarity_spearman": 0.5, "task_ratio": 0.01, "max_abs_diff": 0.3}
    loose |= {"mean_centred_cosine": 0.7, "p5_centred_cosine": 0.3, "p1_centred_cosine": 0.3, "min_centred_cosine": 0.3}
    loose |= {"consistency_mean_cosine": 0.8, "consistency_min_cosine": 0.3}
    raw["validate"]["overrides"] = {name: loose for name in TINY_VARIANTS if "qint8" in name}
    return raw
