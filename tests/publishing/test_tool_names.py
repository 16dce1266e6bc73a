"""Names that other tools look for: second names of variants that passed, and a tokenizer where it is faithful."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.data import texts as frozen_texts
from foundry.publishing import tool_names
from foundry.reference import reference, tokenizer_files
from foundry.reference.nasty_texts import nasty_texts
from tests.support import results
from tests.support.publishing import run
from tests.support.texts import documents


def verdict(name: str, precision: str, lowest: float, **more: Any) -> Any:
    check = {"check": "min_cosine", "value": lowest, "threshold": 0.5, "relation": ">=", "passed": True}
    return results.validation(name, precision=precision, checks=[check], **({"processors": {}} | more))


PASSED = {
    name: verdict(name, precision, lowest)
    for name, precision, lowest in (
        ("torch", "fp32", 1.0), ("onnx", "fp32", 1.0), ("onnx_O4", "fp16", 0.9999), ("onnx_half", "fp16", 0.99),
        ("onnx_qint8_arm64", "int8_dynamic", 0.97), ("onnx_quint8_avx2", "int8_dynamic", 0.98),
        ("onnx_qint8_static", "int8_static", 0.99), ("onnx_int4", "int4_weights", 0.9),
        ("openvino_qint8", "int8_static", 0.999),
    )
}  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {"onnx_quint8_avx2": {"isa": "avx2"}, "onnx_qint8_arm64": {"isa": "arm64"}}


def test_each_dtype_is_the_closest_variant_of_its_kind() -> None:
    assert tool_names.for_transformers_js(PASSED, ROWS) == {
        "fp16": "onnx_O4", "q8": "onnx_qint8_static", "int8": "onnx_qint8_static", "uint8": "onnx_quint8_avx2",
        "q4": "onnx_int4",
    }  # fmt: skip
    fails = {"avx2": {"verdict": "failed", "how": "simulated", "checks": []}}
    somewhere = {**PASSED, "onnx_qint8_static": verdict("onnx_qint8_static", "int8_static", 0.99, processors=fails)}
    chosen = tool_names.for_transformers_js(somewhere, ROWS)
    assert chosen["q8"] == "onnx_quint8_avx2"  # a browser runs on any processor
    assert chosen["int8"] == "onnx_qint8_arm64"
    assert tool_names.for_transformers_js({"onnx": PASSED["onnx"]}, {}) == {}


def test_a_second_name_has_the_same_bytes_and_no_second_copy(ready: Path) -> None:
    receipt = run(ready)
    folder = ready / "hub/tiny"
    record = files.read_json(folder / "foundry.json")
    assert record["names"] == {
        "onnx/model_quantized.onnx": "onnx/model_qint8_static.onnx", "onnx/model_int8.onnx":
        "onnx/model_qint8_static.onnx",
    }  # fmt: skip
    for name, source in record["names"].items():
        assert (folder / name).samefile(folder / source)
        assert record["files"][name] == record["files"][source]
    assert 'dtype: "q8" is onnx_qint8_static' in (folder / "README.md").read_text()
    assert set(receipt["published"]) >= {"onnx_qint8_static"}


def test_nothing_is_named_where_nobody_asked(ready: Path, project: Callable[..., Path]) -> None:
    project(lambda raw: raw["publish"].update(names=[]))
    run(ready)
    record = files.read_json(ready / "hub/tiny/foundry.json")
    assert record["names"] == record["names_left_out"] == {}
    assert not (ready / "hub/tiny/onnx/model_quantized.onnx").exists()


def test_a_variant_that_has_such_a_name_already(tmp_path: Path, tiny: Path) -> None:
    folder = Path(shutil.copytree(tiny / "onnx", tmp_path / "model"))
    for name in ("fp16", "O4", "int4"):
        shutil.copy(folder / "onnx/model.onnx", folder / f"onnx/model_{name}.onnx")
    (folder / "onnx/model_int4.onnx_data").write_bytes(b"weights")  # a second name would need them a second time
    passed = {
        name: verdict(name, precision, lowest)
        for name, precision, lowest in (
            ("onnx_fp16", "fp16", 0.9), ("onnx_int4", "int4_weights", 0.9), ("onnx_O4", "fp16", 0.99),
        )
    }  # fmt: skip
    closer = tool_names.add(folder, ["transformers.js"], passed, {}, [], trusts_code=False)
    assert closer.dtypes == closer.aliases == {}
    assert closer.left_out == {"model_fp16.onnx": "a variant has this name, and onnx_O4 is closer to torch"}
    del passed["onnx_O4"]
    own = tool_names.add(folder, ["transformers.js"], passed, {}, [], trusts_code=False)
    assert own.dtypes == {"fp16": "onnx_fp16"}
    assert own.aliases == own.left_out == {}


def test_special_tokens_are_written_where_they_are_named(aligned: Path) -> None:
    (aligned / "special_tokens_map.json").unlink(missing_ok=True)
    found = tool_names.add(aligned, ["light-embed"], {}, {}, [], trusts_code=False)
    assert found.written == ["special_tokens_map.json"]
    assert files.read_json(aligned / "special_tokens_map.json")["pad_token"] == "[PAD]"
    (aligned / "special_tokens_map.json").unlink()
    (aligned / "tokenizer_config.json").unlink()
    found = tool_names.add(aligned, ["light-embed"], {}, {}, [], trusts_code=False)
    assert found.left_out == {"special_tokens_map.json": "tokenizer_config.json names no special tokens"}
    assert not (aligned / "special_tokens_map.json").exists()


def test_a_file_of_the_checkpoint_under_such_a_name_is_an_error(tmp_path: Path, tiny: Path) -> None:
    folder = Path(shutil.copytree(tiny / "onnx", tmp_path / "model"))
    (folder / "onnx/model_fp16.onnx").write_bytes(b"somebody's")
    with pytest.raises(FoundryError, match=r"has a onnx/model_fp16.onnx, under which transformers.js would look"):
        tool_names.add(folder, ["transformers.js"], {"onnx_O4": PASSED["onnx_O4"]}, {}, [], trusts_code=False)


@pytest.fixture
def aligned(tiny: Path, tmp_path: Path) -> Path:
    """A folder whose tokenizer.json says all."""
    folder = Path(shutil.copytree(tiny / "openvino", tmp_path / "model"))
    expected = reference.read(tiny.parents[1] / "reference/tiny")
    texts = [row["text"] for row in frozen_texts.read(tiny.parents[1] / "texts/tiny/validation.jsonl")]
    tokenizer_files.align(folder, expected, texts)
    return folder


def test_an_openvino_tokenizer_is_published_where_it_is_faithful(
    aligned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino
    import openvino_tokenizers  # noqa: F401  its operators are known once it is imported

    texts = documents()[:20]
    monkeypatch.setattr(tool_names, "nasty_texts", lambda count, given: [text.lower() for text in given])
    passed = {"openvino": verdict("openvino", "fp32", 1.0)}
    found = tool_names.add(aligned, ["openvino"], passed, {}, texts, trusts_code=False)
    assert found.left_out == {}
    assert found.written == ["openvino/openvino_tokenizer.xml", "openvino/openvino_tokenizer.bin"]
    written = (aligned / "openvino/openvino_tokenizer.xml").read_bytes()
    tool_names.add(aligned, ["openvino"], passed, {}, texts, trusts_code=False)
    assert (aligned / "openvino/openvino_tokenizer.xml").read_bytes() == written  # the same again in every build
    compiled = openvino.Core().compile_model(aligned / "openvino/openvino_tokenizer.xml", "CPU")
    expected = tokenizer_files.by_file_as_it_is(aligned / "tokenizer.json", texts)
    assert [compiled([text])["input_ids"][0].tolist() for text in texts] == expected


def test_one_that_is_not_is_left_out_with_the_reason(aligned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = {"openvino": verdict("openvino", "fp32", 1.0)}
    add: Callable[..., tool_names.Names] = tool_names.add

    def reason(**more: Any) -> str:
        found = add(aligned, ["openvino"], passed, {}, documents()[:5], **({"trusts_code": False} | more))
        assert found.written == []
        assert not (aligned / "openvino/openvino_tokenizer.xml").exists()
        return found.left_out["openvino_tokenizer.xml"]

    assert "the checkpoint's own code" in reason(trusts_code=True)
    (aligned / "tokenizer.json").rename(aligned / "kept.json")
    assert reason() == "there is no tokenizer.json"
    (aligned / "kept.json").rename(aligned / "tokenizer.json")
    monkeypatch.setattr(tool_names, "nasty_texts", lambda count, given: nasty_texts(count, given)[:200])
    tokenizer = files.read_json(aligned / "tokenizer.json")
    tokenizer["truncation"]["max_length"] = 7
    files.write_json(aligned / "tokenizer.json", tokenizer)
    assert "gives other tokens than tokenizer.json for" in reason()
    assert tool_names.add(aligned, ["openvino"], {"onnx": PASSED["onnx"]}, {}, [], trusts_code=False).left_out == {}
