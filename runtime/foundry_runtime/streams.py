"""Run batches of a graph: one at a time with every thread, or as many at once as there are streams."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from foundry_runtime.graphs import Graph

T = TypeVar("T")
R = TypeVar("R")
OpenGraph = Callable[[int, int], Graph]  # for so many threads, and so many runs at once


class Streams:
    """A graph, loaded for one batch with all threads, and again for many batches at once when many first come.

    Args:
        open_graph: Loads the graph.
        threads: All that are used.
        streams: Batches at once; each has `threads / streams` threads. With 1, the graph is loaded once.
    """

    def __init__(self, open_graph: OpenGraph, threads: int, streams: int) -> None:
        self._open, self.threads, self.count = open_graph, threads, streams
        self.single = open_graph(threads, 1)
        self._many: Graph | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def run(self, work: Callable[[Graph, T], R], batches: Sequence[T]) -> Iterator[R]:
        """What `work` gives for each batch, in the order of the batches.

        Raises:
            Exception: what `work` raises; batches that have not begun are then left.
        """
        if len(batches) == 1 or self.count == 1:
            for batch in batches:
                yield work(self.single, batch)
            return
        graph, pool = self._for_many()
        futures: list[Future[R]] = [pool.submit(work, graph, batch) for batch in batches]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()

    def _for_many(self) -> tuple[Graph, ThreadPoolExecutor]:
        with self._lock:
            if self._many is None or self._pool is None:
                self._many = self._open(self.threads, self.count)
                self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="foundry-runtime")
            return self._many, self._pool
