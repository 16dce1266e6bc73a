"""The search for foundry_runtime's settings, on scripted speeds; and once on a file."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from foundry_runtime.run_settings import RunSettings

from foundry.benchmarking import search, setting_trials
from foundry.benchmarking.fork_server import MeasurementFailed
from foundry.benchmarking.setting_trials import Texts, Trial
from foundry.export import exporting
from foundry.export.settings import OnnxExport
from tests.support.checkpoints import make_kind
from tests.support.texts import documents

CORES = 4
RULE = RunSettings(4, 4, 4, 512)
GROUPS = ["short", "medium", "long"]
SIZES = [256, 512, 1024]


class Machine:
    """A clock, and texts a second by what is best for each group: one stream for long texts, large batches for short
    ones, two threads for one short text."""

    def __init__(self, noise: float = 0.0, seconds: float = 1.0) -> None:
        self.now, self.seconds, self.draw, self.noise = 0.0, seconds, random.Random(3), noise
        self.asked: list[tuple[str, Sequence[Trial]]] = []

    def clock(self) -> float:
        return self.now

    def speed(self, trial: Trial) -> float:
        settings = trial.settings
        if trial.use == "latency":
            best = 2 if trial.group == "short" else 4
            return 100 / (1 + abs(settings.single_threads - best))
        rate = 100.0 * settings.threads
        if trial.group == "long":
            rate *= 1.5 if settings.streams == 1 else 1.0
        if trial.group == "short":
            rate *= {256: 0.9, 512: 1.0, 1024: 1.2}[settings.batch_tokens]
        return rate

    def measure(self, name: str, trials: Sequence[Trial]) -> list[float | None]:
        self.asked.append((name, trials))
        self.now += self.seconds
        slowed = self.draw.uniform(1, 3)  # a whole process
        return [self.speed(trial) / slowed * self.draw.lognormvariate(0, self.noise) for trial in trials]


class SteadyMachine(Machine):
    """One whose speed is the same for all processes."""

    def measure(self, name: str, trials: Sequence[Trial]) -> list[float | None]:
        self.asked.append((name, trials))
        self.now += self.seconds
        return [self.speed(trial) * self.draw.lognormvariate(0, self.noise) for trial in trials]


def run(machine: Machine, names: Sequence[str] = ("a",), seconds: float = 1e9) -> dict[str, search.RowSearch]:
    by_use = search.candidates(CORES)
    return search.run(names, GROUPS, by_use, SIZES, machine.measure, seconds, machine.clock)


def test_the_fastest_is_chosen_for_each_use_and_group() -> None:
    chosen = search.chosen(run(SteadyMachine())["a"])
    assert chosen["throughput"]["long"] == {"threads": 4, "streams": 1, "batch_tokens": 512}
    assert chosen["throughput"]["short"] == {"threads": 4, "streams": 4, "batch_tokens": 1024}
    assert chosen["throughput"]["medium"] == {"threads": 4, "streams": 4, "batch_tokens": 512}  # nothing is faster
    assert chosen["latency"] == {
        "short": {"single_threads": 2}, "medium": {"single_threads": 4}, "long": {"single_threads": 4},
    }  # fmt: skip


def test_noise_chooses_nothing_in_place_of_the_rule() -> None:
    class Level(SteadyMachine):
        def speed(self, trial: Trial) -> float:
            return 100.0

    others = 0
    for seed in range(20):
        machine = Level(noise=0.03)
        machine.draw.seed(seed)
        row = run(machine)["a"]
        others += sum(row.chosen(place) != RULE for place in row.alive)
    assert others <= 12  # of 120 places, with up to nine rivals each


def test_what_is_far_behind_is_tried_once() -> None:
    machine = SteadyMachine()
    row = run(machine)["a"]
    of_place = row.rates["throughput", "medium"]
    assert of_place[RunSettings(1, 1, 1, 512)] == [100.0]  # how speed grows with the streams
    assert of_place[RunSettings(2, 2, 2, 512)] == [200.0]
    assert len(of_place[RULE]) > 2
    assert len({name for name, _ in machine.asked}) == 1


def test_every_process_loads_one_layout() -> None:
    machine = SteadyMachine()
    run(machine)
    for _, trials in machine.asked:
        assert len({(one.settings.threads, one.settings.streams, one.settings.single_threads) for one in trials}) == 1


def test_when_the_time_is_used_up_all_rows_are_equally_far_and_the_rule_is_kept() -> None:
    machine = SteadyMachine()
    rows = run(machine, ["a", "b", "c"], seconds=3)
    assert [name for name, _ in machine.asked].count("a") == 1
    assert all(row.rates["throughput", "long"][RULE] for row in rows.values())
    assert all(row.chosen(place) == RULE for row in rows.values() for place in row.alive)
    assert machine.now == 3


def test_a_row_that_fails_is_left_out() -> None:
    machine = SteadyMachine()

    def measure(name: str, trials: Sequence[Trial]) -> list[float | None]:
        if name == "broken":
            raise MeasurementFailed("killed by SIGKILL")
        return machine.measure(name, trials)

    rows = search.run(["broken", "a"], GROUPS, search.candidates(2), SIZES, measure, 1e9, machine.clock)
    assert list(rows) == ["a"]


@pytest.mark.parametrize(
    ("cores", "streams", "of_one"),
    [(1, [1], [1]), (2, [2, 1, 1], [2, 1]), (6, [6, 4, 2, 1, 4, 2, 1], [6, 4, 2, 1])],
)
def test_candidates_share_the_cores(cores: int, streams: list[int], of_one: list[int]) -> None:
    by_use = search.candidates(cores)
    assert [one.streams for one in by_use["throughput"]] == streams
    assert [one.single_threads for one in by_use["latency"]] == of_one
    assert all(one.threads <= cores for of_use in by_use.values() for one in of_use)
    assert by_use["throughput"][0] == by_use["latency"][0] == RunSettings(cores, cores, cores, 512)


def test_what_is_written_holds_every_trial() -> None:
    row = run(SteadyMachine())["a"]
    written = search.record(row, CORES)
    assert (written["cores"], written["chosen"]) == (CORES, search.chosen(row))
    by_one = [trial for trial in written["trials"] if (trial["use"], trial["group"]) == ("latency", "short")]
    assert [trial["settings"] for trial in by_one] == [{"single_threads": count} for count in (4, 2, 1)]
    assert by_one[0]["texts_per_second"][0] == pytest.approx(100 / 3)


def test_a_file_is_tried_in_several_settings(tmp_path: Path) -> None:
    folder = make_kind(tmp_path / "checkpoint", "SentenceTransformer")
    exporting.build("onnx", folder, OnnxExport(), tmp_path / "onnx")
    settings = [RunSettings(2, 2, 2, tokens) for tokens in (64, 128)]
    trials = [Trial("throughput", "short", one) for one in settings] + [Trial("latency", "short", settings[0])]
    texts = {"short": Texts(documents()[:4], 10.0)}
    rates = setting_trials.measure(tmp_path / "onnx", "onnx", "f32", {}, trials, texts, give_up=60)
    assert len(rates) == 3
    assert all(rates)
    rates = setting_trials.measure(tmp_path / "onnx", "onnx", "f32", {}, trials, texts, give_up=-1)
    assert rates[0]
    assert rates[1:] == [None, None]  # the time was used up
