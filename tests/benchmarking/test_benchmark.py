"""benchmark: what the statistics say of timings with known answers, and what a child that dies leaves behind."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from foundry_runtime import machine
from pydantic import ValidationError

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.benchmarking import devices, interleaving, machine_profile, measuring, planning, speeds
from foundry.benchmarking.fork_server import ForkServer, ForkServers, MeasurementFailed
from foundry.benchmarking.measuring import Measured
from foundry.benchmarking.other_load import Taken
from foundry.benchmarking.settings import Effort, Setting
from foundry.benchmarking.timings import half_width, ratio, same_speed
from foundry.loading import precisions
from foundry.variants import variant_folder
from stages import benchmark, host
from tests.support.projects import TINY_VARIANTS
from tests.support.stages import settings_file

EFFORT = Effort(minutes=1.0, rounds=3, interval=0.02, batch_sizes=[8], seconds=0.1)


# --- Statistics ------------------------------------------------------------------------------------------


def test_drift_hits_all_alike() -> None:
    torch = [100.0, 50.0, 25.0, 100.0, 12.5]  # the machine slows down and recovers
    value = ratio([2 * speed for speed in torch], torch)
    assert value == {"median": 2.0, "low": 2.0, "high": 2.0}


def test_an_outlier_does_not_move_the_median() -> None:
    value = ratio([20.0, 20.0, 0.5, 20.0, 20.0, 20.0, 20.0], [10.0] * 7)
    assert value is not None
    assert (value["median"], value["high"]) == (2.0, 2.0)
    assert value["low"] is not None
    assert 1.9 < value["low"] <= 2.0


def test_the_interval_holds_the_truth_and_narrows_with_the_rounds() -> None:
    draw = random.Random(7)
    inside, widths = 0, {5: [], 40: []}  # type: ignore[var-annotated]
    for rounds in widths:
        for _ in range(100):
            value = ratio([1.5 * draw.lognormvariate(0, 0.1) for _ in range(rounds)], [1.0] * rounds)
            assert value is not None
            widths[rounds].append(half_width(value))
            inside += (value["low"] or 0) <= 1.5 <= (value["high"] or 0)
    assert inside >= 175  # of 200, for a 95% interval
    assert sum(widths[40]) < 0.6 * sum(widths[5])


def test_a_round_without_one_of_both_does_not_count() -> None:
    assert ratio([2.0, None, 2.0, 9.0], [1.0, 1.0, 1.0, None]) == {"median": 2.0, "low": None, "high": None}
    assert ratio([None], [1.0]) is None
    assert ratio([], [1.0]) is None


def test_two_rounds_promise_no_interval() -> None:
    value = ratio([2.0, 2.0], [1.0, 1.0])
    assert value == {"median": 2.0, "low": None, "high": None}
    assert half_width(value) == float("inf")


@pytest.mark.parametrize(
    ("median", "low", "high", "same"),
    [(1.2, 1.1, 1.3, False), (1.2, 0.99, 1.4, True), (1.02, 1.01, 1.03, True), (0.8, 0.7, 0.9, False)],
)
def test_ties(median: float, low: float, high: float, same: bool) -> None:
    assert same_speed({"median": median, "low": low, "high": high}) is same


# --- Rounds ----------------------------------------------------------------------------------------------


class Machine:
    """A clock, and variants of known speed on it, with noise that hits a whole round or a single measurement."""

    def __init__(self, speed: dict[str, float], drift: float = 0.0, noise: float = 0.0) -> None:
        self.speed, self.now, self.draw = speed, 0.0, random.Random(1)
        self.drift, self.noise, self.asked = drift, noise, []  # type: ignore[var-annotated]
        self.seconds = 1.0

    def clock(self) -> float:
        return self.now

    def measure(self, name: str, give_up: float) -> Measured:
        self.asked.append(name)
        self.now += self.seconds / self.speed[name]
        slowed = 1 + self.drift * ((len(self.asked) - 1) // len(self.speed))
        rate = 100 * self.speed[name] / slowed * self.draw.lognormvariate(0, self.noise)
        return Measured(1.0, 500.0, {"short": {"1": rate, "8": 2 * rate}}, {"short": [10.0]})


def test_the_rounds_end_when_the_intervals_are_narrow() -> None:
    machine = Machine({"torch": 1.0, "onnx": 1.5}, noise=0.001)
    result = interleaving.run_rounds(["torch", "onnx"], machine.measure, EFFORT, machine.clock)
    assert (result.stopped, len(result.measured["torch"])) == ("narrow enough", 3)
    assert result.widest is not None
    assert result.widest <= 0.02


def test_or_when_the_time_is_used_up() -> None:
    machine = Machine({"torch": 1.0, "onnx": 1.5}, noise=0.5)
    result = interleaving.run_rounds(["torch", "onnx"], machine.measure, EFFORT, machine.clock)
    assert result.stopped == "time"
    assert 50 < machine.now <= 60 + 2


def test_every_round_measures_torch_first_and_the_others_in_another_order() -> None:
    names = ["torch", "a", "b", "c"]
    machine = Machine(dict.fromkeys(names, 1.0), noise=0.03)
    interleaving.run_rounds(names, machine.measure, EFFORT, machine.clock)
    rounds = [machine.asked[start : start + 4] for start in range(0, len(machine.asked), 4)]
    assert all(sorted(order) == sorted(names) for order in rounds)
    assert {order[0] for order in rounds} == {"torch"}
    assert len({tuple(order) for order in rounds}) > 3


def test_among_many_rows_torch_is_measured_several_times_in_a_round() -> None:
    rows = [f"onnx_{number}" for number in range(9)]
    machine = Machine({"torch": 1.0} | dict.fromkeys(rows, 1.5))
    of_torch = iter([1.0, 0.5, 1.0] * 100)  # something disturbs every second measurement of it

    def measure(name: str, give_up: float) -> Measured:
        measured = machine.measure(name, give_up)
        if name == "torch":
            sizes = measured.texts_per_second["short"]
            disturbed = next(of_torch)
            measured = replace(
                measured, texts_per_second={"short": {size: rate * disturbed for size, rate in sizes.items()}}
            )
        return measured

    result = interleaving.run_rounds(["torch", *rows], measure, EFFORT, machine.clock)
    places = [place for place, name in enumerate(machine.asked[:12]) if name == "torch"]
    assert places == [0, 4, 8]
    assert sorted(machine.asked[:12]) == sorted([*rows, "torch", "torch", "torch"])
    assert len(result.measured["torch"]) == len(result.measured["onnx_0"]) == 3  # a round has a single value
    value = ratio(result.series("onnx_0", "short", "8"), result.series("torch", "short", "8"))
    assert value == {"median": pytest.approx(1.5), "low": pytest.approx(1.5), "high": pytest.approx(1.5)}


def test_several_measurements_in_a_round_are_one() -> None:
    measured = [
        Measured(
            load,
            memory,
            {"short": {"1": rate, "8": 2 * rate}},
            {"short": [1 / rate]},
            taken=Taken(1.0, 1.0, other, 0.0, 0.0),
        )
        for load, memory, rate, other in ((1.0, 5.0, 4.0, 0.0), (3.0, 9.0, 1.0, 0.5), (2.0, 7.0, 2.0, 0.0))
    ]
    one = measuring.combined(measured)
    assert (one.load_seconds, one.memory_mb) == (2.0, 9.0)
    assert one.texts_per_second == {"short": {"1": 2.0, "8": 4.0}}
    assert one.latency_ms == {"short": [0.25, 1.0, 0.5]}
    assert one.taken is not None
    assert one.taken.share == pytest.approx(0.5 / 3)
    assert measuring.combined(measured[:1]) is measured[0]


def test_single_texts_of_a_fast_row_are_timed_over_and_over() -> None:
    def encode(items: list[Any], batch_size: int) -> None:
        time.sleep(0.01)

    seconds = measuring._seconds_of_each(encode, [["a"], ["b"], ["c"]], measuring.SECONDS_AT_LEAST, 1)
    assert len(seconds) % 3 == 0  # each text as often as the others
    assert sum(seconds) >= measuring.SECONDS_AT_LEAST


def test_a_machine_that_slows_down_changes_no_ratio() -> None:
    machine = Machine({"torch": 1.0, "onnx": 1.5}, drift=0.2)
    result = interleaving.run_rounds(["torch", "onnx"], machine.measure, EFFORT, machine.clock)
    value = ratio(result.series("onnx", "short", "8"), result.series("torch", "short", "8"))
    assert value is not None
    assert value["median"] == pytest.approx(1.5)


def test_what_fails_or_is_too_slow_is_not_measured_again() -> None:
    machine = Machine({"torch": 1.0, "slow": 0.2, "broken": 1.0, "onnx": 1.2}, noise=0.5)

    def measure(name: str, give_up: float) -> Measured:
        if name == "broken" and machine.asked.count("torch") > 1:
            raise MeasurementFailed("killed by SIGKILL (out of memory?)")
        return machine.measure(name, give_up)

    result = interleaving.run_rounds(list(machine.speed), measure, EFFORT, machine.clock)
    assert result.errors == {"broken": "killed by SIGKILL (out of memory?)"}
    assert result.slow == ["slow"]
    assert machine.asked.count("slow") == 1
    assert machine.asked.count("onnx") > 3  # the others went on


def test_the_time_goes_to_what_competes() -> None:
    speed = {"torch": 1.0, "onnx": 1.5, "far": 0.8, "behind": 1.1, "near": 1.45, "int8": 3.0, "int8_behind": 1.9}
    machine = Machine(speed, noise=0.01)
    result = interleaving.run_rounds(
        list(speed), machine.measure, EFFORT, machine.clock, lambda name: int("int8" in name)
    )
    assert sorted(result.settled) == ["behind", "far", "int8_behind"]  # not torch; not what int8 alone outruns
    counts = {name: machine.asked.count(name) for name in speed}
    assert (counts["far"], counts["behind"], counts["int8_behind"]) == (1, 2, 2)
    assert counts["near"] == counts["onnx"] == counts["int8"] == counts["torch"] >= EFFORT.rounds
    assert len(result.series("far", "short", "8")) == 1
    assert result.stopped == "narrow enough"


def test_what_loses_quality_competes_only_where_it_is_faster_for_it() -> None:
    measured = {name: [Measured(1.0, 1.0, {"short": {"1": rate}})] for name, rate in
                (("torch", 1.0), ("exact", 3.0), ("int8", 2.0), ("fast_int8", 4.0))}  # fmt: skip
    competing = interleaving.where_competing(
        interleaving.Rounds(measured),
        [*measured],
        lambda name: int("int8" in name),  # type: ignore[arg-type]
    )
    assert competing == {"exact": [("short", False)], "fast_int8": [("short", False)]}


def test_the_rounds_go_on_until_what_competes_is_certain_whatever_the_others_are() -> None:
    speed = {"torch": 1.0, "onnx": 1.5, "wild": 0.5}
    machine = Machine(speed, noise=0.01)

    def measure(name: str, give_up: float) -> Measured:
        measured = machine.measure(name, give_up)
        if name == "wild":
            for size in ("1", "8"):
                measured.texts_per_second["short"][size] *= machine.draw.uniform(0.2, 1)
        return measured

    result = interleaving.run_rounds(list(speed), measure, EFFORT, machine.clock)
    assert result.stopped == "narrow enough"
    assert result.widest is not None
    assert result.widest <= EFFORT.interval


def test_nothing_is_settled_by_rounds_that_other_jobs_disturbed() -> None:
    clock = Machine({"torch": 1.0, "onnx": 1.5, "far": 0.8}, noise=0.05)
    shares = iter([0.5] * 9 + [0.0] * 1000)  # taken by other jobs in each measurement

    def measure(name: str, give_up: float) -> Measured:
        return replace(clock.measure(name, give_up), taken=Taken(1.0, 0.5, next(shares), 0.0, 0.0))

    result = interleaving.run_rounds(list(clock.speed), measure, EFFORT, clock.clock)
    assert result.settled == ["far"]
    assert len(result.series("far", "short", "8")) == 1  # of the quiet ones
    assert result.left_out == [0.5] * 3


@pytest.mark.parametrize("no_batches", [False, True])
def test_what_is_cut_by_tokens_is_compared_with_torch_at_its_best(no_batches: bool) -> None:
    machine = Machine({"torch": 1.0, "runtime": 2.0, "slow": 0.2})

    def measure(name: str, give_up: float) -> Measured:
        measured = machine.measure(name, give_up)
        sizes = measured.texts_per_second["short"]
        if name != "torch":
            sizes[speeds.BY_TOKENS] = sizes.pop("8")
        elif no_batches:
            del sizes["8"]
        return measured

    result = interleaving.run_rounds(list(machine.speed), measure, EFFORT, machine.clock)
    assert result.slow == ["slow"]
    assert result.widest is not None
    assert result.stopped == "narrow enough"


def test_what_is_ahead_in_one_way_competes() -> None:
    machine = Machine({"torch": 1.0, "onnx": 1.5, "fast_alone": 0.5}, noise=0.02)

    def measure(name: str, give_up: float) -> Measured:
        measured = machine.measure(name, give_up)
        if name == "fast_alone":
            measured.texts_per_second["short"]["1"] *= 4
        return measured

    result = interleaving.run_rounds(list(machine.speed), measure, EFFORT, machine.clock)
    assert result.settled == []


def test_without_torch_there_is_nothing_to_compare_with() -> None:
    def measure(name: str, give_up: float) -> Measured:
        raise MeasurementFailed("killed by SIGSEGV")

    with pytest.raises(FoundryError, match=r"torch cannot be measured.*SIGSEGV"):
        interleaving.run_rounds(["torch"], measure, EFFORT)


def test_a_plan_takes_no_more_texts_than_time_and_only_batches_that_fill() -> None:
    group = measuring.plan_group(
        ["text"] * 100, texts_per_second=100, seconds=0.2, batch_sizes=[4, 8, 32], tokens_per_text=4
    )
    assert (len(group.texts), group.batch_sizes, group.singles) == (16, [4, 8], 4)
    assert len(measuring.plan_group(["text"], 0.01, 0.1, [8], 4).texts) == 1
    few = measuring.plan_group(["text"] * 100, 10, 0.1, [4, 8], 4)  # a batch, if it takes no longer than four times
    assert (len(few.texts), few.batch_sizes) == (4, [4])
    assert len(measuring.plan_group(["text"] * 100, 9, 0.1, [8], 4).texts) == 1
    assert len(measuring.plan_group(["text"] * 5, 1000, 1, [8], 4).texts) == 5


def test_foundry_runtime_gets_so_many_texts_that_each_stream_has_several_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "threads", lambda: 16)
    assert measuring.plan_group(["text"] * 100, 1000, 0.2, [8], 128).bulk == 16 * 16 * 4  # batches of 512 tokens
    assert measuring.plan_group(["text"] * 100, 100, 0.2, [8], 1e6).bulk == 16  # as many as the group has
    assert measuring.plan_group(["text"] * 100, 100, 0.2, [8], 1).bulk == 16 * 20  # or it would take too long
    assert (
        measuring.plan_group(["text"] * 8, 10_000, 0.2, [8], 11).bulk == 11916
    )  # texts of a fast model come several times


# --- Processes -------------------------------------------------------------------------------------------


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def has_torch() -> bool:
    return "torch" in sys.modules


@pytest.mark.parametrize(("backend", "expected"), [("onnx", True), ("foundry_runtime.onnx", False)])
def test_what_foundry_runtime_runs_is_measured_without_torch(backend: str, expected: bool) -> None:
    with ForkServers() as servers:
        assert servers.for_backend(backend).call(has_torch, seconds=60) is expected


def complain() -> None:
    raise RuntimeError("the graph is truncated")


def defect() -> None:
    raise KeyError("a bug of our own")


def sleep() -> None:
    import time

    time.sleep(60)


@pytest.fixture(scope="module")
def server_of_torch() -> Iterator[ForkServer]:
    opened = ForkServer("torch")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (die, "killed by SIGKILL"),
        (complain, "RuntimeError: the graph is truncated"),
        (defect, "ended with exit code 1: KeyError: 'a bug of our own'"),
    ],
)
def test_a_child_that_dies_is_reported_and_the_next_one_works(
    server_of_torch: ForkServer, function: Callable[[], Any], message: str
) -> None:
    with pytest.raises(MeasurementFailed, match=message):
        server_of_torch.call(function, seconds=60)
    assert server_of_torch.call(measuring.peak_memory_mb, seconds=60) > 100


def test_a_child_that_hangs_is_ended(server_of_torch: ForkServer) -> None:
    with pytest.raises(MeasurementFailed, match="did not end within 1 s"):
        server_of_torch.call(sleep, seconds=1)


# --- All of it -------------------------------------------------------------------------------------------


def test_files_of_the_same_bytes_are_one_row(tmp_path: Path, tiny: Path) -> None:
    for variant in ("torch", "onnx"):
        (tmp_path / variant).symlink_to(tiny / variant)
    variant_folder.prepare(tmp_path / "onnx_twin", tiny / "onnx", "onnx_twin").write_bytes(
        variant_folder.weights_path(tiny / "onnx", "onnx").read_bytes()
    )
    variant_folder.skip(tmp_path / "onnx_O4", "onnx_O4", "no GPU")
    setting = Setting(of="torch", dtype="bfloat16")
    wanted = dict.fromkeys(["torch", "onnx", "onnx_twin", "onnx_O4"], "fp32")
    rows = planning.rows_to_measure(tmp_path, wanted, {"torch_bf16": setting})
    assert list(rows) == ["torch", "onnx", "onnx_twin", "torch_bf16"]
    assert rows["onnx_twin"].same_bytes_as == "onnx"
    assert rows["torch_bf16"].options == {"precision": "bf16", "compile": False, "device": "cpu"}


def test_on_a_gpu_only_what_runs_there_is_measured_and_its_own_settings(tmp_path: Path, tiny: Path) -> None:
    kinds = {"torch": "fp32", "onnx": "fp32", "openvino": "fp32", "onnx_qint8_static": "int8_static"}
    for variant in kinds:
        (tmp_path / variant).symlink_to(tiny / variant)
    settings = {
        "torch_bf16": Setting(of="torch", dtype="bfloat16"),
        "cuda_bf16": Setting(of="torch", dtype="bfloat16", device="cuda"),
        "cuda_tf32": Setting(of="onnx", inference_precision="tf32", runner="foundry_runtime", device="cuda"),
    }
    rows = planning.rows_to_measure(tmp_path, kinds, settings, "cuda")
    assert list(rows) == ["torch", "onnx", "cuda_bf16", "cuda_tf32"]
    assert {row.options["device"] for row in rows.values()} == {row.device for row in rows.values()} == {"cuda"}
    assert (rows["cuda_tf32"].computes_in, rows["cuda_tf32"].server) == ("tf32", "foundry_runtime.onnx")
    assert list(planning.rows_to_measure(tmp_path, kinds, settings)) == [*kinds, "torch_bf16"]


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ({"of": "openvino", "device": "cuda", "runner": "foundry_runtime"}, "OpenVINO does not run on an NVIDIA GPU"),
        ({"of": "torch", "device": "cuda"}, "needs one of dtype, inference_precision"),
        ({"of": "onnx", "device": "cuda", "inference_precision": "bf16"}, "on cuda, inference_precision is tf32"),
        ({"of": "torch", "device": "cuda", "inference_precision": "tf32", "dtype": "float16"}, "without a dtype"),
        ({"of": "openvino", "inference_precision": "tf32"}, "a processor does not compute in tf32"),
        ({"of": "torch", "device": "gpu", "dtype": "float16"}, "'cpu' or 'cuda'"),
    ],
)
def test_a_setting_for_a_gpu_that_cannot_be(row: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValidationError, match=mistake):
        Setting(**row)


def test_the_devices_that_are_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from foundry.loading import cuda

    assert devices.to_measure([], "gpu") == devices.to_measure(["a GPU"], None) == ["cpu"]
    reasons: dict[str, str | None] = {"torch": "torch sees no NVIDIA GPU", "onnx": None}
    monkeypatch.setattr(cuda, "why_not", lambda backend: reasons[backend])
    assert devices.to_measure(["a GPU"], "gpu") == ["cpu"]
    assert "a GPU: not measured in full: torch sees no NVIDIA GPU" in capsys.readouterr().out
    reasons["torch"] = None
    assert devices.to_measure(["a GPU"], "gpu") == ["cpu", "cuda"]


@pytest.mark.usefixtures("forked_children")
def test_measured_on_the_tiny_model(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    root = project()
    host.main(root / "host.json", root / "precisions.json", root / "toolchain.json")
    name = files.read_json(root / "host.json")["host"]
    folder = tmp_path / "models"
    for variant in TINY_VARIANTS:
        (folder / variant).parent.mkdir(exist_ok=True)
        (folder / variant).symlink_to(tiny / variant)
    (folder / "onnx_O2").unlink()
    variant_folder.skip(folder / "onnx_O2", "onnx_O2", "no such fusion")
    broken = "onnx_qint8_avx512"
    (folder / broken).unlink()
    variant_folder.prepare(folder / broken, tiny / broken, broken).write_bytes(b"\x08\x01truncated")
    (root / "out").mkdir()
    (root / "out/another-host.json").write_text("{}")
    settings = files.read_json(settings_file("benchmark"))
    settings["effort"]["requests"] = {"share": 0.1, "per_second": 400}
    files.write_json(root / "settings.json", settings)
    benchmark.main(
        "tiny",
        root / "settings.json",
        folder,
        tiny.parent.parent / "texts/tiny/benchmark.jsonl",
        root / "host.json",
        root / "out",
    )
    result = files.read_json(root / f"out/{name}.json")
    assert set(result["variants"]) == (set(TINY_VARIANTS) - {"onnx_O2"}) | {"openvino_f32", "onnx_runtime"}
    assert "INVALID_PROTOBUF" in result["variants"][broken]["error"].upper().replace(
        "INVALIDPROTOBUF", "INVALID_PROTOBUF"
    )
    for variant in ("torch", "onnx_qint8_static", "openvino", "openvino_f32"):
        record = result["variants"][variant]
        assert record["error"] is None
        assert set(record["texts_per_second"]) == {"short", "long"}
        # Beside other jobs, a variant may be so much slower than torch that it is measured once.
        rounds = len(record["texts_per_second"]["short"]["1"])
        assert rounds == (1 if record["note"] else result["rounds"]) or (record["settled"] and rounds >= 1)
        assert record["memory_mb"] > 100
        assert record["latency"]["short"]["samples"] >= 2
    by_runtime = result["variants"]["onnx_runtime"]
    assert by_runtime["error"] is None
    assert by_runtime["runner"] == "foundry_runtime"
    assert set(by_runtime["texts_per_second"]["short"]) == {"1", speeds.BY_TOKENS}
    assert by_runtime["closeness"]["min_cosine"] > 0.9999
    assert by_runtime["search"]["chosen"].keys() == by_runtime["search"]["rule"].keys() == {"throughput", "latency"}
    arriving = {"per_second": 400, "torch_share": None, "groups": ["short", "long"], "seconds": 0.5}
    assert arriving.items() <= result["requests"].items()
    served = {name: row["requests"] for name, row in result["variants"].items() if row["requests"]}
    assert served.keys() >= {"torch", "onnx_runtime"}
    assert "openvino_f32" not in served  # nothing validates it
    for times in served.values():
        assert times["samples"] >= 100
        assert all(value > 0 for value in times["p95_ms"])
    assert speeds.to_torch(result, "onnx_runtime", "long") is not None
    assert result["rounds"] >= 3
    assert speeds.to_torch(result, "torch", "short") == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert result["variants"]["openvino_f32"]["closeness"]["min_cosine"] > 0.9999
    assert result["groups"]["long"]["tokens_per_text"] > result["groups"]["short"]["tokens_per_text"]
    # Two layers of 32 dimensions: 12 * 32 * 32 multiplications for a token and layer, and attention on top.
    facts = result["groups"]["short"]
    assert 1 <= facts["gflop_per_text"] * 1e9 / (facts["tokens_per_text"] * 2 * 2 * 8 * 32 * 32) < 1.8
    assert result["peak_gflops"]["fp32"].keys() == {"torch", "onnx", "openvino"}
    assert all(rate > 1 for rates in result["peak_gflops"].values() for rate in rates.values())
    assert (root / "out/another-host.json").exists()


def test_the_host_profile_is_the_same_twice_and_names_the_toolchain(tmp_path: Path) -> None:
    host.main(tmp_path / "a.json", tmp_path / "precisions.json", tmp_path / "toolchain.json")
    host.main(tmp_path / "b.json", tmp_path / "precisions.json", tmp_path / "toolchain.json")
    assert files.sha256(tmp_path / "a.json") == files.sha256(tmp_path / "b.json")
    facts = files.read_json(tmp_path / "a.json")
    versions = files.read_json(tmp_path / "toolchain.json")
    assert versions["onnxruntime"] == facts["libraries"]["onnxruntime"]
    assert versions["torch"] == facts["libraries"]["torch"].partition("+")[0]
    assert facts["cores"] >= 1


def test_openvino_is_asked_for_its_precisions_once_on_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile, known = tmp_path / "host.json", tmp_path / "precisions.json"
    host.main(profile, known, tmp_path / "toolchain.json")
    before = files.read_json(known)
    monkeypatch.setattr(precisions, "of_processor", lambda: ["bf16"])
    host.main(profile, known, tmp_path / "toolchain.json")
    assert files.read_json(known) == before
    files.write_json(profile, {**files.read_json(profile), "processor": "another"})
    host.main(profile, known, tmp_path / "toolchain.json")
    assert files.read_json(known) == {"precisions": ["bf16"], "cuda": {}}


def test_another_toolchain_or_another_number_of_threads_is_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = machine_profile.profile()
    other = {**facts, "libraries": {**facts["libraries"], "onnxruntime": "0.0"}}
    assert machine_profile.key(facts) != machine_profile.key(other)
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    assert machine_profile.key(machine_profile.profile()) != machine_profile.key(facts)
