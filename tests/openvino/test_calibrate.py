"""calibrate: static int8 keeps the embedding in OpenVINO."""

import os
import platform
import shutil
import subprocess
import sys
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
from foundry.openvino import attention_scores
from foundry.openvino.saturation import IntegerGraph
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


# --- Attention's scores ----------------------------------------------------------------------------------


def node_types(folder: Path) -> list[str]:
    import openvino

    model = openvino.Core().read_model(variant_folder.weights_path(folder, VARIANT))
    return [node.get_type_name() for node in model.get_ordered_ops()]


def test_queries_and_keys_on_integers_stay_close_and_can_saturate_nowhere(
    project: Callable[..., Path], tiny: Path, tmp_path: Path
) -> None:
    plain = shutil.copytree(calibrated(project, tiny, {"samples": 16})[0], tmp_path / "plain")
    scored, _ = calibrated(project, tiny, {"samples": 16, "attention_scores": True})
    layers = len([name for name in node_types(scored) if name == "Clamp"]) // 2
    assert layers == len([name for name in node_types(plain) if name == "ScaledDotProductAttention"]) > 0
    assert node_types(scored).count("FakeQuantize") == node_types(plain).count("FakeQuantize") + 2 * layers
    graph = IntegerGraph(variant_folder.weights_path(scored, VARIANT), tmp_path)
    assert graph.unknown == []
    assert (
        graph.product_count
        == IntegerGraph(variant_folder.weights_path(plain, VARIANT), tmp_path).product_count + layers
    )
    texts = ["a text", "two texts of another length", "word " * 40]
    expected, rows = (
        loader.load(folder, VARIANT).encode(loader.load(folder, VARIANT).items(texts), 1) for folder in (plain, scored)
    )
    assert cosines(rows, expected).min() > 0.99
    assert not np.array_equal(rows, expected)


def test_what_the_scope_leaves_in_floating_point_has_its_scores_there(project: Callable[..., Path], tiny: Path) -> None:
    row = {"samples": 16, "attention_scores": True, "ignored_scope": {"patterns": [r"layer\.0\.attention\.self\.key"]}}
    layers = node_types(calibrated(project, tiny, {})[0]).count("ScaledDotProductAttention")
    scored, _ = calibrated(project, tiny, row)
    assert node_types(scored).count("Clamp") == 2 * (layers - 1)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the switch is of x86 processors")
@pytest.mark.parametrize(("largest_key", "is_exact"), [(64, True), (127, False)])
def test_keys_of_seven_bits_do_not_saturate_without_vnni(tmp_path: Path, largest_key: int, is_exact: bool) -> None:
    """As `IntegerGraph` says it: OpenVINO told to compute as a processor without VNNI does."""
    graph = tmp_path / "scores.xml"
    write_scores(graph, largest_key)
    assert bool(IntegerGraph(graph, tmp_path).unknown) is not is_exact
    code = (
        "import sys, numpy, openvino\n"
        "core = openvino.Core()\n"
        "rows = numpy.random.default_rng(0).choice([-127, 127], (2, 1, 8, 64)).astype('float32')\n"
        "options = [{}, {'LP_TRANSFORMS_MODE': 'NO'}]\n"
        "f32 = {'INFERENCE_PRECISION_HINT': 'f32'}\n"
        "got, exact = (core.compile_model(sys.argv[1], 'CPU', f32 | more)(list(rows))[0] for more in options)\n"
        "print(abs(got - exact).max())\n"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    result = subprocess.run(
        [sys.executable, "-c", code, graph], env=environment, capture_output=True, text=True, check=True
    )
    assert (float(result.stdout) < 1) is is_exact


def write_scores(target: Path, largest_key: int) -> None:
    """Queries times keys of two heads, (1, tokens, 64), quantized as the variant's are."""
    import openvino
    from openvino import opset13 as ops

    rows = [ops.parameter([1, -1, 64], dtype=openvino.Type.f32) for _ in range(2)]
    heads = []
    for row, largest in zip(rows, (127, largest_key), strict=True):
        added = ops.add(row, ops.constant(np.float32(0)))
        cut = ops.reshape(added, ops.constant(np.array([0, 0, 2, 32])), True)
        heads.append(ops.transpose(cut, ops.constant(np.array([0, 2, 1, 3]))))
        attention_scores.quantize_values(cut.input(0), added.get_friendly_name(), 127.0, largest)
    openvino.save_model(openvino.Model([ops.matmul(*heads, False, True)], rows), target, compress_to_fp16=False)
