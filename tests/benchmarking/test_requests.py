"""Requests at a load: when they arrive, what counts as their latency, and which row answers them soonest."""

import itertools
import threading
from collections import Counter
from collections.abc import Sequence

import pytest

from foundry.benchmarking import request_rivals, request_rounds, serving
from foundry.benchmarking.fork_server import MeasurementFailed
from foundry.benchmarking.interleaving import Rounds
from foundry.benchmarking.measuring import Measured
from foundry.benchmarking.other_load import Taken
from foundry.benchmarking.request_rivals import Competitor
from foundry.benchmarking.request_rounds import Serving
from foundry.benchmarking.serving import Request, Served
from foundry.benchmarking.settings import Requests

TEXTS = ["a", "b", "c"]


def test_arrivals_are_those_of_a_poisson_process_and_the_same_for_the_same_seed() -> None:
    requests = serving.arrivals([TEXTS], per_second=50, seconds=100, seed=1)
    assert requests == serving.arrivals([TEXTS], 50, 100, 1)
    assert requests != serving.arrivals([TEXTS], 50, 100, 2)
    assert len(requests) == 5000
    times = [request.seconds for request in requests]
    assert times == sorted(times)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.1)  # as of an exponential distribution
    assert len(serving.arrivals([TEXTS], 0.001, 1, 1)) == 1


def test_as_many_requests_are_of_each_group_however_many_texts_it_has() -> None:
    many, few = [f"many {number}" for number in range(100)], ["few a", "few b"]
    requests = serving.arrivals([many, few], per_second=20, seconds=3, seed=1)
    counts = Counter(request.text for request in requests)
    assert (counts["few a"], counts["few b"]) == (15, 15)
    assert sum(text in counts for text in many) == 30
    kinds = [request.text.split()[0] for request in requests]
    assert kinds != sorted(kinds)
    assert kinds[::2] != kinds[:1] * 30


class Clock:
    """Time that passes where somebody sleeps or answers."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_latency_counts_from_the_arrival_so_that_waiting_is_seen() -> None:
    clock = Clock()
    requests = [Request(0.0, "a"), Request(0.0, "b"), Request(0.0, "c")]
    together = threading.Event()

    def answer(text: str) -> None:
        together.wait()  # until all have arrived
        clock.now += 1.0

    def sleep(seconds: float) -> None:
        together.set()
        threading.Event().wait(0.001)

    latencies, unanswered = serving.serve(answer, requests, callers=1, patience=1e9, clock=clock, sleep=sleep)
    assert latencies == [1000.0, 2000.0, 3000.0]
    assert unanswered == 0


def test_arrivals_do_not_wait_for_answers() -> None:
    clock = Clock()
    requests = [Request(float(second), "a") for second in range(1, 6)]
    hold = threading.Event()

    def answer(text: str) -> None:
        hold.wait(5)

    latencies, unanswered = serving.serve(answer, requests, callers=1, patience=7.0, clock=clock, sleep=clock.sleep)
    hold.set()
    assert unanswered == 5
    assert latencies == pytest.approx([1000 * (7 - second) for second in range(1, 6)], abs=5)


def test_so_many_callers_answer_at_once() -> None:
    barrier = threading.Barrier(3)
    requests = [Request(0.0, text) for text in TEXTS]
    latencies, unanswered = serving.serve(lambda text: barrier.wait(10), requests, callers=3, patience=30)
    assert (len(latencies), unanswered) == (3, 0)


def test_a_caller_that_fails_is_not_waited_for() -> None:
    clock = Clock()

    def answer(text: str) -> None:
        raise SystemExit

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        threading.Event().wait(0.001)

    _, unanswered = serving.serve(answer, [Request(0.0, "a")], 1, patience=1e9, clock=clock, sleep=sleep)
    assert unanswered == 1


# --- Rounds ----------------------------------------------------------------------------------------------

ALONE, TOGETHER = Serving(1, 2), Serving(2, 1)


def arriving(number: int) -> list[Request]:
    return serving.arrivals([TEXTS], 50, 1, number)


def served(p95_ms: float, taken: float | None = None) -> Served:
    return Served([p95_ms] * 100, 0, None if taken is None else Taken(1.0, 1.0 - taken, taken, 0.0, 0.0))


class Machine:
    """Rows of known p95, which take a second for each measurement."""

    def __init__(self, p95_ms: dict[tuple[str, Serving], float]) -> None:
        self.p95_ms, self.now = p95_ms, 0.0
        self.asked: list[tuple[str, Serving, Sequence[Request]]] = []
        self.taken: list[float] = []  # by other jobs, in the measurements to come

    def names(self, start: int, count: int) -> list[str]:
        """Whose these measurements were."""
        return sorted(name for name, _, _ in self.asked[start : start + count])

    def clock(self) -> float:
        return self.now

    def measure(self, name: str, way: Serving, requests: Sequence[Request]) -> Served:
        self.asked.append((name, way, requests))
        self.now += 1.0
        return served(self.p95_ms[name, way], self.taken.pop(0) if self.taken else None)


def test_each_row_goes_on_with_the_way_to_serve_that_answers_soonest() -> None:
    machine = Machine({("torch", ALONE): 90, ("torch", TOGETHER): 80, ("a", ALONE): 20, ("a", TOGETHER): 30})
    ways = {"torch": [ALONE, TOGETHER], "a": [ALONE, TOGETHER]}
    rows = request_rounds.run(ways, machine.measure, arriving, seconds=9, clock=machine.clock).rows
    assert machine.now <= 9
    torch, a = request_rounds.record(rows["torch"]), request_rounds.record(rows["a"])
    assert (torch["callers"], a["callers"], a["single_threads"]) == (2, 1, 2)
    assert a["p95_ms"] == pytest.approx([20.0] * 3)
    assert sorted(row["p95_ms"] for row in a["tried"]) == pytest.approx([20.0, 30.0])
    assert (a["samples"], a["unanswered"]) == (300, 0)


def test_all_rows_of_a_round_have_the_same_arrivals() -> None:
    machine = Machine({("torch", ALONE): 90, ("a", ALONE): 20})
    request_rounds.run({"torch": [ALONE], "a": [ALONE]}, machine.measure, arriving, 6, machine.clock)
    assert sorted(name for name, _, _ in machine.asked) == ["a"] * 3 + ["torch"] * 3
    for name in ("a", "torch"):
        assert [requests for asked, _, requests in machine.asked if asked == name] == [*map(arriving, range(3))]


def test_there_are_rounds_for_an_interval_however_little_time_is_left() -> None:
    machine = Machine({("torch", ALONE): 90, ("a", ALONE): 20, ("a", TOGETHER): 30})
    ways = {"torch": [ALONE], "a": [ALONE, TOGETHER]}
    rows = request_rounds.run(ways, machine.measure, arriving, 0, machine.clock).rows
    assert [len(request_rounds.record(row)["p95_ms"]) for row in rows.values()] == [3, 3]
    assert len(machine.asked) == 3 + 2 + 2


def test_the_time_goes_to_what_cannot_be_told_apart() -> None:
    machine = Machine(
        {("torch", ALONE): 90, ("exact", ALONE): 40, ("a", ALONE): 20, ("b", ALONE): 21, ("behind", ALONE): 40}
    )
    losses = {"torch": 0, "exact": 0, "a": 1, "b": 1, "behind": 1}
    ways = {name: [ALONE] for name in losses}
    measured = request_rounds.run(ways, machine.measure, arriving, 20, machine.clock, losses.__getitem__)
    assert machine.names(0, 5) == sorted(losses)
    # What loses nothing goes on, though others that lose more are sooner, until it is known how much.
    assert machine.names(5, 8) == sorted(["a", "b", "exact", "torch"] * 2)
    assert machine.names(13, 4) == ["a", "a", "b", "b"]
    assert machine.now <= 20
    rounds = {name: len(row.p95_ms) for name, row in measured.rows.items()}
    assert rounds == {"torch": 3, "exact": 3, "a": 6, "b": 6, "behind": 1}


def test_no_round_follows_where_all_is_known() -> None:
    machine = Machine({("torch", ALONE): 90, ("a", ALONE): 20})
    request_rounds.run({"torch": [ALONE], "a": [ALONE]}, machine.measure, arriving, 1000, machine.clock)
    assert len(machine.asked) == 6


def test_what_fails_is_left_out_and_without_torch_nothing_is_compared() -> None:
    machine = Machine({("torch", ALONE): 90, ("a", ALONE): 20})

    def failing(broken: str) -> request_rounds.Measure:
        def measure(name: str, way: Serving, requests: Sequence[Request]) -> Served:
            if name == broken:
                raise MeasurementFailed("killed by SIGKILL")
            return machine.measure(name, way, requests)

        return measure

    ways = {"torch": [ALONE], "a": [ALONE]}
    assert list(request_rounds.run(ways, failing("a"), arriving, 3, machine.clock).rows) == ["torch"]
    assert request_rounds.run(ways, failing("torch"), arriving, 3, machine.clock).rows == {}


def test_a_disturbed_first_measurement_is_made_again() -> None:
    machine = Machine({("torch", ALONE): 90, ("a", ALONE): 20})
    machine.taken = [0.5, 0.05, 0.3, 0.4, 0.5]
    ways = {"torch": [ALONE], "a": [ALONE]}
    measured = request_rounds.run(ways, machine.measure, arriving, 9, machine.clock, busy_share=0.1)
    assert len(machine.asked) == 2 * 2 + 2 * 2
    assert [round(taken.share, 3) for taken in measured.taken if taken] == [0.175, 0.5]


def test_disturbed_rounds_do_not_count_where_there_are_enough_others() -> None:
    def with_shares(*shares: float) -> list[float]:
        row = request_rounds.RowRounds([ALONE], {ALONE: [served(10.0 * share, share) for share in shares]})
        taken = [Taken(1.0, 1.0 - share, share, 0.0, 0.0) for share in shares]
        return request_rounds.LoadRounds({"a": row}, taken).without_disturbed(0.1).rows["a"].p95_ms

    assert with_shares(0.01, 0.3, 0.02, 0.03) == pytest.approx([0.1, 0.2, 0.3])
    assert with_shares(0.01, 0.3, 0.02) == pytest.approx([0.1, 3.0, 0.2])


def test_a_disturbed_round_is_made_up_for_while_there_is_time() -> None:
    def rounds_within(seconds: float) -> int:
        machine = Machine({("torch", ALONE): 90, ("a", ALONE): 20})
        machine.taken = [0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0]
        ways = {"torch": [ALONE], "a": [ALONE]}
        measured = request_rounds.run(ways, machine.measure, arriving, seconds, machine.clock, busy_share=0.1)
        assert len(measured.rows["a"].p95_ms) == len(measured.rows["torch"].p95_ms)
        return len(measured.rows["a"].p95_ms)

    assert (rounds_within(100), rounds_within(6)) == (4, 3)


def rounds_of(singles: dict[str, float]) -> Rounds:
    rates = {name: {"short": {"1": 2 * rate}, "medium": {"1": rate}} for name, rate in singles.items()}
    return Rounds({name: [Measured(1.0, 1.0, of_name)] for name, of_name in rates.items()})


def test_the_rate_is_a_share_of_what_torch_serves_or_what_is_asked_for() -> None:
    rates = request_rivals.service_rates(rounds_of({"torch": 40.0}), "torch", ["short", "medium"])
    assert rates == pytest.approx([2 / (1 / 80 + 1 / 40)])
    assert request_rounds.rate(Requests(torch_share=0.5), rates[0] or 0.0) == 27.0  # of 53.3
    assert request_rounds.rate(Requests(per_second=12.5), rates[0] or 0.0) == 12.5
    assert request_rivals.service_rates(rounds_of({"torch": 40.0}), "torch", ["short", "long"]) == [None]


LOSSES = {"torch": 0, "onnx": 0, "o3": 0, "bf16": 1, "weights": 2, "static": 3, "near": 3, "dynamic": 4}


def rivals(singles: dict[str, float], most: int = 10) -> list[str]:
    competing = {name: Competitor(LOSSES[name], False) for name in singles}
    return request_rivals.rivals(rounds_of(singles), competing, ["short", "medium"], most)


def test_all_that_is_near_the_fastest_of_what_loses_no_more_competes() -> None:
    singles = {"torch": 8.0, "onnx": 11, "o3": 12, "bf16": 20, "weights": 15, "static": 30, "near": 25, "dynamic": 19}
    assert rivals(singles) == ["o3", "bf16", "static", "near", "weights", "onnx"]
    assert rivals(singles, most=0) == ["o3", "bf16", "static", "near"]
    # Without bf16, one in f32 competes as others do, and int8 weights that are as fast as it.
    exact = {"torch": 8.0, "onnx": 9, "o3": 12, "weights": 12}
    assert rivals(exact) == ["o3", "weights", "onnx"]
    assert rivals(exact | {"bf16": 12.5}) == ["o3", "bf16", "weights"]
    assert rivals({"torch": 8.0}) == []


def test_all_rows_get_the_same_rate_and_only_where_there_is_time_for_it() -> None:
    rounds = rounds_of({"torch": 10.0, "a": 30.0})
    competing = {"torch": Competitor(0, False), "a": Competitor(3, True)}
    counts: list[int] = []

    def measure(name: str, way: Serving, requests: Sequence[Request]) -> Served:
        counts.append(len(requests))
        return served(10.0 if name == "a" else 30.0)

    texts = {"short": ["a"], "medium": ["b"], "long": ["c"]}
    load, rows = request_rounds.measure_load(rounds, competing, texts, Requests(), measure, 2, 0.0)
    assert load == {
        "per_second": 6.7, "torch_share": 0.5, "groups": ["short", "medium"], "seconds": pytest.approx(30 / 6.7),
        "other_load": None,
    }  # fmt: skip
    assert rows.keys() == {"torch", "a"}
    assert set(counts) == {30}
    assert rows["a"].served.keys() == {Serving(1, 2), Serving(2, 1)}
    assert rows["torch"].served.keys() == {Serving(1, None), Serving(2, None)}
    none = Requests(share=0)
    assert request_rounds.measure_load(rounds, competing, texts, none, measure, 2, 60.0) == (None, {})


def test_groups_whose_texts_arrive() -> None:
    assert request_rounds.groups_of(["long", "medium", "short"]) == ["short", "medium"]
    assert request_rounds.groups_of(["mine", "yours", "theirs"]) == ["mine", "yours"]
    assert request_rounds.groups_of(["own"]) == ["own"]


def test_ways_to_serve_share_the_cores() -> None:
    assert request_rounds.ways_to_serve(True, 2) == [Serving(1, 2), Serving(2, 1)]
    assert request_rounds.ways_to_serve(True, 16) == [Serving(1, 16), Serving(4, 4), Serving(16, 1)]
    assert request_rounds.ways_to_serve(False, 2) == [Serving(1, None), Serving(2, None)]
    assert request_rounds.ways_to_serve(True, 1) == [Serving(1, 1)]
