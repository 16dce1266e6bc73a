"""How batches of a graph are run, one at a time or several at once."""

import threading
import time
from collections.abc import Iterator

import pytest
from foundry_runtime.graphs import Graph
from foundry_runtime.run_settings import Layout
from foundry_runtime.streams import WAITING, Streams

SINGLE, MANY = Layout(threads=4, runs=1), Layout(threads=1, runs=4)


class Loaded:
    """Stands in for a graph: it knows how it was loaded."""

    inputs = outputs = ()

    is_aligned = False

    def __init__(self, layout: Layout, for_many: bool) -> None:
        self.layout, self.for_many = layout, for_many

    def run(self, values: object, outputs: object = None) -> dict[str, object]:
        raise AssertionError("nothing here runs a graph")


def layout_of(graph: Graph, _: int) -> Layout:
    assert isinstance(graph, Loaded)
    return graph.layout


def test_a_batch_alone_has_every_thread_and_several_share_them() -> None:
    opened: list[Layout] = []

    def open_graph(layout: Layout, for_many: bool) -> Loaded:
        opened.append(layout)
        assert for_many == (layout == MANY)
        return Loaded(layout, for_many)

    streams = Streams(open_graph, SINGLE, MANY)
    assert list(streams.run(layout_of, [])) == []
    assert list(streams.run(layout_of, iter([1]))) == [SINGLE]
    assert opened == [SINGLE]
    assert list(streams.run(layout_of, iter([1, 2, 3]))) == [MANY] * 3
    assert list(streams.run(layout_of, [1, 2])) == [MANY] * 2
    assert opened == [SINGLE, MANY]
    assert list(Streams(Loaded, SINGLE, SINGLE).run(layout_of, [1, 2])) == [SINGLE] * 2


def test_answers_are_in_the_order_of_the_batches_which_run_at_once() -> None:
    together = threading.Barrier(MANY.runs)

    def work(_: Graph, number: int) -> int:
        if number < MANY.runs:
            together.wait(timeout=20)
            time.sleep(0.01 * (MANY.runs - number))
        return number

    assert list(Streams(Loaded, SINGLE, MANY).run(work, range(50))) == list(range(50))


def test_batches_are_made_as_streams_come_free() -> None:
    made: list[int] = []

    def batches() -> Iterator[int]:
        for number in range(200):
            made.append(number)
            yield number

    answers = Streams(Loaded, SINGLE, MANY).run(lambda _, number: number, batches())
    for answered in range(200):
        assert next(answers) == answered
        assert len(made) <= answered + MANY.runs * WAITING + 2
    assert len(made) == 200


@pytest.mark.parametrize("many", [SINGLE, MANY])
def test_the_first_error_of_a_batch_or_of_what_makes_them_ends_it(many: Layout) -> None:
    streams = Streams(Loaded, SINGLE, many)
    worked: list[int] = []

    def work(_: Graph, number: int) -> int:
        worked.append(number)
        if number == 3:
            raise ValueError("batch 3")
        time.sleep(0.01)
        return number

    answers = streams.run(work, iter(range(1000)))
    with pytest.raises(ValueError, match="batch 3"):
        list(answers)
    time.sleep(0.1)
    assert len(worked) < 100

    def broken() -> Iterator[int]:
        yield from (0, 1)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(streams.run(work, broken()))
    assert list(streams.run(lambda _, number: number, range(9))) == list(range(9))
