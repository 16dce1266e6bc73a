"""configure: what each stage is to do for each model; params.yaml's `skip` and `overrides`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.params import reading
from foundry.variants import variant_folder
from stages import configure, optimize, quantize
from tests.support.stages import settings_file


def settings_of(root: Path, name: str = "settings") -> dict[str, Any]:
    out = root / name
    configure.main(Path("params.yaml"), out)
    return {path.as_posix(): files.read_json(out / path) for path in files.files_below(out)}


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def two_models(raw: dict[str, Any], **other: Any) -> None:
    raw["models"]["other"] = {**raw["models"]["tiny"], **other}


def test_a_file_for_everything_that_a_stage_depends_on(project: Callable[..., Path]) -> None:
    written = settings_of(project())
    assert {"tiny/download.json", "tiny/sample.json", "tiny/embed.json", "tiny/build/onnx.json"} <= written.keys()
    assert {"tiny/build/onnx_qint8_avx512.json", "tiny/validate/torch.json"} <= written.keys()
    assert "tiny/build/torch.json" not in written
    assert written["tiny/build/onnx_O2.json"]["row"]["level"] == "O2"
    assert written["tiny/build/onnx_O2.json"]["skip"] is False
    assert written["tiny/validate/onnx.json"]["thresholds"]["mean_cosine"] == 0.9999


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda raw: raw["quantize"].update(onnx_qint8_avx512={"isa": "avx2"}),
         {"build/onnx_qint8_avx512", "publish"}),  # what is published says how it was built
        (lambda raw: raw["sample"].update(seed=7), {"sample"}),
        (lambda raw: raw["models"]["tiny"].update(skip=["onnx_O2"]), {"build/onnx_O2"}),
        (lambda raw: raw["models"]["tiny"].update(kind="SentenceTransformer"), {"download"}),
        (lambda raw: raw["validate"]["overrides"].update(onnx={"min_cosine": 0.5}), {"validate/onnx"}),
        (lambda raw: raw["models"]["tiny"].update(overrides={"export": {"onnx": {"opset": 15}}}),
         {"build/onnx", "publish"}),
        (lambda raw: raw["benchmark"]["efforts"]["tiny"].update(seconds=0.03), {"benchmark"}),
    ],
)  # fmt: skip
def test_a_changed_setting_changes_what_it_touches(
    project: Callable[..., Path], change: Callable[[dict[str, Any]], Any], expected: set[str]
) -> None:
    before, after = settings_of(project()), settings_of(project(change), "after")
    assert changed(before, after) == {f"tiny/{name}.json" for name in expected}


def test_an_override_is_one_models_alone(project: Callable[..., Path]) -> None:
    overrides = {"quantize": {"onnx_qint8_avx512": {"isa": "arm64", "per_channel": False}}, "sample": {"seed": 3}}
    written = settings_of(project(lambda raw: two_models(raw, overrides=overrides)))
    assert written["other/build/onnx_qint8_avx512.json"]["row"]["isa"] == "arm64"
    assert written["tiny/build/onnx_qint8_avx512.json"]["row"]["isa"] == "avx512"
    assert written["other/sample.json"]["seed"] == 3
    assert written["other/sample.json"]["sources"] == written["tiny/sample.json"]["sources"]
    same = {
        name for name, value in written.items() if name.startswith("other/") and value == written["tiny" + name[5:]]
    }
    others = {name for name in written if name.startswith("other/")}
    assert others - same == {"other/build/onnx_qint8_avx512.json", "other/sample.json", "other/publish.json"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"skip": ["onnx_O9"]}, "models.other.skip names onnx_O9; variants are onnx, onnx_O2"),
        ({"skip": ["torch"]}, "models.other.skip names torch"),
        ({"overrides": {"benchmark": {}}}, "models.other.overrides.benchmark"),
        ({"overrides": {"quantize": {"onnx_qint8_avx512": {"isa": "avx9"}}}},
         "models.other.overrides: quantize.onnx_qint8_avx512.isa: got 'avx9'"),
        ({"overrides": {"quantize": {"onnx_new": {"isa": "avx2"}}}}, "models.other.overrides: .*variants holds"),
        ({"overrides": {"sample": {"sead": 1}}}, "models.other.overrides: sample.sead: unknown key"),
        ({"kind": "Encoder"}, "models.other.kind: got 'Encoder'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(project: Callable[..., Path], other: dict[str, Any], message: str) -> None:
    project(lambda raw: two_models(raw, **other))
    with pytest.raises(FoundryError, match=message):
        reading.read()


def test_what_a_model_goes_without_is_skipped_and_so_is_what_is_made_from_it(
    project: Callable[..., Path], tiny: Path
) -> None:
    folder = project(lambda raw: raw["models"]["tiny"].update(skip=["onnx_O2"])) / "models/tiny"
    optimize.main("onnx_O2", settings_file("build/onnx_O2"), tiny / "onnx", folder / "onnx_O2")
    assert variant_folder.skipped(folder / "onnx_O2") == "params.yaml leaves it out for this model"
    variant_folder.skip(folder / "onnx", "onnx", "no exporter takes it")
    measured_on = (folder / "reference", folder / "validation.jsonl", folder / "tasks.json")
    quantize.main(
        "onnx_qint8_avx512",
        settings_file("build/onnx_qint8_avx512"),
        folder / "onnx",
        *measured_on,
        folder / "onnx_qint8_avx512",
    )
    assert variant_folder.skipped(folder / "onnx_qint8_avx512") == "onnx is skipped: no exporter takes it"
