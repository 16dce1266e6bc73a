"""calibrate: static int8 keeps the embedding in OpenVINO."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.data import texts
from foundry.int8 import calibration
from foundry.loading import loader
from foundry.reference import reference
from foundry.reference.closeness import cosines
from foundry.variants import checkpoint_folder, variant_folder
from stages import calibrate
from tests.support.stages import measured_on, settings_file

VARIANT = "openvino_qint8_quantized"


def test_texts_go_in_at_their_natural_lengths_and_as_the_model_tokenizes(tiny: Path) -> None:
    texts_of_all_lengths = ["one", "one two three", "word " * 500]
    inputs = calibration.tokenize(tiny / "openvino", texts_of_all_lengths, {"input_ids", "attention_mask"})
    model = loader.load(tiny / "torch", "torch").model
    for text, tokenized in zip(texts_of_all_lengths, inputs, strict=True):
        assert set(tokenized) == {"input_ids", "attention_mask"}
        np.testing.assert_array_equal(tokenized["input_ids"], model.tokenize([text])["input_ids"])
        assert tokenized["attention_mask"].all()
    assert inputs[2]["input_ids"].shape == (1, checkpoint_folder.max_seq_length(tiny / "torch"))


def test_without_a_tokenizers_file_it_is_the_models_own_tokenizer(tiny: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny / "openvino", tmp_path / "openvino")
    texts = ["A text", "word " * 500]
    expected = calibration.tokenize(source, texts, {"input_ids"})
    (source / "tokenizer.json").unlink()
    for tokenized, other in zip(calibration.tokenize(source, texts, {"input_ids"}), expected, strict=True):
        np.testing.assert_array_equal(tokenized["input_ids"], other["input_ids"])


def calibrated(
    project: Callable[..., Path], tiny: Path, row: dict[str, Any], source: Path | None = None
) -> tuple[Path, Path]:
    """The folder that a row makes, and where the project is."""

    def change(raw: dict) -> None:
        raw["calibrate"][VARIANT] = row

    root = project(change)
    calibration_texts = measured_on(tiny)[1].with_name("calibration.jsonl")
    calibrate.main(
        VARIANT,
        settings_file(f"build/{VARIANT}"),
        source or tiny / "openvino",
        calibration_texts,
        *measured_on(tiny),
        root / "out",
    )
    return root / "out", root


def embed(folder: Path, tiny: Path) -> np.ndarray:
    validation_texts = [row["text"] for row in texts.read(measured_on(tiny)[1])]
    embeddings: np.ndarray = loader.load(folder, VARIANT).encode(validation_texts)
    return embeddings


def closeness(folder: Path, tiny: Path) -> float:
    return float(cosines(embed(folder, tiny), reference.read(measured_on(tiny)[0]).embeddings).mean())


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"preset": "performance"},
        {"outlier_copies": 0},
        {"outlier_copies": 5},
        {"smooth_quant_alpha": 0.7, "bias_correction": False, "int8_embeddings": False, "samples": 12},
        {"reduce_range": "always"},
        {"error_feedback": False},
        {"reduce_range": "never"},
        {"ignored_scope": {"patterns": [r"layer\.0\."]}},
    ],
    ids=str,
)
def test_every_setting_gives_a_graph_that_is_close(
    project: Callable[..., Path], tiny: Path, row: dict[str, Any]
) -> None:
    out, _ = calibrated(project, tiny, row)
    assert 0.97 < closeness(out, tiny) < 1


def test_the_same_inputs_give_the_same_bytes(project: Callable[..., Path], tiny: Path) -> None:
    first = dict(variant_folder.hashes(calibrated(project, tiny, {})[0]))
    assert first == dict(variant_folder.hashes(calibrated(project, tiny, {})[0]))


def test_products_in_the_ignored_scope_stay_in_float(project: Callable[..., Path], tiny: Path) -> None:
    def quantized(row: dict[str, Any]) -> int:
        out, _ = calibrated(project, tiny, row)
        return variant_folder.weights_path(out, VARIANT).read_text().count('type="FakeQuantize"')

    assert quantized({}) == 8  # four inputs in each of two layers
    assert quantized({"ignored_scope": {"patterns": [r"layer\.0\."]}}) == 4


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ({"names": ["/no/such"]}, "ignored_scope names /no/such"),
        ({"patterns": ["nothing"]}, "ignored_scope names nothing"),
        ({"patterns": ["."]}, "leaves no product"),
    ],
)
def test_an_ignored_scope_that_does_not_fit_is_refused(
    project: Callable[..., Path], tiny: Path, scope: dict[str, Any], message: str
) -> None:
    with pytest.raises(FoundryError, match=message):
        calibrated(project, tiny, {"ignored_scope": scope})


def test_a_truncated_graph_is_one_clear_error(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny / "openvino", tmp_path / "openvino")
    graph = variant_folder.weights_path(source, "openvino")
    graph.write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(FoundryError, match="truncated or no OpenVINO graph"):
        calibrated(project, tiny, {}, source)
    assert not (tmp_path / "out").exists()


# --- Rows with a budget ------------------------------------------------------------------------------------------


def test_a_reachable_budget_is_held_and_twice_the_same(project: Callable[..., Path], tiny: Path) -> None:
    at_once = closeness(calibrated(project, tiny, {"outlier_copies": 16})[0], tiny)
    budget = {"mean_cosine": round(1 - (1 - at_once) / 2, 6)}  # half the error
    row = {"budget": budget, "outlier_copies": 16}
    out, _ = calibrated(project, tiny, row)
    assert closeness(out, tiny) >= budget["mean_cosine"]
    search = files.read_json(out / variant_folder.SEARCHED)
    assert search["budget"] == budget
    assert 0 < len(search["in_float"]) < 12
    holding = [trial for trial in search["trials"] if trial["holds"]]
    assert max(trial["estimated_speed"] for trial in holding) == next(
        trial["estimated_speed"] for trial in holding if trial["in_float"] == search["in_float"]
    )
    again, _ = calibrated(project, tiny, row)
    graphs = [variant_folder.weights_files(folder, VARIANT) for folder in (out, again)]
    assert [files.sha256(path) for path in graphs[0]] == [files.sha256(path) for path in graphs[1]]
    timed = ("measured_speed",)
    assert [{key: value for key, value in trial.items() if key not in timed} for trial in search["trials"]] == [
        {key: value for key, value in trial.items() if key not in timed}
        for trial in files.read_json(again / variant_folder.SEARCHED)["trials"]
    ]


def test_an_easy_budget_stays_in_int8(project: Callable[..., Path], tiny: Path) -> None:
    out, _ = calibrated(project, tiny, {"budget": {"mean_cosine": 0.5, "recall_at_10": 0.1, "task_ratio": 0.1}})
    assert files.read_json(out / variant_folder.SEARCHED)["in_float"] == []


def test_an_unreachable_budget_skips_the_variant(project: Callable[..., Path], tiny: Path) -> None:
    out, _ = calibrated(project, tiny, {"budget": {"min_cosine": 1.0}})
    assert sorted(path.name for path in out.iterdir()) == [variant_folder.SKIPPED]
    reason = variant_folder.skipped(out)
    assert reason is not None
    assert reason.startswith("no setting holds min_cosine 1.0; the best reached min_cosine 0.999")
    assert len(variant_folder.search_result(out)["trials"]) > 5


def test_the_trials_are_limited(project: Callable[..., Path], tiny: Path) -> None:
    out, _ = calibrated(project, tiny, {"budget": {"min_cosine": 1.0}, "search": {"trials": 4}})
    assert len(variant_folder.search_result(out)["trials"]) == 4
    assert "4 trials were used up" in str(variant_folder.skipped(out))


# --- The real model ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_real_model_keeps_its_embedding(real: Path) -> None:
    validation_texts = [row["text"] for row in texts.read(measured_on(real)[1])]
    cosine = cosines(
        loader.load(real / VARIANT, VARIANT).encode(validation_texts), reference.read(measured_on(real)[0]).embeddings
    )
    assert cosine.mean() > 0.998
    assert cosine.min() > 0.98
