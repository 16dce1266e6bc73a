"""How rows were run, in recommendation and report: settings of foundry_runtime, scaling, requests at a load."""

from pathlib import Path
from typing import Any

import pytest
from foundry_runtime.run_settings import usual

from foundry.base import files
from foundry.benchmarking import other_load, speeds
from foundry.publishing import recommended, report_rows
from foundry.publishing.published_ways import ways
from foundry.reporting import advice, charts, recommendation, rows, running, sections, tables
from foundry.reporting.flowchart import flowchart
from foundry.reporting.rendering import render, short
from tests.support.results import benchmark, load, record, validation

MANY = {"threads": 2, "streams": 1, "batch_tokens": 1024}
RULE = {"threads": 2, "streams": 2, "batch_tokens": 512}
SEARCH = {
    "cores": 2,
    "rule": {"throughput": RULE, "latency": {"single_threads": 2}},
    "chosen": {
        "throughput": {"short": MANY, "long": RULE},
        "latency": {"short": {"single_threads": 1}, "long": {"single_threads": 2}},
    },
    "trials": [
        {"use": "throughput", "group": "short", "settings": RULE, "texts_per_second": [100.0, 110.0, 90.0]},
        {"use": "throughput", "group": "short", "settings": MANY, "texts_per_second": [None, 132.0, 108.0]},
        {"use": "throughput", "group": "long", "settings": RULE, "texts_per_second": [50.0]},
        {"use": "throughput", "group": "long", "settings": {**RULE, "threads": 1, "streams": 1},
         "texts_per_second": [20.0]},
    ],
}  # fmt: skip


def requests(p95_ms: float, single_threads: int | None = None, **more: Any) -> dict[str, Any]:
    series = [p95_ms * factor for factor in (0.99, 1.0, 1.01, 1.0)]
    return {
        "callers": 2, "single_threads": single_threads, "p50_ms": [value / 4 for value in series], "p95_ms": series,
        "samples": 400, "unanswered": 0, "tried": [], **more,
    }  # fmt: skip


@pytest.fixture
def measured() -> tuple[Any, Any]:
    """A file by foundry_runtime with searched settings, which answers requests soonest; one that lets some wait."""
    trial = {"refuses": None, "error": None, "tokenizer": {}}
    validations = {
        "torch": validation("torch", mean=1.0),
        "onnx": validation("onnx", mean=1.0, runtime=trial),
        "openvino": validation("openvino", mean=1.0),
    }
    by_runtime = record(
        4.0, setting_of="onnx", computes_in="f32", runner="foundry_runtime", search=SEARCH, requests=requests(20, 1)
    )
    for group in ("short", "long"):
        rates = by_runtime["texts_per_second"][group]
        by_runtime["texts_per_second"][group] = {"1": rates["1"], "by tokens": rates["8"]}
    variants = {
        "torch": record(1.0, requests=requests(80)),
        "onnx": record(1.5, requests=requests(60)),
        "openvino": record(9.0, requests=requests(10, unanswered=3), note="too few"),
        "runtime_onnx": by_runtime,
    }
    arriving = {"per_second": 35.0, "torch_share": 0.5, "groups": ["short", "long"], "seconds": 2.0,
                "other_load": None}  # fmt: skip
    return benchmark("here", variants) | {"requests": arriving}, validations


def lines(answer: Any) -> list[str]:
    facts = {"kind": "SentenceTransformer", "trust_remote_code": False}
    return advice.lines_to_run(answer, "org/tiny", answer["file"], facts).splitlines()


@pytest.mark.parametrize(
    ("use", "texts", "arguments"),
    [
        ("throughput", "short", "threads=2, streams=1, batch_tokens=1024"),
        ("throughput", "long", "threads=2, streams=2, batch_tokens=512"),
        ("latency", "short", "single_threads=1"),
        ("latency", "long", "single_threads=2"),
    ],
)
def test_the_lines_run_exactly_what_was_measured(
    measured: tuple[Any, Any], use: Any, texts: str, arguments: str
) -> None:
    answer = recommendation.by_speed(*measured, use, texts, 0.0)
    assert lines(answer)[-1] == f'model = Embedder("org/tiny", "onnx", {arguments})'
    # As they stand, but for the folder: the arguments are those that the class takes.
    scope: dict[str, Any] = {"Embedder": lambda *_, **options: options}
    exec(lines(answer)[-1], scope)
    assert scope["model"] == answer["settings"]


def test_what_answers_requests_soonest_is_recommended(measured: tuple[Any, Any]) -> None:
    answer = recommendation.by_requests(*measured, 0.0)
    assert (answer["use"], answer["variant"], answer["runner_up"]) == ("requests", "onnx by foundry_runtime", "onnx")
    assert (answer["value"], answer["unit"], answer["requests_per_second"]) == (20.0, "ms", 35.0)
    assert answer["to_torch"] == {"median": 4.0, "low": 4.0, "high": 4.0}
    assert lines(answer)[-2:] == [
        "# 2 threads call it, for one text at a time.",
        'model = Embedder("org/tiny", "onnx", single_threads=1)',
    ]
    said = advice.advise(answer, "org/tiny", measured[1]["torch"]["facts"])[0]
    assert "95% of the requests are answered within 20 ms at 35 requests/s; 4.00× as fast as torch" in said


def test_what_lets_requests_wait_is_not_recommended(measured: tuple[Any, Any]) -> None:
    speeds, validations = measured
    speeds["variants"]["openvino"]["note"] = None
    assert recommendation.by_requests(speeds, validations, 0.0)["variant"] == "onnx by foundry_runtime"
    speeds["variants"]["openvino"]["requests"]["unanswered"] = 0
    answer = recommendation.by_requests(speeds, validations, 0.0)
    assert (answer["variant"], answer["callers"]) == ("openvino", 2)
    assert lines(answer)[-2] == "# 2 threads call it, for one text at a time."
    speeds["other_load"] = load(0.4)
    assert recommendation.by_requests(speeds, validations, 0.0)["withheld"]


def test_of_too_few_rounds_of_requests_nothing_is_recommended(measured: tuple[Any, Any]) -> None:
    speeds, validations = measured
    for row in speeds["variants"].values():
        if row["requests"] is not None:
            row["requests"]["p95_ms"] = [*row["requests"]["p95_ms"][:2], None]
    answer = recommendation.by_requests(speeds, validations, 0.0)
    assert (answer["variant"], answer["withheld"]) == (None, "requests were measured in 2 of at least 3 rounds")
    said = advice.advise(answer, "org/tiny", validations["torch"]["facts"])
    assert said == ["Nothing is recommended: requests were measured in 2 of at least 3 rounds."]
    assert recommendation.by_speed(speeds, validations, "latency", "short", 0.0)["variant"]


def test_what_was_outrun_in_the_first_round_is_not_recommended(measured: tuple[Any, Any]) -> None:
    benchmarked, validations = measured
    outrun = benchmarked["variants"]["onnx"]["requests"]
    outrun["p50_ms"], outrun["p95_ms"] = [1.0], [10.0]  # of a round in which all were soon
    answer = recommendation.by_requests(benchmarked, validations, 0.0)
    assert (answer["variant"], answer["runner_up"]) == ("onnx by foundry_runtime", "torch")
    merged = rows.merge_same_bytes(rows.build_rows("tiny", validations, benchmarked))
    shown = {row["label"]: row["rounds"] for row in running.request_rows(benchmarked, merged)}
    assert (shown["onnx"], shown["torch"]) == (1, 4)


def test_of_requests_the_equals_are_named_and_the_nearest_to_torch_is_recommended(measured: tuple[Any, Any]) -> None:
    benchmarked, validations = measured
    for check in validations["onnx"]["checks"]:
        check["value"] = 0.998
    validations["openvino"] = validation("openvino", mean=0.999)
    equal = requests(20)
    equal["p95_ms"] = [value * factor for value, factor in zip(equal["p95_ms"], (1.1, 0.95, 1.05, 1.0), strict=True)]
    benchmarked["variants"]["openvino"] |= {"requests": equal, "note": None}
    answer = recommendation.by_requests(benchmarked, validations, 0.01)
    assert (answer["variant"], answer["same_within_noise"]) == ("openvino", ["onnx by foundry_runtime"])
    said = advice.advise(answer, "org/tiny", validations["torch"]["facts"])
    assert "No difference within noise: onnx by foundry_runtime." in said
    # One that is certainly later is no equal, however near to torch it is.
    equal["p95_ms"] = [1.3 * value for value in equal["p95_ms"]]
    answer = recommendation.by_requests(benchmarked, validations, 0.01)
    assert (answer["variant"], answer["same_within_noise"]) == ("onnx by foundry_runtime", [])


def test_nothing_is_recommended_for_requests_that_others_disturbed(measured: tuple[Any, Any], tmp_path: Path) -> None:
    benchmarked, validations = measured
    benchmarked["requests"]["other_load"] = load(0.4)
    assert recommendation.by_requests(benchmarked, validations, 0.0)["withheld"] == other_load.NOT_RELIABLE
    assert recommendation.load_of(benchmarked, for_requests=True) == load(0.4)  # which is then said
    assert recommendation.load_of(benchmarked, for_requests=False) == benchmarked["other_load"]
    assert recommendation.by_speed(benchmarked, validations, "latency", "short", 0.0)["variant"]
    del benchmarked["requests"]["other_load"]  # as in an earlier file
    files.write_json(tmp_path / "here.json", benchmarked)
    earlier = speeds.read([tmp_path / "here.json"])["here"]
    assert recommendation.by_requests(earlier, validations, 0.0)["variant"] == "onnx by foundry_runtime"
    assert recommendation.load_of(earlier, for_requests=True) == earlier["other_load"]


def test_requests_stand_in_every_recommendation_only_where_they_were_measured(measured: tuple[Any, Any]) -> None:
    speeds, validations = measured
    answers = recommendation.recommend(speeds, validations, [0.0])
    assert [answer["use"] for answer in answers].count("requests") == 1
    assert "requests at a load" in flowchart(answers)
    published = recommended.recommendations(answers, ["onnx", "torch"])
    row = next(row for row in published if row["use"] == "requests")
    assert (row["settings"], row["callers"], row["requests_per_second"]) == ({"single_threads": 1}, 2, 35.0)
    speeds["requests"] = None
    answers = recommendation.recommend(speeds, validations, [0.0])
    assert {answer["use"] for answer in answers} == {"latency", "throughput", "size"}


def test_what_was_measured_in_too_few_rounds_because_it_is_far_behind_is_no_equal(measured: tuple[Any, Any]) -> None:
    speeds, validations = measured
    far = record(1.2, settled=True)
    for sizes in far["texts_per_second"].values():
        for size, series in sizes.items():
            sizes[size] = series[:2]
    speeds["variants"]["openvino"] = far
    answer = recommendation.by_speed(speeds, validations, "throughput", "short", 0.0)
    assert answer["same_within_noise"] == []


def test_what_is_nearer_to_torch_and_as_fast_as_the_answer_is_the_answer() -> None:
    def row(*factors: float) -> dict[str, Any]:
        rates = [300.0 * factor for factor in factors]
        return record(3.0) | {"texts_per_second": {"short": {"1": rates, "8": rates}}}

    variants = {
        "torch": record(1.0),
        "onnx": row(1.0, 1.0, 1.0, 1.0, 1.0),
        "openvino": row(1.06, 1.0, 1.04, 0.99, 1.03),  # as fast as either of the two
        "openvino_fp16": row(*[1.035] * 5),  # certainly faster than onnx
    }
    measured = benchmark("here", variants)
    means = {"torch": 1.0, "onnx": 0.9995, "openvino": 0.9985, "openvino_fp16": 0.998}
    validations = {name: validation(name, mean=mean) for name, mean in means.items()}
    for name, mean in means.items():
        for check in validations[name]["checks"]:
            check["value"] = mean
    answer = recommendation.by_speed(measured, validations, "throughput", "short", 0.01)
    assert (answer["variant"], answer["same_within_noise"]) == ("onnx", ["openvino"])
    # What is certainly slower than the answer is none, however near to torch.
    variants["onnx"] = row(*[0.9] * 5)
    answer = recommendation.by_speed(measured, validations, "throughput", "short", 0.01)
    assert (answer["variant"], answer["same_within_noise"]) == ("openvino", ["openvino_fp16"])


# --- What is published, and the report -------------------------------------------------------------------


def test_the_record_carries_the_settings_with_the_machines_cores(measured: tuple[Any, Any]) -> None:
    table = rows.build_rows("tiny", measured[1], measured[0])
    settings = report_rows.run_settings(table, "tiny", "onnx")
    assert settings == {"f32": {"cores": 2, **SEARCH["chosen"]}}  # type: ignore[dict-item]
    entry = ways(measured[1]["onnx"], settings)["f32"]
    assert entry["settings"] == settings["f32"]
    assert entry["settings"] is not None
    assert usual(entry["settings"], "onnx") == {**RULE, "single_threads": 2}  # what foundry_runtime reads of it
    assert ways(measured[1]["openvino"], {})["f32"]["settings"] is None
    assert report_rows.run_settings(table, "tiny", "openvino") == {}
    busy = rows.build_rows("tiny", measured[1], measured[0] | {"other_load": load(0.4)})
    assert report_rows.run_settings(busy, "tiny", "onnx") == {}


def test_the_rows_hold_what_each_candidate_gave(measured: tuple[Any, Any]) -> None:
    table = {row["variant"]: row for row in rows.build_rows("tiny", measured[1], measured[0])}
    assert table["runtime_onnx"]["search"] == SEARCH
    flat = tables.flat(table["runtime_onnx"])
    assert (flat["requests_p50_ms"], flat["requests_p95_ms"]) == (5.0, 20.0)
    assert "search" not in flat
    merged = rows.merge_same_bytes([*table.values()])
    gains = {(row["use"], row["group"]): row for row in running.setting_rows(merged)}
    assert gains["throughput", "short"]["to_rule"] == pytest.approx(1.2)
    assert gains["throughput", "short"]["chosen"] == "1 stream, 2 threads in all, 1,024 tokens a batch"
    assert gains["throughput", "long"]["to_rule"] is None
    assert running.scaling(merged, "long") == {"onnx": {1: 20.0, 2: 50.0}}
    assert running.scaling(merged, "short") == {}
    assert [row["label"] for row in running.request_rows(measured[0], merged)] == [
        "openvino", "onnx by foundry_runtime", "onnx", "torch",
    ]  # fmt: skip


def test_the_picture_shows_the_fastest_ways_and_torch(measured: tuple[Any, Any]) -> None:
    merged = rows.merge_same_bytes(rows.build_rows("tiny", measured[1], measured[0]))
    assert speeds.usual_group(["short", "medium", "long"]) == "medium"
    assert speeds.usual_group(["short", "long"]) == "long"
    shown = [row["variant"] for row in charts.fastest_ways(merged, "long")]
    assert shown == ["openvino", "runtime_onnx", "onnx", "torch"]
    picture = charts.svg(charts.ways_to_run(merged, "long"))
    for text in ("2 streams, 512 tokens a batch", "foundry_runtime", "4.0×", "400 texts/s", "% of the peak"):
        assert text in picture
    assert "as many times as cores" in charts.svg(charts.scaling(merged, "long"))


def test_every_form_of_the_report_shows_it(measured: tuple[Any, Any], tmp_path: Path) -> None:
    files.write_json(tmp_path / "tiny/here.json", measured[0])
    section = sections.build_section("tiny", measured[1], [0.0], tmp_path, "here")
    assert {"ways", "scaling"} <= section["charts"].keys()
    answers = render("answers.md.j2", answers=section["answers"], budget_label=str, ratio_text=str)
    assert "| requests |" in answers
    assert "(1 thread; callers: 2)" in answers
    assert "20 ms at 35 requests/s" in answers


@pytest.mark.parametrize(("value", "shown"), [(2.0444, "2.04"), (113.2, "113"), (1402.7, "1403"), (None, "")])
def test_a_number_has_three_digits_or_all_before_the_point(value: float | None, shown: str) -> None:
    assert short(value) == shown
