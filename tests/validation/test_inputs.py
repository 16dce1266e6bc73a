"""Graphs that are right for most inputs, and wrong for some lengths, batches or rows: each fails, by the check that
sees it, with labelled tasks and without. test_damage.py has the real model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest

from foundry.base.errors import FoundryError
from foundry.export import long_attention
from foundry.loading import memory
from foundry.reference import reference
from foundry.validation import results, vocabulary
from foundry.variants import graph_files, variant_folder
from tests.support import damage
from tests.support.checkpoints import make_checkpoint
from tests.support.damage import Change
from tests.support.stages import build, validate_in

LONGEST = 64
DAMAGES: dict[str, tuple[Change, str]] = {
    "a constant for medium lengths": (damage.constant(tokens=(40, 60)), "lengths_min_cosine"),
    "a constant for a few lengths": (damage.constant(tokens=(33, 36)), "lengths_min_cosine"),
    "a constant for the longest inputs but the longest": (damage.constant(tokens=(57, 63)), "lengths_min_cosine"),
    "a constant for medium lengths, alone": (damage.constant(tokens=(40, 60), rows=(1, 1)), "lengths_min_cosine"),
    "a constant for medium lengths, in batches": (
        damage.constant(tokens=(20, 40), rows=(2, 9)), "lengths_min_cosine"
    ),
    "rows swapped in batches of 64 and more": (damage.rows_reversed((64, 10**6)), "consistency_min_cosine"),
    "rows swapped in batches of 128": (damage.rows_reversed((128, 128)), "consistency_min_cosine"),
    "rows swapped in batches of 100": (damage.rows_reversed((100, 100)), "consistency_min_cosine"),
    "rows swapped in a batch of two": (damage.rows_reversed((2, 2)), "lengths_min_cosine"),
    "nothing beyond 32 rows": (damage.only_first_rows(32), "consistency_min_cosine"),
    "nothing beyond 100 rows": (damage.only_first_rows(100), "consistency_min_cosine"),
    "every second word zeroed": (damage.in_rows("word", damage.zeroed(slice(6, None, 2))), "wrong_rows"),
    "a single word zeroed": (damage.in_rows("word", damage.zeroed(117)), "wrong_rows"),
    "two words swapped": (damage.in_rows("word", damage.swapped(120, 351)), "wrong_rows"),
    "a position zeroed": (damage.in_rows("position", damage.zeroed(59)), "wrong_rows"),
    "two positions swapped": (damage.in_rows("position", damage.swapped(61, 62)), "wrong_rows"),
    "the unused token type zeroed": (damage.in_rows("token_type", damage.zeroed(1)), "wrong_rows"),
    "words not a number": (damage.in_rows("word", lambda rows: rows[300:310].fill(np.nan)), "wrong_rows"),
    "high ids taken for another": (damage.ids_clipped(400), "sequences_min_cosine"),
}  # fmt: skip


# The check is the same with labelled tasks; so that the sum of the tests stays small, one of each kind shows it.
ALSO_WITH_TASKS = (
    "a constant for medium lengths", "rows swapped in batches of 64 and more", "nothing beyond 32 rows",
    "every second word zeroed",
)  # fmt: skip


def failed(result: Any) -> set[str]:
    return {row["check"] for row in result["checks"] if not row["passed"]}


@pytest.mark.parametrize(
    ("name", "with_tasks"), [*((name, False) for name in DAMAGES), *((name, True) for name in ALSO_WITH_TASKS)]
)
def test_damage_is_seen(project: Callable[..., Path], tiny: Path, tmp_path: Path, name: str, with_tasks: bool) -> None:
    change, check = DAMAGES[name]
    folder = shutil.copytree(tiny / "onnx", tmp_path / "onnx")
    damage.in_graph(folder, "onnx", change)
    result = validate_in(project(), tiny, "onnx", folder, with_tasks=with_tasks)
    assert result["verdict"] == "failed"
    assert check in failed(result)


@pytest.mark.parametrize("variant", ["onnx_qint8_avx512", "onnx_qint8_static"])
def test_a_quantized_word_is_seen(project: Callable[..., Path], tiny: Path, tmp_path: Path, variant: str) -> None:
    def zero_a_row(model: Any) -> None:
        tensor = next(
            tensor
            for tensor in model.graph.initializer
            if "word_embeddings.weight" in tensor.name and len(tensor.dims) == 2 and tensor.dims[1] > 1
        )
        rows = onnx.numpy_helper.to_array(tensor).copy()
        rows[117] = rows[118]
        tensor.CopyFrom(onnx.numpy_helper.from_array(rows, tensor.name))

    folder = shutil.copytree(tiny / variant, tmp_path / variant)
    damage.in_graph(folder, variant, zero_a_row)
    result = validate_in(project(), tiny, variant, folder, with_tasks=False)
    assert "wrong_rows" in failed(result)
    assert results.value_of(result, "wrong_rows") == 1


@pytest.mark.parametrize("variant", ["openvino", "openvino_fp16", "openvino_qint8_quantized"])
def test_a_word_of_an_openvino_graph_is_seen(
    project: Callable[..., Path], tiny: Path, tmp_path: Path, variant: str
) -> None:
    folder = shutil.copytree(tiny / variant, tmp_path / variant)
    path = variant_folder.weights_path(folder, variant)
    model = openvino.Core().read_model(path)
    words = next(
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant"
        and len(node.output(0).get_shape()) == 2
        and node.output(0).get_shape()[0] > 500
        and node.output(0).get_shape()[1] == 32
    )
    rows = np.array(words.data)
    rows[[117, 118]] = rows[[118, 117]]
    changed = openvino.opset13.constant(rows, words.get_element_type())
    for user in words.output(0).get_target_inputs():
        user.replace_source_output(changed.output(0))
    openvino.save_model(model, tmp_path / "changed.xml", compress_to_fp16=False)
    (tmp_path / "changed.xml").replace(path)
    (tmp_path / "changed.bin").replace(path.with_suffix(".bin"))
    result = validate_in(project(), tiny, variant, folder, with_tasks=False)
    # A swapped scale alone is no damage, so an int8 table has two rows wrong, too.
    assert results.value_of(result, "wrong_rows") == 2


def test_what_was_asked_is_said(project: Callable[..., Path], tiny: Path) -> None:
    inputs = validate_in(project(), tiny, "onnx", tiny / "onnx")["inputs"]
    assert {3, 8, 16, 24, 31, 32, 33, 40, 48, 56, 63, 64} <= set(inputs["lengths"])
    assert LONGEST in inputs["in_equal_batches"]
    assert LONGEST in inputs["in_unequal_batches"]
    assert {1, 32, 64, 128} <= set(inputs["batch_sizes"])
    assert inputs["lengths_left_out"] == inputs["hard_texts_left_out"] == []
    tables = {name.split(".")[-1]: rows for name, rows in inputs["rows"].items()}
    assert set(tables) == {"word_embeddings", "position_embeddings", "token_type_embeddings"}
    assert all(rows.split(" of ")[0] == rows.split(" of ")[1] for rows in tables.values())


def test_without_the_table_of_words_all_of_them_go_through_the_graph(
    project: Callable[..., Path], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As sequences of ids, by which a word that is wrong in the graph is seen, too."""
    monkeypatch.setattr(vocabulary, "_lookups", lambda *_: iter(()))
    result = validate_in(project(), tiny, "onnx", tiny / "onnx")
    assert result["verdict"] == "passed", results.why_failed(result["checks"])
    words, size = result["inputs"]["words"].split(" of ")
    assert int(size) - int(words) == 4  # [PAD], [CLS], [SEP], [MASK]
    assert "not found in the graph" in result["inputs"]["rows"].values()
    folder = shutil.copytree(tiny / "onnx", tmp_path / "onnx")
    damage.in_graph(folder, "onnx", damage.in_rows("word", damage.zeroed(117)))
    assert "sequences_min_cosine" in failed(validate_in(project(), tiny, "onnx", folder))


# --- Sidecars


def with_sidecar(tiny: Path, tmp_path: Path, name: str) -> Path:
    """The variant with its weights in a file beside the graph."""
    folder = shutil.copytree(tiny / "onnx", tmp_path / "onnx")
    path = variant_folder.weights_path(folder, "onnx")
    model = onnx.load(path)
    path.unlink()
    # As graph_files writes it: what shapes depend on stays in the graph.
    size = graph_files.SMALLEST_EXTERNAL_BYTES
    onnx.save_model(model, path, save_as_external_data=True, location=name, size_threshold=size)
    return folder


def test_a_sidecar_under_its_name_passes(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    result = validate_in(project(), tiny, "onnx", with_sidecar(tiny, tmp_path, "model.onnx_data"))
    assert result["verdict"] == "passed", results.why_failed(result["checks"]) or result["reason"]


@pytest.mark.parametrize("name", ["weights.bin", "model.onnx.data", "model.onnx_data_0"])
def test_a_sidecar_under_another_name_fails(
    project: Callable[..., Path], tiny: Path, tmp_path: Path, name: str
) -> None:
    folder = with_sidecar(tiny, tmp_path, name)
    result = validate_in(project(), tiny, "onnx", folder)
    assert result["verdict"] == "failed"
    assert result["reason"] == f"onnx/{name} is not among the files that are published with this variant"


def test_a_sidecar_in_another_folder_fails(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    folder = with_sidecar(tiny, tmp_path, "weights.bin")
    path = variant_folder.weights_path(folder, "onnx")
    (folder / "onnx/weights.bin").rename(folder / "weights.bin")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../weights.bin" if entry.key == "location" else entry.value
    path.write_bytes(model.SerializeToString())
    result = validate_in(project(), tiny, "onnx", folder)
    assert result["verdict"] == "failed"
    assert result["reason"] == "weights.bin is not among the files that are published with this variant"


# --- Memory


def test_what_there_is_no_memory_for_is_left_out_and_said(
    project: Callable[..., Path], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that could take 40 tokens, and not 64."""
    root = project()
    weights = variant_folder.weights_files(tiny / "onnx", "onnx")
    # The validation texts come in batches of 16, so the limit is set for hard texts and lengths alone.
    needed = memory.input_bytes
    monkeypatch.setattr(
        memory, "input_bytes", lambda folder, rows, tokens, written_out: 0 if rows > 4 else needed(folder, 1, tokens)
    )
    usable = memory.model_bytes(weights) + needed(tiny / "onnx", 1, 40)
    monkeypatch.setattr(memory, "usable_bytes", lambda: usable)
    result = validate_in(root, tiny, "onnx", tiny / "onnx")
    assert result["verdict"] == "passed", results.why_failed(result["checks"])
    assert max(result["inputs"]["lengths"]) == 40
    assert LONGEST in result["inputs"]["lengths_left_out"]
    assert {"repeated_words", "exactly_max_length"} <= set(result["inputs"]["hard_texts_left_out"])


def test_texts_that_do_not_fit_are_an_error_before_anything_runs(
    project: Callable[..., Path], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000_000_000)
    with pytest.raises(FoundryError, match=r"at once take about \d+\.\d GB of memory, and 0.8 GB may be used") as error:
        validate_in(project(), tiny, "onnx", tiny / "onnx")
    assert "\n" not in str(error.value)
    assert not Path("validation/tiny/onnx.json").exists()


@pytest.mark.slow
def test_a_long_context_is_tried_as_far_as_the_memory_reaches(
    project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of 8,192 tokens with attention written out. Its longest text would take 3.5 GB: here, 0.6 GB are free."""
    from transformers import BertConfig, BertModel

    monkeypatch.setattr(long_attention, "LONG_TOKENS", 10**6)  # as where the architecture's attention is its own
    checkpoint = make_checkpoint(tmp_path / "long")
    config = BertConfig.from_pretrained(checkpoint, max_position_embeddings=8192)
    BertModel(config).save_pretrained(checkpoint)
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        settings = json.loads((checkpoint / name).read_text())
        (checkpoint / name).write_text(json.dumps({**settings, key: 8192}))

    def change(raw: dict[str, Any]) -> None:
        raw["models"] = {"tiny": {"source": {"path": str(checkpoint)}}}
        raw |= {name: {} for name in ("optimize", "quantize", "calibrate_onnx", "calibrate", "compress")}
        raw["variants"] = {"torch": {}, "onnx": {}, "openvino": {}}
        raw["validate"]["overrides"] = {}
        raw["benchmark"]["settings"] = {}
        raw["sample"]["tasks"] = {}
        # Whole documents would not fit into the memory that is free here, in batches of 16.
        raw["sample"]["validation"]["groups"]["long"]["cut"] = 600

    root = project(change)
    models = build(root, "tiny")
    covered = reference.read(root / "artifacts/reference/tiny").coverage
    assert covered.texts[-1].tokens == 8192  # torch does not write attention out
    weights = variant_folder.weights_files(models / "onnx", "onnx")
    monkeypatch.setattr(memory, "usable_bytes", lambda: memory.model_bytes(weights) + 600_000_000)
    result = validate_in(root, models, "onnx", models / "onnx")
    assert result["verdict"] == "passed", results.why_failed(result["checks"]) or result["reason"]
    inputs = result["inputs"]
    assert 2500 < max(inputs["lengths"]) < 4096
    assert max(inputs["in_equal_batches"]) < max(inputs["lengths"])
    assert 8192 in inputs["lengths_left_out"]
    assert "exactly_max_length" in inputs["hard_texts_left_out"]
