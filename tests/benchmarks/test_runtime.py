"""The benchmark of the runtime: calls by turns, and the median of the rounds."""

from benchmarks import runtime


def test_each_round_begins_with_another_call() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in ("a", "b", "c")}  # type: ignore[misc]
    seconds = runtime.measure(calls, rounds=4)
    assert "".join(order) == "aabbcc" + "bbccaa" + "ccaabb" + "aabbcc"  # each once without being measured, before it is
    assert {name: len(values) for name, values in seconds.items()} == {"a": 4, "b": 4, "c": 4}


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    assert runtime.ratio([2.0, 3.0, 40.0], [1.0, 1.0, 1.0]) == {"median": 3.0, "low": 2.0, "high": 40.0}
