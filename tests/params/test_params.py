"""params.yaml: every mistake is named, with its key, its value and what is allowed; none is passed over."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base.errors import FoundryError
from foundry.params import json_schema, reading, resolving
from tests.support.projects import REAL_VARIANTS, ROOT

Change = Callable[[dict[str, Any]], Any]


def put(*path: str, value: Any) -> Change:
    def change(raw: dict[str, Any]) -> None:
        for part in path[:-1]:
            raw = raw[part]
        raw[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put("bogus", value=1), ["bogus", "unknown key", "1", "quantize"]),
        (put("quantize", "onnx_qint8_avx512", value={"isa": "avx3"}), [".isa", "'avx3'", "avx512_vnni"]),
        (put("quantize", "onnx_qint8_avx512", value={"isa": "avx2", "per": True}), ["per: unknown", "per_channel"]),
        (put("quantize", "onnx_qint8_avx512", value={"isa": "avx2", "from": "onnx_O4"}), ["from", "_O4'", "onnx_O3"]),
        (put("optimize", "onnx_O2", value={"level": "O5"}), ["optimize.onnx_O2.level", "'O5'", "O4"]),
        (put("optimize", "onnx_O2", value={"level": "O3"}), ["onnx_O2", "O3"]),
        (put("optimize", "onnx_O2", value={"level": "O1", "fp16": True}), ["optimize.onnx_O2", "O1"]),
        (put("optimize", value=None), ["optimize", "is empty", "{}"]),
        (put("models", value={"a.b": {"source": {"path": "x"}}}), ["models.a.b", "'a.b'"]),
        (put("models", value={}), ["models", "at least 1"]),
        (put("models", "tiny", "source", value={"hub": "org/name", "revision": "main"}), ["revision", "'main'", "40"]),
        (put("models", "tiny", "source", value={"package": "x", "pth": "y"}), ["source.pth", "are package, path"]),
        (put("calibrate", "onnx_x", value={}), ["onnx_x", "openvino_"]),
        (put("calibrate", "openvino_qint8_quantized", value={"budget": {}}), ["budget", "mean_cosine"]),
        (put("calibrate", "openvino_qint8_quantized", value={"budget": {"mean": 0.9}}), ["budget.mean: unknown"]),
        (put("calibrate_onnx", "openvino_x", value={}), ["openvino_x", "onnx_"]),
        (put("quantize", "onnx_qint8_avx512", value={}), ["onnx_qint8_avx512", "`isa`", "`weights`"]),
        (put("quantize", "onnx_qint8_avx512", value={"weights": "int4", "isa": "avx2"}), ["either `isa`"]),
        (put("quantize", "onnx_qint8_avx512", value={"weights": "int4", "per_channel": True}), ["per_channel"]),
        (put("quantize", "onnx_qint8_avx512", value={"isa": "avx2", "block_size": 32}), ["block_size"]),
        (put("compress", "openvino_fp16", value={"weights": "int4"}), ["weights", "'int4'", "int8"]),
        (put("variants", value={"torch": {}}), ["variants", "onnx_O2"]),
        (put("sample", "calibration", "share", value={"news": 0.9}), ["news", "1.6"]),
        (put("sample", "calibration", "share", value={"nws": 0.1}), ["nws", "more_news"]),
        (put("sample", "validation", "groups", "short", "cut", value="para"), ["cut", "'para'", "sentence"]),
        (put("validate", "thresholds", "fp32", "mean_cosine", value=1.4), ["mean_cosine", "1.4", "1"]),
        (put("validate", "overrides", value={"onnx_O9": {}}), ["onnx_O9", "onnx_O2"]),
        (put("benchmark", "efforts", "tiny", "rounds", value="five"), ["efforts.tiny.rounds", "'five'", "integer"]),
        (put("benchmark", "effort", value="quik"), ["benchmark", "'quik'", "tiny"]),
        (put("benchmark", "settings", value={"x": {"of": "onnx_O9", "compile": True}}), ["settings.x", "torch's"]),
        (put("benchmark", "settings", value={"x": {"of": "torch"}}), ["settings.x", "dtype", "compile"]),
        (put("benchmark", "settings", value={"x": {"of": "torch_x", "compile": True}}), ["torch_x", "onnx_O2"]),
        (put("benchmark", "settings", value={"onnx": {"of": "torch", "compile": True}}), ["onnx", "names of variants"]),
        (put("report", "quality_budgets", value=[]), ["report.quality_budgets", "1 item"]),
        (put("publish", "to", value="hub"), ["publish.repos", "tiny"]),
    ],
)  # fmt: skip
def test_mistake_is_named(project: Callable[..., Path], change: Change, expected: list[str]) -> None:
    project(change)
    with pytest.raises(FoundryError) as error:
        reading.read()
    for part in expected:
        assert part in str(error.value)


def test_every_mistake_at_once(project: Callable[..., Path]) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["bogus"] = 1
        raw["quantize"]["onnx_qint8_avx512"]["isa"] = "avx3"
        del raw["benchmark"]["efforts"]["tiny"]["rounds"]

    project(change)
    with pytest.raises(FoundryError, match="3 mistake") as error:
        reading.read()
    assert "benchmark.efforts.tiny.rounds: is missing" in str(error.value)


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("models: {}\nsample: {}\nmodels: {hub: secret}\n")
    with pytest.raises(FoundryError) as error:
        reading.read(path)
    assert str(error.value) == f'{path}, line 3 is not valid YAML: found duplicate key "models"'


def test_command_line_ends_in_one_error(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("models: [1\n")
    command = [sys.executable, "-m", "foundry", "check-params", "--path", str(tmp_path / "params.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_schema_for_editors_is_in_step() -> None:
    assert (ROOT / "params.schema.json").read_text() == json_schema.json_schema(), (
        "run: foundry check-params --write-schema"
    )
    assert "params.schema.json" in (ROOT / "params.yaml").read_text().splitlines()[0]


def test_default_params() -> None:
    settings = reading.read(ROOT / "params.yaml")
    assert settings.variant_names == REAL_VARIANTS
    assert resolving.precision(settings, "onnx_O3") == "fp32"
    assert resolving.precision(settings, "onnx_O4") == "fp16"
    assert resolving.precision(settings, "onnx_quint8_avx2") == "int8_dynamic"
    assert resolving.precision(settings, "onnx_qint8_static") == "int8_static"
    assert resolving.precision(settings, "openvino_fp16") == "fp16"
    assert resolving.precision(settings, "openvino_qint8_quantized") == "int8_static"


def test_overrides_replace_single_thresholds(project: Callable[..., Path]) -> None:
    project(put("validate", "overrides", value={"onnx_O2": {"min_cosine": 0.5}}))
    settings = reading.read()
    assert resolving.thresholds(settings, "onnx_O2").min_cosine == 0.5
    assert resolving.thresholds(settings, "onnx_O2").mean_cosine == resolving.thresholds(settings, "onnx").mean_cosine


def test_a_budget_is_what_the_variant_must_hold(project: Callable[..., Path]) -> None:
    project(
        lambda raw: (
            raw["calibrate"].update(openvino_qint8_quantized={"budget": {"mean_cosine": 0.9991}}),
            raw["validate"].update(overrides={}),
        )
    )
    settings = reading.read()
    limits = resolving.thresholds(settings, "openvino_qint8_quantized")
    plain = resolving.thresholds(settings, "onnx_qint8_static")
    assert limits.mean_cosine == 0.9991
    assert limits.min_cosine == plain.min_cosine


TOKEN = "hf_" + "aB3" * 12


@pytest.mark.parametrize(
    "change",
    [
        {"publish": {"token": TOKEN}},  # a key that there is not
        {"publish": {"password": "short"}},
        {"publish": {TOKEN: 1}},
        {"publish": {"to": TOKEN}},  # a value that is not allowed
        {"publish": {"licences": TOKEN}},
        {"publish": {"to": {"a": [TOKEN]}}},
        {"models": {TOKEN: {}}},
        {"validate": {"overrides": {TOKEN: {}}}},  # a name of nothing
        {"publish": {"repos": {TOKEN: "org/name"}}},
    ],
    ids=lambda change: str(change).replace(TOKEN, "TOKEN"),
)
def test_what_could_be_a_token_is_not_repeated(project: Callable[..., Path], change: dict[str, Any]) -> None:
    def apply(raw: dict[str, Any]) -> None:
        for section, keys in change.items():
            raw[section] = {**raw.get(section, {}), **keys}

    with pytest.raises(FoundryError) as error:
        reading.read(project(apply) / "params.yaml")
    assert TOKEN not in str(error.value)
    assert "short" not in str(error.value)


@pytest.mark.parametrize("text", [f"a: *{TOKEN}", f"a: !{TOKEN} x", f"{TOKEN}: 1\n{TOKEN}: 2", f"'{TOKEN}"])
def test_a_token_in_a_file_that_is_no_yaml(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(FoundryError, match="is not valid YAML") as error:
        reading.read(tmp_path / "params.yaml")
    assert TOKEN not in str(error.value)


def test_two_models_of_one_repository(project: Callable[..., Path]) -> None:
    def share(raw: dict[str, Any]) -> None:
        raw["models"]["other"] = raw["models"]["tiny"]
        raw["publish"] = {"to": "hub", "repos": {"tiny": "org/name", "other": "Org/Name"}}

    with pytest.raises(FoundryError, match="tiny and other have the same repository"):
        reading.read(project(share) / "params.yaml")
