"""The ways to run a file in another precision: recommended where they passed in it, with the lines that run them."""

from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.benchmarking.settings import Setting
from foundry.loading import precisions
from foundry.publishing.leads import leads
from foundry.reporting import advice, recommendation, rows, tables
from foundry.reporting.flowchart import flowchart
from foundry.reporting.rendering import loading_lines, plain_lines
from tests.support.results import benchmark, record, validation

BUDGETS = [0, 0.004, 0.01]


def judged(verdict: str, mean: float = 1.0) -> dict[str, Any]:
    """A verdict in one precision."""
    checks = [] if verdict == "not computed" else validation("x", verdict, mean)["checks"]
    return {"verdict": verdict, "reason": None if verdict == "passed" else f"it is {verdict}", "checks": checks}


@pytest.fixture
def measured() -> tuple[Any, Any]:
    """One way that passed, and many faster ones that did not, or that nothing is known of."""
    validations = {
        "torch": validation("torch", mean=1.0, precisions={"bf16": judged("failed", 0.5), "f16": judged("passed")}),
        "onnx": validation("onnx", mean=1.0),
        "openvino": validation("openvino", mean=1.0, precisions={"bf16": judged("not computed")}),
        "openvino_fp16": validation("openvino_fp16", mean=1.0, precisions={"bf16": judged("passed", 0.9995)}),
        "openvino_failed": validation("x", "failed", 0.5, precisions={"bf16": judged("passed")}),
    }

    def setting(speed: float, of: str, precision: str | None, **more: Any) -> dict[str, Any]:
        return record(speed, setting_of=of, computes_in=precision, **more)

    measurements = {
        "torch": record(1.0),
        "onnx": record(1.5),
        "openvino": record(1.4),
        "openvino_fp16": record(1.3, size_mb=6.0),
        "openvino_failed": record(9.0),
        "fp16_bf16": setting(3.0, "openvino_fp16", "bf16", size_mb=6.0),
        "torch_bf16": setting(9.0, "torch", "bf16"),
        "torch_f16_compiled": setting(9.0, "torch", "f16", compiled=True),
        "torch_compiled": setting(9.0, "torch", "f32", compiled=True),
        "torch_f16_elsewhere": setting(9.0, "torch", "f16", note="this processor does not compute in f16"),
        "openvino_bf16": setting(9.0, "openvino", "bf16"),
        "openvino_f16": setting(9.0, "openvino", "f16"),
        "openvino_f32": setting(9.0, "openvino", "f32"),
        "failed_bf16": setting(9.0, "openvino_failed", "bf16"),
        "of_another": setting(9.0, "openvino_gone", "bf16"),
    }
    return benchmark("here", measurements), validations


def test_only_a_way_that_passed_in_its_precision_is_ever_named(measured: tuple[Any, Any]) -> None:
    answers = recommendation.recommend(*measured, BUDGETS)
    named = {answer["variant"] for answer in answers} | {answer["runner_up"] for answer in answers}
    named |= {name for answer in answers for name in answer["same_within_noise"]}
    assert {str(name) for name in named if " in " in str(name)} == {"openvino_fp16 in bf16"}
    assert not named & {*measured[0]["variants"]} - {"torch", "onnx", "openvino", "openvino_fp16"}
    # Where no machine has computed in it, it is as if it were not there.
    for result in measured[1].values():
        result["precisions"] = {}
    answers = recommendation.recommend(*measured, BUDGETS)
    assert not any(" in " in str(answer["variant"]) for answer in answers)
    assert {answer["variant"] for answer in answers if answer["use"] != "size"} == {"onnx"}


def test_its_loss_is_that_of_its_own_checks(measured: tuple[Any, Any]) -> None:
    assert recommendation.by_speed(*measured, "throughput", "short", 0.0)["variant"] == "onnx"
    answer = recommendation.by_speed(*measured, "throughput", "short", 0.004)
    assert (answer["variant"], answer["file"], answer["precision"]) == (
        "openvino_fp16 in bf16",
        "openvino_fp16",
        "bf16",
    )
    assert answer["loss"] == pytest.approx(0.0005)
    assert answer["runner_up"] == "onnx"


def test_the_smallest_file_is_a_file(measured: tuple[Any, Any]) -> None:
    answer = recommendation.by_size(*measured, 0.01)
    assert (answer["variant"], answer["precision"], answer["same_within_noise"]) == ("openvino_fp16", "f32", [])


def test_advice_and_flowchart_name_the_way_and_the_lines_run_it(measured: tuple[Any, Any]) -> None:
    answer = recommendation.by_speed(*measured, "throughput", "short", 0.01)
    lines = "\n".join(advice.advise(answer, "x", measured[1]["torch"]["facts"]))
    assert lines.startswith("openvino_fp16 in bf16: it embeds")
    assert (
        'model_kwargs={"file_name": "openvino_model_fp16.xml", "ov_config": {"INFERENCE_PRECISION_HINT": "bf16"}}'
        in lines
    )
    assert "openvino_fp16 in bf16" in flowchart(recommendation.recommend(*measured, BUDGETS))


def test_what_is_measured_on_the_users_own_texts_passed_as_well(measured: tuple[Any, Any]) -> None:
    settings = {
        "fp16_bf16": Setting(of="openvino_fp16", inference_precision="bf16"),
        "openvino_bf16": Setting(of="openvino", inference_precision="bf16"),
        "torch_bf16": Setting(of="torch", dtype="bfloat16"),
        "torch_f16": Setting(of="torch", dtype="float16"),
        "torch_f16_compiled": Setting(of="torch", dtype="float16", compile=True),
    }
    assert list(advice.settings_within_budget(settings, measured[1], 0.0)) == ["torch_f16"]
    assert list(advice.settings_within_budget(settings, measured[1], 0.01)) == ["fp16_bf16", "torch_f16"]


def test_the_rows_of_the_report(measured: tuple[Any, Any]) -> None:
    speeds, validations = measured
    table = {row["variant"]: row for row in rows.build_rows("tiny", validations, speeds)}
    way = table["fp16_bf16"]
    assert (way["verdict"], way["setting_of"], way["inference_precision"]) == ("passed", "openvino_fp16", "bf16")
    assert way["checks"]["mean_cosine"] == 0.9995
    assert rows.note({**way, "same_bytes": []}) == "openvino_fp16 in bf16"
    assert (table["torch_bf16"]["verdict"], table["torch_bf16"]["reason"]) == ("failed", "it is failed")
    assert table["openvino_bf16"]["verdict"] == table["torch_f16_compiled"]["verdict"] == "setting"
    assert table["openvino_fp16"]["precisions"] == {"bf16": "passed"}
    assert "passed in bf16" in rows.note({**table["openvino_fp16"], "same_bytes": []})
    assert tables.flat(table["openvino_fp16"])["verdict_in_bf16"] == "passed"


@pytest.fixture
def by_runtime(measured: tuple[Any, Any]) -> tuple[Any, Any]:
    """Files that foundry_runtime ran, refused, failed on, and was not tried on."""
    speeds, validations = measured
    trials = {
        "onnx": {"refuses": None, "error": None, "tokenizer": {}},
        "openvino": {"refuses": "its modules are not known", "error": None, "tokenizer": {}},
        "openvino_fp16": {"refuses": None, "error": "it crashed", "tokenizer": {}},
    }
    for name, trial in trials.items():
        validations[name]["runtime"] = trial
    for name in ("onnx", "openvino", "openvino_fp16", "torch"):
        row = record(4.0 if name == "onnx" else 9.0, setting_of=name, computes_in="f32", runner="foundry_runtime")
        rates = row["texts_per_second"]["short"]
        by_tokens = {group: {"1": rates["1"], "by tokens": rates["8"]} for group in ("short", "long")}
        speeds["variants"][f"runtime_{name}"] = {**row, "texts_per_second": by_tokens}
    return speeds, validations


def test_foundry_runtime_is_recommended_where_it_was_tried(by_runtime: tuple[Any, Any]) -> None:
    answers = recommendation.recommend(*by_runtime, [0.0])
    assert {answer["variant"] for answer in answers if answer["use"] != "size"} == {"onnx by foundry_runtime"}
    answer = recommendation.by_speed(*by_runtime, "throughput", "short", 0.0)
    assert (answer["file"], answer["precision"], answer["runner"]) == ("onnx", "f32", "foundry_runtime")
    assert answer["batch_size"] is None
    lines = advice.advise(answer, "org/tiny", by_runtime[1]["torch"]["facts"])
    assert lines[0].startswith("onnx by foundry_runtime: it embeds 400 texts/s in batches cut by tokens; 4.00×")
    assert lines[-1] == 'from foundry_runtime import Embedder\n\nmodel = Embedder("org/tiny", "onnx")'
    table = {row["variant"]: row for row in rows.build_rows("tiny", by_runtime[1], by_runtime[0])}
    assert rows.note({**table["runtime_onnx"], "same_bytes": []}) == "onnx by foundry_runtime"
    assert [table[f"runtime_{name}"]["verdict"] for name in ("onnx", "openvino", "openvino_fp16")] == [
        "passed", "setting", "setting",
    ]  # fmt: skip


def test_the_card_leads_with_at_most_four_lines(by_runtime: tuple[Any, Any]) -> None:
    speeds, validations = by_runtime
    validations["onnx_static"] = validation("onnx_static", mean=0.993)
    speeds["variants"]["onnx_static"] = record(6.0, size_mb=3.0)
    answers = recommendation.recommend(speeds, validations, BUDGETS)
    found = leads(answers, [*validations], validations["torch"]["facts"], "org/tiny")
    assert [(lead.use, lead.variant) for lead in found] == [
        ("Many texts at once, long", "onnx by foundry_runtime"),
        ("Many texts at once, long", "onnx_static"),
        ("One text at a time, long", "onnx by foundry_runtime"),
        ("Smallest", "onnx_static"),
    ]
    assert found[0].figure == "400 texts/s, 4.00× as fast as torch; nothing lost"
    assert found[0].line == 'Embedder("org/tiny", "onnx")'
    assert found[1].figure == "600 texts/s, 6.00× as fast as torch; 0.7% (centred cosine) of quality lost"
    assert 'backend="onnx", model_kwargs={"file_name": "model_static.onnx"}' in found[1].line
    for answer in answers:
        answer["warning"] = "changes with the batch (0.9870)"
    found = leads(answers, [*validations], validations["torch"]["facts"], "org/tiny")
    assert found[0].figure.endswith("; nothing lost; changes with the batch (0.9870)")
    published = [name for name in validations if name != "onnx_static"]
    found = leads(answers, published, validations["torch"]["facts"], "org/tiny")
    assert [lead.variant for lead in found if lead.variant == "onnx_static"] == []


@pytest.mark.usefixtures("graphs_load")
def test_the_lines_that_are_shown_run_the_file_in_the_precision(tiny: Path) -> None:
    facts = files.read_json(tiny.parent.parent / "reference/tiny/reference.json")["facts"]
    scope: dict[str, Any] = {}
    exec(loading_lines(str(tiny / "torch"), "torch", facts, precision="bf16"), scope)
    assert str(scope["model"][0].auto_model.dtype) == "torch.bfloat16"
    assert scope["model"].encode(["A text."]).shape == (1, 32)
    computed = "bf16" if "bf16" in precisions.of_processor() else "f32"
    exec(loading_lines(str(tiny / "openvino"), "openvino", facts, precision="bf16"), scope)
    graph = scope["model"][0].auto_model
    assert graph.ov_config["INFERENCE_PRECISION_HINT"] == "bf16"
    embeddings = scope["model"].encode(["A first text.", "And a second one."])
    plain = plain_lines(str(tiny / "openvino"), "openvino", facts, "sentence_embedding", "bf16")
    assert plain is not None
    exec(plain, scope)
    assert abs(scope["embeddings"] - embeddings).max() < (1e-5 if computed == "f32" else 1e-2)
    hint = scope["model"].get_property("INFERENCE_PRECISION_HINT")
    assert hint.get_type_name() == computed
