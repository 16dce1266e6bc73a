"""Run batches of a graph: one at a time with every thread, or as many at once as there are streams."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from foundry_runtime.graphs import Graph
from foundry_runtime.run_settings import Layout

T = TypeVar("T")
R = TypeVar("R")
OpenGraph = Callable[[Layout], Graph]


class Streams:
    """A graph, loaded for one batch alone, and again for many batches at once when many first come.

    Args:
        open_graph: Loads the graph.
        single: For one batch.
        many: For many. Where it is the same, the graph is loaded once.
    """

    def __init__(self, open_graph: OpenGraph, single: Layout, many: Layout) -> None:
        self._open, self._layout, self.count = open_graph, many, many.runs
        self.single = open_graph(single)
        self._many: Graph | None = self.single if many == single else None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def run(self, work: Callable[[Graph, T], R], batches: Sequence[T]) -> Iterator[R]:
        """What `work` gives for each batch, in the order of the batches.

        Raises:
            Exception: what `work` raises; batches that have not begun are then left.
        """
        if len(batches) == 1:
            yield work(self.single, batches[0])
            return
        graph, pool = self._for_many()
        if pool is None:
            for batch in batches:
                yield work(graph, batch)
            return
        futures: list[Future[R]] = [pool.submit(work, graph, batch) for batch in batches]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()

    def _for_many(self) -> tuple[Graph, ThreadPoolExecutor | None]:
        """The graph for many batches, and the threads that run them; none where they run one after another."""
        with self._lock:
            if self._many is None:
                self._many = self._open(self._layout)
            if self._pool is None and self.count > 1:
                self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="foundry-runtime")
            return self._many, self._pool
