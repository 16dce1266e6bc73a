"""report: every variant with its verdict, the reason beside it, and nothing from the network."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages import report
from stages.shared import files, models
from tests.conftest import TINY_VARIANTS


def validation(variant: str, verdict: str = "passed", mean: float | None = 0.999, **more: Any) -> dict[str, Any]:
    row = {"check": "mean_cosine", "value": mean, "threshold": 0.99, "relation": ">=", "passed": verdict == "passed"}
    row["interval"] = [0.998, 0.9995]
    return {
        "variant": variant, "precision": "fp32", "verdict": verdict, "reason": None, "texts": 48,
        "vocabulary": "400 of 600", "worst": [{"text": "the <worst>", "cosine": 0.9}], "contexts": {}, "search": None,
        "checks": [] if verdict == "skipped" else [row], "files": {f"onnx/{variant}.onnx": variant}, **more,
    }  # fmt: skip


def speeds(ratio: float) -> dict[str, Any]:
    speed = {"texts_per_second": 100 * ratio, "ratio": ratio, "ratio_low": ratio - 0.1, "ratio_high": ratio + 0.1}
    return {"size_mb": 12.3, "load_seconds": 1.0, "error": None, "speed": {"short": speed, "long": speed}}


@pytest.fixture
def written(project: Callable[..., Path]) -> Path:
    """A report over constructed results: one failed, one skipped, two of the same bytes, and a second host."""
    root = project()
    results = {name: validation(name) for name in TINY_VARIANTS}
    results["onnx_O2"] = validation("onnx_O2", "failed", 0.5)
    results["openvino_qint8_quantized"] = validation("openvino_qint8_quantized", "skipped", reason="<no> | fusion")
    trial = {"setting": "own", "texts": 48, "min_cosine": 0.9, "recall_at_10": 0.9, "task_ratio": None}
    results["onnx_qint8_static"]["search"] = {
        "budget": {"mean_cosine": 0.99}, "chosen": "own", "in_float": ["/a"], "stopped": None,
        "trials": [
            {**trial, "in_float": [], "mean_cosine": 0.98, "holds": False, "estimated_speed": 2, "measured_speed": 1.9},
            {**trial, "in_float": ["/a"], "mean_cosine": 0.995, "holds": True, "estimated_speed": 1.6,
             "measured_speed": 1.5},
        ],
    }  # fmt: skip
    results["openvino"]["files"] = {"openvino/openvino_model.xml": "onnx"}
    for name, result in results.items():
        files.write_json(root / f"validation/tiny/{name}.json", result)
    facts = {"processor": "A <CPU>", "cores": 2, "memory_gb": 8, "instruction_sets": ["avx2"], "python": "3.11"}
    facts |= {"libraries": {"torch": "2"}}
    files.write_json(root / "host.json", {"host": "here", **facts})
    for host in ("here", "there"):
        measured = {name: speeds(1.0 if host == "here" else 9.0) for name in TINY_VARIANTS[:-1]}
        files.write_json(
            root / f"benchmarks/tiny/{host}.json",
            {
                "model": "tiny",
                "host": host,
                "batch_size": 8,
                "rounds": 3,
                "texts": {"short": 8, "long": 2},
                "variants": measured,
            },
        )
    report.main(root / "validation", root / "benchmarks", root / "host.json", root / "report", root / "metrics")
    return root


def test_rows(written: Path) -> None:
    rows = {row["variant"]: row for row in files.read_json(written / "report/report.json")["rows"]}
    assert list(rows) == TINY_VARIANTS
    assert rows["onnx_O2"]["verdict"] == "failed"
    assert rows["onnx_O2"]["reason"] == "mean_cosine 0.5, must be >= 0.99"
    assert rows["openvino_qint8_quantized"]["reason"] == "<no> | fusion"
    assert rows["openvino"]["same_bytes_as"] == "onnx"
    assert rows["onnx"]["short_speed_ratio"] == 1.0  # of this host, never of another


def test_metrics_are_flat_and_one_file_a_variant(written: Path) -> None:
    found = {path.stem for path in (written / "metrics/tiny").iterdir()}
    assert found == set(TINY_VARIANTS)
    values = files.read_json(written / "metrics/tiny/onnx.json")
    assert values["mean_cosine"] == 0.999
    assert all(isinstance(value, int | float | str) for value in values.values())


def test_csv(written: Path) -> None:
    with (written / "report/report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == TINY_VARIANTS
    assert rows[1]["long_texts_per_second"] == "100.0"


def test_pages_are_whole_and_ask_nothing_of_the_network(written: Path) -> None:
    page = (written / "report/index.html").read_text()
    for variant in TINY_VARIANTS:
        assert variant in page
        assert f"`{variant}`" in (written / "report/report.md").read_text()
    assert "&lt;no&gt;" in page
    assert "A &lt;CPU&gt;" in page
    assert "there" in page  # the other host stands in a table of its own
    assert not re.search(r"""(src|href)\s*=(?!"#)|@import|url\((?!#)|<script""", page)


def test_loading_lines_only_for_what_passed(written: Path) -> None:
    page = (written / "report/report.md").read_text()
    assert 'model_kwargs={"file_name": "model_qint8_avx512.onnx"}' in page
    assert 'model_kwargs={"file_name": "model_O2.onnx"}' not in page


def test_the_lines_that_are_shown_load_the_variant(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.shared.rendering import loading_lines

    for variant in ("onnx_O2", "openvino", "torch"):
        scope: dict[str, Any] = {}
        exec(loading_lines(str(tiny / variant), variant), scope)
        assert scope["model"].encode(["a text"]).shape == (1, 32)
        if variant != "torch":
            assert models.file_name(variant).split(".")[0] in loading_lines("x", variant)


def test_a_search_for_a_budget_is_shown_with_a_chart_that_loads_nothing(written: Path) -> None:
    page = (written / "report/index.html").read_text()
    assert "2 graphs built and measured; 1 products stay in floating point" in page
    chart = page[page.index("<svg") : page.index("</svg>")]
    assert "mean cosine to torch" in chart
    assert not re.search(r"(href|src)=.http", chart)
