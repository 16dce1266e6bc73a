"""recommend: the fastest that passed, on constructed results; and as a command, on texts of the user's own."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.commands import recommend
from foundry.params import reading
from foundry.reporting import advice, recommendation
from foundry.reporting.flowchart import flowchart
from foundry.validation import quality
from tests.support.results import benchmark, noisy, record, validation

FACTS = {"kind": "SentenceTransformer", "trust_remote_code": False}


@pytest.fixture
def measured() -> tuple[Any, Any]:
    """Fast ones that must not be named, a tie, and one that changes with the batch."""
    batch = {"check": "consistency_mean_cosine", "value": 0.98, "threshold": 0.97, "relation": ">=", "passed": True}
    task = {"check": "task_ratio_sts", "value": 0.97, "threshold": 0.9, "relation": ">=", "passed": True}
    dependent = validation("onnx_dynamic", mean=0.992)
    validations = {
        "torch": validation("torch", mean=1.0),
        "onnx": validation("onnx", mean=1.0),
        "onnx_failed": validation("onnx_failed", "failed", 0.5),
        "onnx_skipped": validation("onnx_skipped", "skipped", reason="no such fusion"),
        "onnx_crashed": validation("onnx_crashed", mean=1.0),
        "onnx_static": validation("onnx_static", mean=0.998),
        "onnx_bad_at_sts": {**validation("x", mean=0.9995), "checks": [*validation("x", mean=0.9995)["checks"], task]},
        "onnx_dynamic": {**dependent, "checks": [*dependent["checks"], batch]},
        "onnx_twin": validation("onnx_twin", mean=0.992),
    }
    speeds = benchmark(
        "here",
        {
            "torch": record(1.0, size_mb=91.0),
            "onnx": record(1.3, size_mb=90.0),
            "onnx_failed": record(9.0, size_mb=1.0),
            "onnx_crashed": record(8.0, size_mb=1.0, error="killed by SIGKILL"),
            "onnx_static": record(1.6, size_mb=24.0),
            "onnx_bad_at_sts": record(5.0, size_mb=2.0),
            "onnx_dynamic": record(2.0, size_mb=23.0),
            "onnx_twin": record(2.0, size_mb=23.0, same_bytes_as="onnx_dynamic"),
            "torch_bf16": record(7.0, size_mb=91.0, setting_of="torch", computes_in="bf16"),
        },
    )
    return speeds, validations


@pytest.mark.parametrize(
    ("budget", "expected", "runner_up"),
    [(0.0, "onnx", "torch"), (0.004, "onnx_static", "onnx"), (0.01, "onnx_dynamic", "onnx_static")],
)
@pytest.mark.parametrize("use", ["latency", "throughput"])
def test_the_fastest_that_passed_within_the_budget(
    measured: tuple[Any, Any], use: Any, budget: float, expected: str, runner_up: str
) -> None:
    answer = recommendation.by_speed(*measured, use, "short", budget)
    assert (answer["variant"], answer["runner_up"]) == (expected, runner_up)
    assert answer["same_within_noise"] == []
    assert answer["batch_size"] == (1 if use == "latency" else 8)
    assert answer["unit"] == ("ms" if use == "latency" else "texts/s")
    ratio = answer["to_runner_up"]
    assert ratio is not None
    assert (ratio["low"] or 0) > 1


def test_a_variant_that_changes_with_the_batch_carries_its_warning_and_its_other_names(
    measured: tuple[Any, Any],
) -> None:
    answer = recommendation.by_speed(*measured, "throughput", "short", 0.01)
    assert answer["warning"] == "changes with the batch (0.9800)"
    assert answer["same_bytes"] == ["onnx_twin"]
    assert any(line.startswith("Beware") for line in advice.advise(answer, "x", FACTS))
    assert recommendation.by_speed(*measured, "latency", "short", 0.004)["warning"] is None


def test_a_task_that_lost_more_than_the_embedding_counts(measured: tuple[Any, Any]) -> None:
    assert quality.quality_loss(measured[1]["onnx_bad_at_sts"]["checks"]) == (pytest.approx(0.03), "task sts")
    assert recommendation.by_speed(*measured, "latency", "short", 0.031)["variant"] == "onnx_bad_at_sts"


def test_the_worst_of_what_was_measured_counts(measured: tuple[Any, Any]) -> None:
    speeds, validations = measured

    def lose(**values: float) -> Any:
        rows: Any = [{"check": check, "value": value} for check, value in {"mean_cosine": 0.9999, **values}.items()]
        return quality.quality_loss(rows)

    assert lose(mean_centred_cosine=0.98, recall_at_10=0.95) == (pytest.approx(0.02), "centred cosine")
    assert lose(mean_centred_cosine=0.98, recall_at_10=0.8) == (pytest.approx(0.04), "neighbours")
    assert lose(mean_centred_cosine=0.98, recall_at_10=0.5, passage_order=0.97) == (
        pytest.approx(0.03), "order of passages",
    )  # fmt: skip
    assert lose(mean_centred_cosine=0.99995, recall_at_10=0.9, task_ratio_sts=0.99) == (0.0, None)
    assert lose(recall_at_10=1.0).share == 1.0  # what was not measured counts as lost
    # And by it the command, the report and the flowchart choose: the fastest loses too many neighbours.
    neighbours = {"check": "recall_at_10", "value": 0.85}
    validations["onnx_dynamic"]["checks"].append(neighbours)
    answer = recommendation.by_speed(speeds, validations, "throughput", "short", 0.01)
    assert answer["variant"] == "onnx_static"
    assert "onnx_dynamic" not in advice.within_budget(validations, 0.01)
    answer = recommendation.by_speed(speeds, validations, "throughput", "short", 0.03)
    assert (answer["variant"], answer["lost_in"]) == ("onnx_dynamic", "neighbours")
    assert any("quality lost: 2.3% (neighbours)" in line for line in advice.advise(answer, "x", FACTS))


def test_within_noise_it_says_so_and_prefers_the_nearer_to_torch(measured: tuple[Any, Any]) -> None:
    speeds, validations = measured
    speeds["variants"]["onnx_static"] = noisy(1.98)
    answer = recommendation.by_speed(speeds, validations, "throughput", "short", 0.01)
    assert answer["variant"] == "onnx_static"
    assert answer["same_within_noise"] == ["onnx_dynamic"]
    assert any("no difference within noise" in line for line in advice.advise(answer, "x", FACTS))


def test_but_not_one_that_seems_slower(measured: tuple[Any, Any]) -> None:
    speeds, validations = measured
    speeds["variants"]["onnx_static"] = noisy(1.8)
    answer = recommendation.by_speed(speeds, validations, "throughput", "short", 0.01)
    assert answer["variant"] == "onnx_dynamic"
    assert answer["same_within_noise"] == ["onnx_static"]


def test_the_smallest_file(measured: tuple[Any, Any]) -> None:
    # 90 MB and 91 are as small, and both are torch's embedding.
    assert recommendation.by_size(*measured, 0.0)["same_within_noise"] == ["torch"]
    answer = recommendation.by_size(*measured, 0.004)
    assert (answer["variant"], answer["value"], answer["runner_up"]) == ("onnx_static", 24.0, "onnx")
    # 23 MB is smaller than 24 by more than anyone overlooks.
    assert recommendation.by_size(*measured, 0.01)["variant"] == "onnx_dynamic"


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ({"architecture": "x86_64", "instruction_sets": ["avx2", "avx512_vnni"]}, "onnx_dynamic"),
        ({"architecture": "x86_64", "instruction_sets": ["avx2", "avx_vnni"]}, "onnx_dynamic"),
        ({"architecture": "aarch64", "instruction_sets": ["asimddp"]}, "onnx_dynamic"),
        ({"architecture": "x86_64", "instruction_sets": ["avx2", "avx512f"]}, "onnx_static"),
        ({"architecture": "AMD64", "instruction_sets": []}, "onnx_static"),  # nothing is known of it
        ({}, "onnx_static"),
    ],
)
def test_what_fails_on_the_processor_is_not_recommended_there(
    measured: tuple[Any, Any], machine: dict[str, Any], expected: str
) -> None:
    speeds, validations = measured
    row = validations["onnx_dynamic"]["checks"][0]
    noise = {**row, "value": 0.02, "passed": False}
    validations["onnx_dynamic"]["processors"] = {
        "vnni": {"verdict": "passed", "how": "measured", "checks": []},
        "avx2": {"verdict": "failed", "how": "simulated", "checks": [noise]},
    }
    speeds["machine"] = machine
    del speeds["variants"]["onnx_twin"]
    for answer in recommendation.recommend(speeds, validations, [0.01]):
        assert answer["variant"] == expected


def test_a_verdict_that_cannot_be_given_recommends_nothing(measured: tuple[Any, Any]) -> None:
    speeds, validations = measured
    validations["onnx_dynamic"]["processors"] = {
        "vnni": {"verdict": "passed", "how": "measured", "checks": []},
        "avx2": {"verdict": "unknown", "how": "simulated", "checks": []},
    }
    speeds["machine"] = {"architecture": "x86_64", "instruction_sets": ["avx2"]}
    del speeds["variants"]["onnx_twin"]
    assert recommendation.recommend(speeds, validations, [0.01])[0]["variant"] == "onnx_static"


def test_nothing_within_the_budget_is_an_answer(measured: tuple[Any, Any]) -> None:
    speeds, validations = measured
    for name in ("torch", "onnx", "onnx_crashed"):
        validations[name]["verdict"] = "failed"
    answer = recommendation.by_speed(speeds, validations, "latency", "short", 0.0)
    assert (answer["variant"], answer["value"], answer["runner_up"]) == (None, None, None)
    assert advice.advise(answer, "x", FACTS) == ["Nothing that passed validation keeps the budget: no loss."]


def test_the_flowchart_leads_to_every_answer_and_asks_only_what_decides(measured: tuple[Any, Any]) -> None:
    answers = recommendation.recommend(*measured, [0, 0.004, 0.01])
    chart = flowchart(answers)
    assert chart.startswith("flowchart LR")
    for answer in answers:
        assert str(answer["variant"]) in chart
    assert "Which texts?" not in chart  # short and long have the same answers here
    assert "up to 0.4%" in chart
    named = set(re.findall(r"^    (\w+)[({\[]", chart, re.MULTILINE)) | set(re.findall(r"(\w+)\{", chart))
    assert set(re.findall(r"\| (\w+)$", chart, re.MULTILINE)) <= named


# --- The command -----------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    import typer

    app = typer.Typer()
    app.command()(recommend.main)
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def built(project: Callable[..., Path], tiny: Path) -> Path:
    """A project with the tiny model's artifacts, and a verdict on each."""
    root = project()
    (root / "artifacts/models").mkdir(parents=True)
    (root / "artifacts/models/tiny").symlink_to(tiny)
    for variant in reading.read().variant_names:
        files.write_json(root / f"artifacts/validation/tiny/{variant}.json", validation(variant))
    return root


def test_it_measures_on_the_users_own_texts_and_the_lines_load(built: Path) -> None:
    (built / "my.txt").write_text("A text.\n\nAnother one.\n" * 10)
    result = run("tiny", "--use", "latency", "--budget", "0.01", "--texts", "my.txt")
    assert result.exit_code == 0, result.output
    assert "one text takes" in result.output
    assert "SentenceTransformer(" in result.output.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("other", "--use", "size"), "other is no model; params.yaml has tiny"),
        (("tiny", "--use", "latency"), "has no benchmark of this machine"),
        (("tiny", "--use", "latency", "--texts", "none.txt"), "none.txt does not exist"),
        (("tiny", "--use", "latency", "--texts", "empty.txt"), "empty.txt holds no text"),
        (("tiny", "--use", "latency", "--texts", "latin.txt"), "latin.txt is not UTF-8"),
    ],
)
def test_what_cannot_be_answered_is_an_error(built: Path, arguments: tuple[str, ...], message: str) -> None:
    (built / "empty.txt").write_text("\n \n")
    (built / "latin.txt").write_bytes("größer".encode("latin-1"))
    result = run(*arguments)
    assert isinstance(result.exception, FoundryError)
    assert message in str(result.exception)


def test_an_unknown_use_or_budget_names_what_is_allowed(built: Path) -> None:
    assert run("tiny", "--use", "fun").exit_code == 2
    assert run("tiny", "--use", "size", "--budget", "4").exit_code == 2
