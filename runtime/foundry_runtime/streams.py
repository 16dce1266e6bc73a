"""Run batches of a graph: one at a time with every thread, or as many at once as there are streams."""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from foundry_runtime.graphs import Graph
from foundry_runtime.run_settings import Layout

T = TypeVar("T")
R = TypeVar("R")
OpenGraph = Callable[[Layout, bool], Graph]  # the second is whether it is for many batches
WAITING = 4  # batches for each stream, so that none is without work while the next are made


class Streams:
    """A graph, loaded for one batch alone, and again for many batches at once when many first come.

    Args:
        open_graph: Loads the graph.
        single: For one batch.
        many: For many. Where it is the same, the graph is loaded once.
    """

    def __init__(self, open_graph: OpenGraph, single: Layout, many: Layout) -> None:
        self._open, self._layout, self.count = open_graph, many, many.runs
        self.single = open_graph(single, False)
        self._many: Graph | None = self.single if many == single else None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def run(self, work: Callable[[Graph, T], R], batches: Iterable[T]) -> Iterator[R]:
        """What `work` gives for each batch, in the order of the batches, which are asked for as streams come free.

        Raises:
            Exception: what `work` or `batches` raises; batches that have not begun are then left.
        """
        coming = iter(batches)
        first = list(itertools.islice(coming, 2))
        if len(first) < 2:
            yield from (work(self.single, batch) for batch in first)
            return
        coming = itertools.chain(first, coming)
        graph, pool = self._for_many()
        if pool is None:
            yield from (work(graph, batch) for batch in coming)
            return
        begun: deque[Future[R]] = deque()
        try:
            for batch in coming:
                begun.append(pool.submit(work, graph, batch))
                if len(begun) > self.count * WAITING:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()

    def _for_many(self) -> tuple[Graph, ThreadPoolExecutor | None]:
        """The graph for many batches, and the threads that run them; none where they run one after another."""
        with self._lock:
            if self._many is None:
                self._many = self._open(self._layout, True)
            if self._pool is None and self.count > 1:
                self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="foundry-runtime")
            return self._many, self._pool
