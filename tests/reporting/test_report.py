"""report: every variant with its verdict, the reason beside it, and nothing from the network."""

import contextlib
import csv
import itertools
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from foundry.base import files
from foundry.benchmarking import speeds
from foundry.publishing import card
from foundry.reporting import rendering
from foundry.reporting.charts.closeness import _label_places
from foundry.reporting.rows import build_rows, merge_same_bytes
from foundry.variants import naming
from tests.support.projects import TINY_VARIANTS
from tests.support.results import benchmark, load, make_report, record, validation
from tests.support.sessions import built_once

SPEED_COLUMNS = (
    "texts_per_second", "tokens_per_second", "batch_size", "speed_ratio", "speed_ratio_low", "speed_ratio_high",
    "latency_ratio", "latency_ratio_low", "latency_ratio_high", "latency_ms", "latency_p95_ms", "latency_p99_ms",
    "tokenization_share", "peak_share",
)  # fmt: skip


@pytest.fixture(scope="session")
def written(tiny_params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report over constructed results: one failed, one skipped, two of the same bytes, a setting, a second host."""

    def write(root: Path) -> None:
        (root / "params.yaml").write_text(yaml.safe_dump(tiny_params))
        with contextlib.chdir(root):
            write_constructed(root)

    return built_once(tmp_path_factory, "constructed-report", write)


def write_constructed(root: Path) -> None:
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
    facts |= {"libraries": {"torch": "2"}, "gpus": [], "threads": {}}
    files.write_json(root / "host.json", {"host": "here", **facts})
    for host in ("here", "there"):
        speed = {name: 1.0 if name == "torch" or host == "here" else 9.0 for name in TINY_VARIANTS[:-1]}
        measured = {name: record(value) for name, value in speed.items()}
        measured["onnx"] = record(2.0)
        measured["openvino"] = record(2.0, same_bytes_as="onnx")
        measured["torch_bf16"] = record(
            1.5, setting_of="torch", computes_in="bf16", closeness={"mean_cosine": 0.99, "min_cosine": 0.98}
        )
        quiet = {"other_load": load(0.02)}
        files.write_json(root / f"benchmarks/tiny/{host}.json", benchmark(host, measured) | quiet)
    files.write_json(root / "benchmarks/tiny/of-an-earlier-version.json", {"host": "x", "batch_size": 8})
    make_report(root)


def test_rows(written: Path) -> None:
    rows = {row["variant"]: row for row in files.read_json(written / "report/report.json")["rows"]}
    assert list(rows) == [*TINY_VARIANTS, "torch_bf16"]
    assert rows["onnx_O2"]["verdict"] == "failed"
    assert rows["onnx_O2"]["reason"] == "mean_cosine 0.5, must be >= 0.99"
    assert rows["openvino_qint8_quantized"]["reason"] == "<no> | fusion"
    assert rows["openvino"]["same_bytes_as"] == "onnx"
    assert rows["onnx_qint8_avx512"]["speeds"]["short"]["speed_ratio"]["median"] == 1.0  # of this host, no other
    assert rows["onnx"]["speeds"]["short"] == {
        "texts_per_second": 200.0, "tokens_per_second": 2000.0, "batch_size": 8,
        "speed_ratio": {"median": 2.0, "low": 2.0, "high": 2.0},
        "latency_ratio": {"median": 2.0, "low": 2.0, "high": 2.0},
        "latency_ms": 10.0, "latency_p95_ms": 12.5, "latency_p99_ms": 15.0,
        "tokenization_share": 0.2,  # of the 5 ms that a text takes
        "peak_share": 0.5,  # 100 of 200 billion operations a second
    }  # fmt: skip
    assert rows["torch_bf16"]["verdict"] == "setting"
    assert rows["torch_bf16"]["checks"] == {"mean_cosine": 0.99, "min_cosine": 0.98}
    assert "not validated" in rows["torch_bf16"]["reason"]


def test_metrics_are_flat_and_one_file_a_variant(written: Path) -> None:
    written_names = {path.stem for path in (written / "metrics/tiny").iterdir()}
    assert written_names == set(TINY_VARIANTS)
    values = files.read_json(written / "metrics/tiny/onnx.json")
    assert values["mean_cosine"] == 0.999
    assert all(isinstance(value, int | float | str) for value in values.values())


def test_csv(written: Path) -> None:
    with (written / "report/report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == [*TINY_VARIANTS, "torch_bf16"]
    assert list(rows[0]) == [
        "model", "variant", "kind", "trust_remote_code", "precision", "verdict", "setting_of",
        "inference_precision", "runner", "device", "verdict_in_bf16", "verdict_in_f16", "reason", "fails_on",
        "warning", "uncovered_scripts", "same_bytes_as", "exporter", "fused", "loss", "lost_in", "mean_cosine",
        "mean_centred_cosine", "task_ratio", "size_mb", "memory_mb", "load_seconds", "speed_note",
        "other_load_share", "on_busy_machine", "requests_p50_ms", "requests_p95_ms",
        *(f"{group}_{name}" for group in ("short", "long") for name in SPEED_COLUMNS), "min_cosine",
    ]  # fmt: skip
    assert rows[1]["long_texts_per_second"] == "200.0"
    assert (rows[1]["long_speed_ratio"], rows[1]["long_speed_ratio_low"]) == ("2.0", "2.0")


def test_files_of_the_same_bytes_are_one_result_with_several_names(written: Path) -> None:
    page = (written / "report/report.md").read_text()
    assert "the same bytes: openvino" in page
    assert "| `openvino` | passed" not in page
    with (written / "report/plots.csv").open(newline="") as file:
        plotted = {row["variant"]: row for row in csv.DictReader(file)}
    assert plotted.keys() == {f"tiny/{name}" for name in TINY_VARIANTS[:-1] if name != "openvino"}
    assert plotted["tiny/onnx"]["speed_ratio"] == "2.0"


def test_what_is_recommended_stands_in_every_form(written: Path) -> None:
    answers = files.read_json(written / "report/recommendation.json")["models"]["tiny"]
    assert {answer["use"] for answer in answers} == {"latency", "throughput", "size"}
    assert {answer["variant"] for answer in answers if answer["use"] != "size" and answer["budget"]} == {"onnx"}
    page = (written / "report/report.md").read_text()
    assert "```mermaid\nflowchart LR" in page
    assert "What to deploy" in (written / "report/index.html").read_text()


def test_a_busy_machine_is_said_near_the_top_of_every_form_and_nothing_is_recommended_by_speed(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = "During the benchmark other jobs took 2% of the cores&#39; time."
    assert quiet in (written / "report/index.html").read_text()
    root = shutil.copytree(written, tmp_path / "busy")
    monkeypatch.chdir(root)
    path = root / "benchmarks/tiny/here.json"
    files.write_json(path, files.read_json(path) | {"other_load": load(0.4)})
    make_report(root)
    words = "Measured on a busy machine: not to be relied on. During the benchmark other jobs took 40%"
    assert words in capsys.readouterr().out
    for name in ("index.html", "report.md"):
        page = (root / "report" / name).read_text()
        assert page.index(words) < page.index("What to deploy") < page.index("Every variant")
    answers = files.read_json(root / "report/recommendation.json")["models"]["tiny"]
    assert {answer["variant"] for answer in answers if answer["use"] != "size"} == {None}
    rows = files.read_json(root / "report/report.json")["rows"]
    assert all((row["other_load_share"], row["on_busy_machine"]) == (0.4, True) for row in rows)
    shown = rendering.render(
        "card.md.j2", rows=rows[:1], groups=["short"], host=files.read_json(root / "host.json"), where="org/tiny",
        charts=[], answers=answers, leads=[], source={"path": "x"}, readers=[], **card.FORMATS,
    )  # fmt: skip
    assert "**The speeds were measured on a busy machine: not to be relied on.**" in shown


def test_charts_are_files_too_that_a_page_may_show(written: Path) -> None:
    page = (written / "report/report.md").read_text()
    for link in re.findall(r"\]\((charts/[^)]+)\)", page):
        assert "<svg" in (written / "report" / link).read_text()
    assert len(list((written / "report/charts/tiny").glob("*.svg"))) == 7


def test_charts_leave_matplotlib_as_it_was() -> None:
    import matplotlib

    from foundry.reporting import charts

    before = dict(matplotlib.rcParams)
    measured: Any = benchmark("here", {"torch": record(1.0), "onnx": record(2.0)})
    validations: Any = {name: validation(name) for name in ("torch", "onnx")}
    table = merge_same_bytes(build_rows("tiny", validations, measured))
    assert "<svg" in charts.svg(charts.speedup(table, ["short", "long"]))
    assert charts.png(charts.closeness(table, "short")).startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before


def test_the_pareto_front() -> None:
    from foundry.reporting.charts import pareto_front

    points = [(0.0, 1.0), (0.0, 1.2), (0.01, 1.1), (0.01, 1.5), (0.02, 1.5), (0.03, 2.0)]
    assert pareto_front(points) == [1, 3, 5]
    assert pareto_front([]) == []


def test_pages_are_whole_and_ask_nothing_of_the_network(written: Path) -> None:
    page = (written / "report/index.html").read_text()
    for variant in TINY_VARIANTS:
        assert variant in page
        assert f"`{variant}`" in (written / "report/report.md").read_text()
    assert "&lt;no&gt;" in page
    assert "A &lt;CPU&gt;" in page
    assert "there" in page  # the other host stands in a table of its own
    assert "of-an-earlier-version" not in page
    assert not re.search(r"""(src|href)\s*=(?!"#)|@import|url\((?!#)|<script""", page)


def browser() -> str | None:
    """A Chromium of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.mark.skipif(browser() is None and not os.environ.get("CI"), reason="needs Chromium: `apt-get install chromium`")
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_a_real_browser_draws_the_page_and_asks_nothing_of_the_network(written: Path, width: int, height: int) -> None:
    from playwright.sync_api import sync_playwright

    requests: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": width, "height": height})
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((written / "report/index.html").as_uri())
        boxes = {
            figure.get_attribute("id"): figure.query_selector("svg").bounding_box()
            for figure in page.query_selector_all(".charts figure")
        }
        drawn = page.evaluate(
            "Array.from(document.querySelectorAll('.charts svg'), svg => svg.querySelectorAll('path').length)"
        )
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        checks = page.locator("details", has=page.locator("summary", has_text="onnx_qint8_static passed"))
        hidden = not checks.get_by_text("the <worst>").is_visible()
        checks.locator("summary").click()
        worst = hidden and checks.get_by_text("the <worst>").is_visible()  # a click away
        opened.close()
    assert set(boxes) == {
        f"tiny-{name}" for name in ("speed", "closeness", "quality", "latency_ratio", "latency", "footprint", "ways")
    }
    assert all(box["width"] > 300 and box["height"] > 100 for box in boxes.values())
    assert all(count > 10 for count in drawn)
    assert overflow <= 0  # nothing is wider than the screen but what scrolls by itself
    assert worst
    assert complaints == []
    assert [url for url in requests if not url.startswith("file:")] == []
    assert len(requests) == 1


def test_no_share_of_the_peak_where_the_processor_chooses_the_arithmetic() -> None:
    measured = benchmark("here", {"torch": record(1.0), "openvino_int8_weights": record(2.0)})
    assert speeds.peak_share(measured, "openvino_int8_weights", "short", "fp32") == 0.5
    assert speeds.peak_share(measured, "openvino_int8_weights", "short", "int8_weights") is None


def test_loading_lines_only_for_what_passed(written: Path) -> None:
    page = (written / "report/report.md").read_text()
    assert 'model_kwargs={"file_name": "model_qint8_avx512.onnx"}' in page
    assert 'model_kwargs={"file_name": "model_O2.onnx"}' not in page


@pytest.mark.usefixtures("graphs_load")
def test_the_lines_that_are_shown_load_the_variant(tiny: Path) -> None:
    from foundry.reporting.rendering import loading_lines, plain_lines

    facts = files.read_json(tiny.parent.parent / "reference/tiny/reference.json")["facts"]
    for variant in ("onnx_O2", "openvino", "torch"):
        scope: dict[str, Any] = {}
        exec(loading_lines(str(tiny / variant), variant, facts), scope)
        embeddings = scope["model"].encode(["A first text.", "And a second one."])
        assert embeddings.shape == (2, 32)
        plain = plain_lines(str(tiny / variant), variant, facts, "sentence_embedding")
        if variant == "torch":
            assert plain is None
        else:
            assert naming.file_name(variant).split(".")[0] in loading_lines("x", variant, facts)
            exec(plain, scope)  # without Sentence Transformers, the same embedding
            assert abs(scope["embeddings"] - embeddings).max() < 1e-5


@pytest.mark.usefixtures("graphs_load")
def test_the_lines_of_what_fails_on_some_processors_say_so_and_load_it_with_exact_sums(tiny: Path) -> None:
    from foundry.reporting.rendering import loading_lines, plain_lines

    facts = files.read_json(tiny.parent.parent / "reference/tiny/reference.json")["facts"]
    variant, fails_on = "onnx_qint8_avx512", {"avx2": "mean_cosine 0.018, must be >= 0.98"}
    scope: dict[str, Any] = {}
    where = str(tiny / variant)
    for shown in (
        loading_lines(where, variant, facts, fails_on=fails_on),
        plain_lines(where, variant, facts, "sentence_embedding", fails_on=fails_on),
    ):
        assert shown is not None
        assert "mean_cosine 0.018" in shown
        exec(shown, scope)
        assert scope["options"].get_session_config_entry("session.x64quantprecision") == "1"
        session = scope["session"] if "session" in scope else scope["model"][0].auto_model.session
        assert session.get_session_options().get_session_config_entry("session.x64quantprecision") == "1"
    assert "# Not for processors x86 without VNNI" in loading_lines("x", "openvino_qint8", facts, fails_on=fails_on)


def test_plain_lines_are_not_shown_for_what_they_would_not_do() -> None:
    from foundry.reporting.rendering import plain_lines

    def lines(output: str | None = "sentence_embedding", variant: str = "onnx", **more: Any) -> str | None:
        facts = {"max_seq_length": None, "prompts": {}, "trust_remote_code": False}
        return plain_lines("x", variant, facts | more, output)

    assert "truncation" not in str(lines())
    assert "truncation=True, max_length=8" in str(lines(max_seq_length=8))
    assert lines(None) is None
    assert lines("scores") is None
    assert lines(variant="torch") is None
    assert lines(prompts={"query": "query: "}) is None
    assert lines(trust_remote_code=True) is None


def test_a_search_for_a_budget_is_shown_with_a_chart_that_loads_nothing(written: Path) -> None:
    page = (written / "report/index.html").read_text()
    assert "2 graphs built and measured; 1 products stay in floating point" in page
    after = page[page.index("2 graphs built") :]
    chart = after[after.index("<svg") : after.index("</svg>")]
    assert "Tried: grey misses the budget" in chart
    assert not re.search(r"(href|src)=.http", chart)


def test_no_name_in_the_chart_of_closeness_stands_below_all_points() -> None:
    points = [(1e-7, 1.0 + 0.01 * number) for number in range(14)] + [(1e-3, 4.0), (1e-2, 1.2)]
    places = _label_places(points)
    assert sorted(places) == list(range(len(points)))
    assert min(y for _, y in places.values()) >= 1.0
    heights = sorted(places[number][1] for number in range(14))
    assert min(after - before for before, after in itertools.pairwise(heights)) > 0.1  # none on another
