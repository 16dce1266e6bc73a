"""What was measured on a GPU: only what was validated there is recommended, with the lines that run it there."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.benchmarking import speeds
from foundry.benchmarking.settings import Benchmark, Effort
from foundry.publishing import published_ways
from foundry.publishing.leads import leads
from foundry.publishing.recommended import recommendations
from foundry.reporting import advice, recommendation, rows
from foundry.reporting.flowchart import flowchart
from foundry.reporting.rendering import loading_lines
from tests.support.projects import TINY_VARIANTS
from tests.support.results import benchmark, make_report, record, validation

GPU = "NVIDIA H100 80GB HBM3, 81559 MiB, 580.0"
TRIED = {"refuses": None, "error": None, "tokenizer": {}}


def judged(verdict: str = "passed", mean: float = 1.0) -> dict[str, Any]:
    return {"verdict": verdict, "reason": None, "checks": validation("x", verdict, mean)["checks"]}


def on_gpu(speed: float, **more: Any) -> dict[str, Any]:
    return record(speed, **{"device": "cuda", "gpu_memory_mb": 1800.0, **more})


@pytest.fixture
def validations() -> dict[str, Any]:
    return {
        "torch": validation("torch", mean=1.0, cuda={"f32": judged(), "f16": judged(mean=0.9997), "tf32": judged()}),
        "onnx": validation("onnx", mean=1.0, cuda={"f32": judged(), "tf32": judged("failed", 0.5)}, runtime=TRIED),
        "onnx_O4": validation("onnx_O4", mean=0.998, cuda={"f32": judged(mean=0.998)}, runtime=TRIED),
        "onnx_O2": validation("onnx_O2", mean=1.0),
        "openvino": validation("openvino", mean=1.0),
    }


@pytest.fixture
def measured() -> dict[str, Any]:
    """The fastest were not validated, or failed, there."""
    measurements = {
        "torch": on_gpu(1.0),
        "onnx": on_gpu(1.2),
        "onnx_O4": on_gpu(2.0),
        "onnx_O2": on_gpu(9.0),
        "torch_f16": on_gpu(1.8, setting_of="torch", computes_in="f16"),
        "torch_tf32": on_gpu(1.5, setting_of="torch", computes_in="tf32"),
        "onnx_tf32": on_gpu(9.0, setting_of="onnx", computes_in="tf32"),
        "O4_runtime": on_gpu(6.0, setting_of="onnx_O4", computes_in="f32", runner="foundry_runtime"),
    }
    return {**benchmark("here", measurements), "device": "cuda", "machine": {"gpus": [GPU]}}


def test_only_what_passed_on_the_gpu_is_recommended_for_it(validations: Any, measured: Any) -> None:
    answers = recommendation.recommend(measured, validations, [0, 0.01])
    assert {answer["use"] for answer in answers} == {"latency", "throughput"}
    by_budget = {answer["budget"]: answer for answer in answers if answer["use"] == "throughput"}
    assert by_budget[0]["variant"] == "torch in tf32 on cuda"
    assert (by_budget[0]["file"], by_budget[0]["precision"], by_budget[0]["device"]) == ("torch", "tf32", "cuda")
    assert by_budget[0.01]["variant"] == "onnx_O4 on cuda by foundry_runtime"
    named = {answer["variant"] for answer in answers} | {answer["runner_up"] for answer in answers}
    assert not any("onnx_O2" in str(name) or str(name).startswith("onnx in tf32") for name in named)


def test_the_lines_run_it_there(validations: Any, measured: Any) -> None:
    facts = validations["torch"]["facts"]
    answers = recommendation.recommend(measured, validations, [0, 0.01])
    by_budget = {answer["budget"]: answer for answer in answers if answer["use"] == "throughput"}
    lines = advice.advise(by_budget[0.01], "org/tiny", facts)
    assert lines[-1].endswith('model = Embedder("org/tiny", "onnx_O4", device="cuda")')
    assert advice.advise(by_budget[0], "org/tiny", facts)[-1] == (
        "import torch\nfrom sentence_transformers import SentenceTransformer\n\n"
        'torch.set_float32_matmul_precision("high")  # TF32\n'
        'model = SentenceTransformer("org/tiny", device="cuda")'
    )
    assert loading_lines("org/tiny", "onnx_O4", facts, device="cuda").splitlines()[-1] == (
        'model = SentenceTransformer("org/tiny", device="cuda", backend="onnx", model_kwargs={"file_name": '
        '"model_O4.onnx", "provider": "CUDAExecutionProvider", "provider_options": {"use_tf32": "0"}})'
    )


def test_the_rows_are_of_what_was_validated_there(validations: Any, measured: Any) -> None:
    table = {row["variant"]: row for row in rows.build_rows("tiny", validations, measured)}
    assert list(table) == ["torch", "onnx", "onnx_O4", "torch_f16", "torch_tf32", "onnx_tf32", "O4_runtime"]
    assert {row["device"] for row in table.values()} == {"cuda"}
    assert table["O4_runtime"]["verdict"] == "passed"
    assert table["onnx_tf32"]["verdict"] == "failed"
    assert table["torch_f16"]["checks"]["mean_cosine"] == 0.9997


def test_the_share_of_the_peak_is_of_what_the_gpu_computes_in(measured: Any) -> None:
    measured["peak_gflops"] = {"fp32": {"torch": 1000.0}, "fp16": {"torch": 8000.0}, "tf32": {"torch": 4000.0}}
    shares = [speeds.peak_share(measured, "onnx_O4", "short", kind) for kind in ("fp32", "fp16", "tf32")]
    assert shares == pytest.approx([0.1, 0.0125, 0.025])


def test_the_flowchart_asks_what_runs_it(validations: Any, measured: Any) -> None:
    on_processor = recommendation.recommend(benchmark("here", {"torch": record(1.0)}), validations, [0])
    of_gpu = recommendation.recommend(measured, validations, [0])
    chart = flowchart([*on_processor, *of_gpu])
    assert 'where -->|"an NVIDIA GPU"| cuda_start{"What counts?"}' in chart
    assert 'cpu_start -->|"the smallest file"| ' in chart
    assert "torch in tf32 on cuda" in chart
    assert "where" not in flowchart(on_processor)


def test_the_card_has_a_line_for_it_and_four_at_most(validations: Any, measured: Any) -> None:
    here = benchmark("here", {"torch": record(1.0), "onnx": record(2.0), "onnx_O4": record(3.0, size_mb=2.0)})
    answers = [
        *recommendation.recommend(here, validations, [0, 0.01]),
        *recommendation.recommend(measured, validations, [0, 0.01]),
    ]
    found = leads(answers, [*validations], validations["torch"]["facts"], "org/tiny")
    assert [lead.use for lead in found] == [
        "Many texts at once, long", "Many texts at once on a GPU, long", "One text at a time, long", "Smallest",
    ]  # fmt: skip
    assert found[1].variant == "torch in tf32 on cuda"
    recorded = recommendations(answers, [*validations])
    assert {row["device"] for row in recorded} == {"cpu", "cuda"}


def test_the_record_has_what_passed_there(validations: Any) -> None:
    assert published_ways.ways_on_cuda(validations["onnx"]) == {
        "f32": {
            "model_kwargs": {
                "file_name": "model.onnx", "provider": "CUDAExecutionProvider",
                "provider_options": {"use_tf32": "0"},
            },
            "figures": {"mean_cosine": 1.0, "mean_centred_cosine": 1.0},
            "settings": None,
        }
    }  # fmt: skip
    assert published_ways.ways_on_cuda(validations["openvino"]) == {}


def test_the_report_has_a_part_of_its_own_for_it(
    tmp_path: Path, tiny_params: dict[str, Any], validations: Any, measured: Any
) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params))
    for name in TINY_VARIANTS:
        files.write_json(tmp_path / f"validation/tiny/{name}.json", validations.get(name) or validation(name))
    facts = {"processor": "A CPU", "cores": 2, "memory_gb": 8, "instruction_sets": [], "python": "3.11"}
    facts |= {"libraries": {}, "gpus": [GPU], "threads": {}}
    files.write_json(tmp_path / "host.json", {"host": "here", **facts})
    here = benchmark("here", {name: record(1.0) for name in TINY_VARIANTS})
    files.write_json(tmp_path / "benchmarks/tiny/here.json", here)
    files.write_json(tmp_path / "benchmarks/tiny/here-cuda.json", {**measured, "variants": {
        name: row for name, row in measured["variants"].items() if name != "O4_runtime" and name != "onnx_O4"
    }})  # fmt: skip
    with contextlib.chdir(tmp_path):
        make_report(tmp_path)
    page = (tmp_path / "report/index.html").read_text()
    assert f"<h3>On {GPU}</h3>" in page
    assert "<code>torch in tf32 on cuda</code>" in page
    markdown = (tmp_path / "report/report.md").read_text()
    assert f"### On {GPU}" in markdown
    assert "| `torch in f16 on cuda` | passed | 0.03%" in markdown
    assert 'where{"What runs it?"}' in markdown
    written = files.read_json(tmp_path / "report/report.json")
    assert {row["device"] for row in written["rows"]} == {"cpu"}
    assert {row["variant"] for row in written["gpu_rows"]} >= {"torch", "onnx", "torch_tf32"}
    answers = files.read_json(tmp_path / "report/recommendation.json")["models"]["tiny"]
    assert {answer["device"] for answer in answers} == {"cpu", "cuda"}


def test_asking_for_a_gpu_that_is_not_there_or_has_no_effort(tmp_path: Path) -> None:
    effort = Effort(minutes=1, rounds=3, interval=0.1, batch_sizes=[8], seconds=0.1)
    without = Benchmark(effort="quick", efforts={"quick": effort})
    with pytest.raises(FoundryError, match=r"params\.yaml names no effort for a GPU: set benchmark\.cuda_effort"):
        advice.measure_now("tiny", tmp_path, {}, without, {}, ["a"], {}, device="cuda")
    with pytest.raises(FoundryError, match=r"here-cuda\.json is not there"):
        advice.read_benchmark("tiny", tmp_path, "here", "cuda")
