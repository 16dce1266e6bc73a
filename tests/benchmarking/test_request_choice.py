"""What is recommended for requests, by made-up machines with noise: twice the same, or it says *within noise*."""

import heapq
import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from foundry.benchmarking import request_rounds
from foundry.benchmarking.interleaving import Rounds
from foundry.benchmarking.measuring import Measured
from foundry.benchmarking.request_rivals import Competitor
from foundry.benchmarking.request_rounds import Serving
from foundry.benchmarking.serving import Request, Served
from foundry.benchmarking.settings import Requests
from foundry.benchmarking.timings import ratio_by_logarithms
from foundry.reporting import recommendation
from tests.support.results import benchmark, record, validation

SEEDS = 40
OF_CHILDREN, OF_TEXTS = 0.05, 0.1  # how far processes of a row differ, and its answers
SECONDS = 60.0  # a fifth of five minutes
TEXTS = {"short": [f"s{number}" for number in range(64)], "medium": [f"m{number}" for number in range(8)]}


class Way(NamedTuple):
    """A row of a machine that is made up, with the numbers of MiniLM on two cores with VNNI and bf16."""

    short_ms: float  # by one caller
    medium_ms: float
    loss: int  # the place in the order of losses
    centred: float  # how close to torch it is
    by_runtime: bool = False
    two: float = 1.7  # how many times as long an answer takes where there are two callers


ROWS = {
    "torch": Way(9.7, 27.0, 0, 1.0, two=1.4),
    "onnx": Way(3.4, 24.4, 0, 1.0),
    "onnx_O3": Way(3.5, 28.0, 0, 1.0),
    "openvino_fp16": Way(4.0, 21.9, 0, 1.0, two=1.4),
    "openvino_int8_weights": Way(2.6, 14.9, 2, 0.9992, two=1.4),
    "onnx_qint8_static": Way(1.8, 17.8, 3, 0.9987),
    "openvino_qint8_quantized": Way(2.6, 12.9, 3, 0.9990, two=1.4),
    "onnx_qint8_O3": Way(1.7, 18.7, 4, 0.985),
    "openvino_bf16": Way(3.4, 15.9, 1, 0.9999, two=1.4),
    "runtime_onnx_O3": Way(2.9, 22.7, 0, 1.0, True),
    "runtime_openvino_fp16": Way(3.2, 19.2, 0, 1.0, True),
    "runtime_openvino_bf16": Way(2.7, 12.8, 1, 0.9999, True),
    "runtime_onnx_static": Way(1.17, 9.8, 3, 0.9987, True),
    "runtime_openvino_static": Way(1.58, 9.0, 3, 0.9990, True),
}


class Machine:
    """Rows that answer requests in the order of their arrival; time passes as it would."""

    def __init__(self, rows: Mapping[str, Way], seed: int) -> None:
        self.rows, self.draw, self.now = rows, random.Random(seed), 0.0

    def noise(self, spread: float) -> float:
        return self.draw.lognormvariate(0, spread)

    def rounds(self) -> Rounds:
        """Three of single texts."""
        return Rounds(
            {
                name: [
                    Measured(
                        0.3, 1.0,
                        {group: {"1": 1000 / ms / self.noise(2 * OF_CHILDREN)}
                         for group, ms in (("short", row.short_ms), ("medium", row.medium_ms))},
                    )
                    for _ in range(3)
                ]
                for name, row in self.rows.items()
            }
        )  # fmt: skip

    def clock(self) -> float:
        return self.now

    def measure(self, name: str, how: Serving, requests: Sequence[Request]) -> Served:
        row = self.rows[name]
        slower = self.noise(OF_CHILDREN) * (row.two if how.callers == 2 else 1.0)
        free, latencies = [0.0] * how.callers, []
        for request in requests:
            ms = row.short_ms if request.text.startswith("s") else row.medium_ms
            ends = max(request.seconds, heapq.heappop(free)) + slower * ms * self.noise(OF_TEXTS) / 1000
            heapq.heappush(free, ends)
            latencies.append(1000 * (ends - request.seconds))
        self.now += max(free) + 0.6
        return Served(latencies, 0, None)


def answers(rows: Mapping[str, Way], seed: int, seconds: float = SECONDS) -> tuple[list[Any], Machine, set[str]]:
    """What is recommended for each budget by one run."""
    machine = Machine(rows, seed)
    competing = {name: Competitor(row.loss, row.by_runtime) for name, row in rows.items()}
    load, measured = request_rounds.measure_load(
        machine.rounds(), competing, TEXTS, Requests(), machine.measure, 2, seconds, clock=machine.clock
    )
    variants = {
        name: record(1.0, requests=request_rounds.record(measured[name]) if name in measured else None) for name in rows
    }
    validations: Any = {name: validation(name) for name in rows}
    for name, row in rows.items():
        for check in validations[name]["checks"]:
            check["value"] = row.centred
    said: Any = benchmark("here", variants) | {"requests": load}
    chosen = [recommendation.by_requests(said, validations, budget) for budget in (0, 0.004)]
    return chosen, machine, set(measured)


def is_stable(first: Any, second: Any) -> bool:
    """Whether two runs recommend the same, or either says that it cannot tell what they recommend apart."""
    return (
        first["variant"] == second["variant"]
        or first["variant"] in second["same_within_noise"]
        or second["variant"] in first["same_within_noise"]
    )


def stable_pairs(said: Sequence[Any]) -> float:
    """The share of all pairs of runs that are stable."""
    pairs = list(itertools.combinations(said, 2))
    return sum(is_stable(*pair) for pair in pairs) / len(pairs)


def test_two_runs_recommend_the_same_or_say_that_they_cannot_tell() -> None:
    runs = [answers(ROWS, seed) for seed in range(SEEDS)]
    for number, usual in enumerate(("runtime_openvino_bf16", "runtime_openvino_static")):
        chosen = [said[number] for said, _, _ in runs]
        assert all(answer["variant"] and answer["to_torch"]["low"] > 1 for answer in chosen)
        assert sum(answer["variant"] == usual for answer in chosen) >= 0.9 * SEEDS
        assert stable_pairs(chosen) >= 0.98
    # Rows that are near each other are in every run, of either runner; and the time is kept.
    always = set.intersection(*(names for _, _, names in runs))
    assert always >= {"torch", "runtime_openvino_bf16", "runtime_openvino_static", "runtime_onnx_static"}
    assert max(machine.now for _, machine, _ in runs) <= 1.1 * SECONDS


def test_of_equals_the_nearest_to_torch_is_recommended_and_the_others_are_named() -> None:
    fast = {"short_ms": 1.5, "medium_ms": 9.0, "loss": 3, "by_runtime": True}
    rows = {
        "torch": ROWS["torch"],
        **{f"static_{letter}": Way(centred=centred, **fast) for letter, centred in (("a", 0.9985), ("b", 0.999))},
    }
    chosen = [answers(rows, seed)[0][1] for seed in range(SEEDS)]
    named = [
        answer for answer in chosen if answer["variant"] == "static_b" and answer["same_within_noise"] == ["static_a"]
    ]
    assert len(named) >= 0.9 * SEEDS
    assert stable_pairs(chosen) >= 0.98


def test_an_interval_of_few_rounds_holds_the_truth() -> None:
    draw = random.Random(9)
    for rounds in (3, 4, 5):
        held = 0
        for _ in range(400):
            value = ratio_by_logarithms([1.5 * draw.lognormvariate(0, 0.1) for _ in range(rounds)], [1.0] * rounds)
            assert value is not None
            assert value["low"] is not None
            assert value["high"] is not None
            assert value["low"] <= value["median"] <= value["high"]
            held += value["low"] <= 1.5 <= value["high"]
        assert held >= 0.93 * 400  # where resampling holds it in 75% of the runs of three rounds
    assert ratio_by_logarithms([2.0, 2.0], [1.0, 1.0]) == {"median": 2.0, "low": None, "high": None}
