"""What other jobs take of the processor is measured beside the benchmark, and beyond a limit nothing is recommended."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foundry.benchmarking import interleaving, measuring, other_load, speeds
from foundry.benchmarking.measuring import Group, Measured, Way
from foundry.benchmarking.other_load import Counters, Taken
from foundry.benchmarking.settings import Effort
from foundry.reporting import advice, recommendation
from tests.support.results import benchmark, load, record, validation

EFFORT = Effort(minutes=1.0, rounds=3, interval=0.02, batch_sizes=[8], seconds=0.1, busy_share=0.1)
START = Counters(wall=10.0, cores=2, own=5.0, busy=100.0, stolen=3.0, throttled=1.0)
QUIET = Taken(available=2.0, own=1.5, others=0.02, stolen=0.0, throttled=0.0)
DISTURBED = Taken(available=2.0, own=1.0, others=0.6, stolen=0.2, throttled=0.0)
VALIDATIONS: Any = {name: validation(name, mean=1.0) for name in ("torch", "onnx")}


# --- What the counters say -------------------------------------------------------------------------------


@pytest.fixture
def spinning() -> Iterator[None]:
    """A process for each core that does nothing but compute, started when the libraries are imported."""
    import sentence_transformers  # noqa: F401

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    yield
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("spinning")
def test_processes_that_compute_beside_a_measurement_are_seen_and_nothing_is_recommended(
    checkpoint: Path,
) -> None:
    groups = {"short": Group(["A short text."] * 64, [8], 64, 64)}

    def measure(variant: str, give_up: float) -> Measured:
        way = Way(checkpoint, variant, {}, "sentence_transformers", {})
        return measuring.measure(way, groups, give_up, [])

    result = interleaving.run_rounds(["torch"], measure, EFFORT.model_copy(update={"minutes": 0.001}))
    seen = result.other_load(EFFORT.busy_share)
    assert seen is not None
    assert seen["busy"]
    assert seen["others"] > 0.2
    assert seen["own"] > 0
    assert len(seen["rounds"]) == 3
    measured: Any = benchmark("here", {"torch": record(1.0), "onnx": record(2.0)}) | {"other_load": seen}
    assert recommendation.by_speed(measured, VALIDATIONS, "latency", "short", 0.0)["variant"] is None


def test_a_machine_on_which_nothing_else_runs_is_not_busy() -> None:
    end = replace(START, wall=12.0, own=8.5, busy=103.6)
    taken = other_load.between(START, end)
    assert taken is not None
    assert taken.share == pytest.approx(0.025)
    seen = other_load.summarize([taken] * 3, [], EFFORT.busy_share)
    assert seen is not None
    assert not seen["busy"]
    assert other_load.describe(seen) == "During the benchmark other jobs took 2% of the cores' time."


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"busy": 104.5}, "other jobs took 25%"),
        ({"busy": 103.5, "stolen": 4.0}, "other virtual machines 25%"),
        ({"busy": 103.5, "throttled": 2.0}, "the container's CPU limit 25%"),
    ],
)
def test_whatever_takes_the_cores_counts(more: dict[str, float], words: str) -> None:
    taken = other_load.between(START, replace(START, **{"wall": 12.0, "own": 8.5, **more}))  # type: ignore[arg-type]
    assert taken is not None
    seen = other_load.summarize([taken], [], EFFORT.busy_share)
    assert seen is not None
    assert seen["busy"]
    assert words in other_load.describe(seen)
    assert other_load.describe(seen).startswith("Measured on a busy machine: not to be relied on.")


def test_counters_that_do_not_hold_this_process_itself_say_nothing() -> None:
    assert other_load.between(START, replace(START, wall=12.0, own=8.5)) is None
    assert other_load.between(START, replace(START, wall=12.0, own=8.5, busy=101.0)) is None
    assert other_load.summarize([None, None, None], [], 0.1) is None
    assert other_load.describe(None).endswith("is not known.")


@pytest.mark.parametrize(
    ("group", "folder", "line"),
    [
        ("0::/a/job", "a/job", "throttled_usec 2500000"),
        ("0::/", "", "throttled_usec 2500000"),
        ("4:cpu,cpuacct:/as/the/host/sees/it", "cpu,cpuacct", "throttled_time 2500000000"),
    ],
)
def test_the_limit_of_a_container_is_read(tmp_path: Path, group: str, folder: str, line: str) -> None:
    (tmp_path / "cgroup").write_text(f"2:cpuset:/\n{group}\n")
    (tmp_path / "mount" / folder).mkdir(parents=True)
    (tmp_path / "mount" / folder / "cpu.stat").write_text(f"nr_periods 7\n{line}\n")
    assert other_load._throttled_seconds(tmp_path / "cgroup", tmp_path / "mount") == 2.5
    assert other_load._throttled_seconds(tmp_path / "none", tmp_path / "mount") == 0.0


# --- Rounds ----------------------------------------------------------------------------------------------


class Disturbed:
    """A clock, and a variant that seems ten times as fast, or as slow, as torch in the disturbed rounds."""

    def __init__(self, disturbed: set[int], speed: float = 1.5, wrong: float = 15.0) -> None:
        self.disturbed, self.speed, self.wrong, self.now, self.asked = disturbed, speed, wrong, 0.0, 0
        self.draw = random.Random(1)

    def measure(self, name: str, give_up: float) -> Measured:
        number = self.asked // 2
        self.asked += 1
        self.now += 1.0
        is_disturbed = number in self.disturbed
        ratio = 1.0 if name == "torch" else self.wrong if is_disturbed else self.speed
        rate = 100 * ratio * self.draw.lognormvariate(0, 0.001)
        taken = DISTURBED if is_disturbed else QUIET
        return Measured(1.0, 500.0, {"short": {"1": rate, "8": rate}}, {"short": [10.0]}, taken=taken)

    def rounds(self) -> interleaving.Rounds:
        return interleaving.run_rounds(["torch", "onnx"], self.measure, EFFORT, lambda: self.now)


def test_a_disturbed_round_is_made_up_for_by_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    result = Disturbed({0, 2}).rounds()
    assert result.stopped == "narrow enough"
    assert [len(values) for values in result.measured.values()] == [3, 3]
    assert max(value or 0 for value in result.series("onnx", "short", "8")) < 200
    seen = result.other_load(EFFORT.busy_share)
    assert seen is not None
    assert not seen["busy"]
    assert seen["left_out"] == [DISTURBED.share] * 2
    assert "2 disturbed rounds are left out (up to 40%)" in other_load.describe(seen)
    said = capsys.readouterr().out
    assert "round 1 is disturbed: other jobs took 30% of the cores' time, other virtual machines 10%" in said
    assert "round 2 is disturbed" not in said


def test_without_enough_quiet_rounds_all_count_and_the_machine_was_busy() -> None:
    result = Disturbed(set(range(2, 1000))).rounds()
    assert result.stopped == "time"
    assert len(result.measured["torch"]) > 20
    seen = result.other_load(EFFORT.busy_share)
    assert seen is not None
    assert seen["busy"]
    assert seen["left_out"] == []


def test_a_row_is_not_given_up_as_too_slow_by_a_disturbed_round() -> None:
    result = Disturbed({0}, wrong=0.1).rounds()
    assert result.slow == []
    assert len(result.measured["onnx"]) == 3
    assert Disturbed({0}, speed=0.1).rounds().slow == ["onnx"]


# --- What is said and recommended ------------------------------------------------------------------------


@pytest.fixture
def measured() -> Callable[[Any], Any]:
    def make(seen: Any) -> Any:
        return benchmark("here", {"torch": record(1.0), "onnx": record(2.0)}) | {"other_load": seen}

    return make


def test_on_a_busy_machine_nothing_is_recommended_by_speed(measured: Callable[[Any], Any]) -> None:
    answers = recommendation.recommend(measured(load(0.4)), VALIDATIONS, [0.0])
    by_speed = [answer for answer in answers if answer["use"] != "size"]
    assert len(by_speed) == 4
    for answer in by_speed:
        assert (answer["variant"], answer["to_torch"], answer["same_within_noise"]) == (None, None, [])
        assert answer["withheld"] == "measured on a busy machine: not to be relied on"
        assert advice.advise(answer, "x", {}) == [
            "Nothing is recommended for this use. Stop what else runs here, and measure again."
        ]
    [by_size] = [answer for answer in answers if answer["use"] == "size"]
    assert by_size["variant"] is not None
    assert by_size["withheld"] is None
    assert "not to be relied on. During the benchmark other jobs took 40%" in speeds.summary(measured(load(0.4)))[-1]


@pytest.mark.parametrize("seen", [None, load(0.02)])
def test_on_a_quiet_one_or_where_it_is_not_known_something_is(measured: Callable[[Any], Any], seen: Any) -> None:
    answer = recommendation.by_speed(measured(seen), VALIDATIONS, "throughput", "short", 0.0)
    assert answer["variant"] == "onnx"
    assert answer["withheld"] is None


def test_a_file_from_before_it_was_measured_is_read(tmp_path: Path, measured: Callable[[Any], Any]) -> None:
    from foundry.base import files

    content = measured(None)
    del content["other_load"]
    files.write_json(tmp_path / "here.json", content)
    [earlier] = speeds.read([tmp_path / "here.json"]).values()
    assert speeds.summary(earlier)[-1] == "What other jobs took of the processor during the benchmark is not known."
