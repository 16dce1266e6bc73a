"""What is published of the ways to run a file: the card's lines run as they stand, and foundry.json names each."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.loading import precisions
from tests.support.publishing import run, write_report
from tests.support.stages import validate_in

COMPUTED = {"torch": ["bf16"], "openvino": ["bf16"], "openvino_fp16": ["bf16"]}


def only_what_is_tried(raw: dict[str, Any]) -> None:
    """Of all variants those in `COMPUTED`; with a verdict for one of them that allows more."""
    for section in ("export", "optimize", "quantize", "calibrate_onnx", "compress", "calibrate", "variants"):
        raw[section] = {name: row for name, row in raw[section].items() if name in COMPUTED}
    # Random weights have nearly one direction, so that centred cosines in bf16 are lower than a trained model's.
    loose = {
        "mean_centred_cosine": 0.99,
        "p5_centred_cosine": 0.99,
        "p1_centred_cosine": 0.99,
        "min_centred_cosine": 0.98,
        "consistency_min_cosine": 0.99,
    }
    raw["validate"]["overrides"] = {"openvino_fp16": {"min_cosine": 0.9}, "openvino": loose, "torch": loose}
    raw["benchmark"]["settings"] = {}


@pytest.mark.usefixtures("graphs_load")
def test_the_card_and_the_record_name_each_way_that_passed(
    project: Callable[..., Path], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(only_what_is_tried)
    for variant in COMPUTED:
        shutil.copytree(tiny / variant, root / "models/tiny" / variant)
    for name in ("texts", "reference"):
        shutil.copytree(tiny.parent.parent / name, root / name)
    actual = precisions.of_loaded
    # As on a processor with bf16, where OpenVINO follows the hint; torch says for itself what it computes in.
    monkeypatch.setattr(precisions, "of_loaded", lambda loaded: "bf16" if loaded.graph_inputs else actual(loaded))
    for variant, computed_here in COMPUTED.items():
        validate_in(root, root / "models/tiny", variant, root / "models/tiny" / variant, computed_here)
    monkeypatch.undo()
    monkeypatch.chdir(root)
    failed = files.read_json(root / "validation/tiny/openvino_fp16.json")
    failed["precisions"]["bf16"]["verdict"] = "failed"
    files.write_json(root / "validation/tiny/openvino_fp16.json", failed)
    write_report(root)
    run(root)

    record = files.read_json(root / "hub/tiny/foundry.json")["variants"]
    hint = {"INFERENCE_PRECISION_HINT": "bf16"}
    assert record["openvino"]["ways"].keys() == record["torch"]["ways"].keys() == {"f32", "bf16"}
    assert record["openvino"]["ways"]["bf16"]["model_kwargs"]["ov_config"] == hint
    assert record["torch"]["ways"]["bf16"]["model_kwargs"] == {"dtype": "bfloat16"}
    assert record["torch"]["ways"]["bf16"]["figures"]["mean_cosine"] > 0.999
    assert record["openvino_fp16"]["ways"].keys() == {"f32"}

    card = (root / "hub/tiny/README.md").read_text()
    assert "`openvino in bf16` passed as well" in card
    assert "openvino_fp16 in bf16" not in card
    blocks = re.findall(r"Load <code>(.+?)</code></summary>\n+```python\n(.+?)```", card, re.DOTALL)
    assert [name for name, _ in blocks] == ["torch in bf16", "openvino", "openvino in bf16", "openvino_fp16"]
    monkeypatch.chdir(root / "hub")  # the card has no path of this machine: the folder is `tiny` in it
    for name, lines in blocks:
        scope: dict[str, Any] = {}
        exec(lines, scope)
        model = scope["model"]
        assert model.encode(["A text."]).shape == (1, 32)
        wanted = "bf16" if name.endswith("in bf16") else "f32"
        if name.startswith("torch"):
            assert str(model[0].auto_model.dtype) == "torch.bfloat16"
        else:
            assert model[0].auto_model.ov_config["INFERENCE_PRECISION_HINT"] == wanted
