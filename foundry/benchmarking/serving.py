"""What a child of a fork server measures of requests: texts that arrive at random, one by one, served by threads.

The arrivals do not wait for what came before them (an open loop), as those of many users do not. A request's latency
counts from when it was to arrive: one that waits because others are served first is slow, and seen to be.
"""

import itertools
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from foundry.benchmarking import measuring
from foundry.benchmarking.by_runtime import RuntimeVariant
from foundry.benchmarking.other_load import Stopwatch, Taken

PATIENCE = 2.0  # so many times as long as requests arrive, their answers are waited for


@dataclass(frozen=True)
class Request:
    """A text, and when it arrives."""

    seconds: float  # after the first could
    text: str


@dataclass(frozen=True)
class Served:
    """What one child saw of one row."""

    latency_ms: list[float]  # of each request, in the order of arrival; without an answer, how long it had waited
    unanswered: int  # requests, when nobody waited any longer
    taken: Taken | None  # what other jobs took of the processor meanwhile


def arrivals(groups: Sequence[Sequence[str]], per_second: float, seconds: float, seed: int) -> list[Request]:
    """Requests at the times of a Poisson process, of which as many arrive as are expected; the same for the same seed.

    As many are of each group of texts, in an order that is drawn, and no text comes again before all of its group have:
    what chance adds to a measurement is when they arrive.
    """
    draw = random.Random(seed)
    count = max(round(per_second * seconds), 1)
    times = sorted(draw.uniform(0, seconds) for _ in range(count))
    texts = [itertools.cycle(draw.sample(group, len(group))) for group in groups]
    numbers = [number % len(groups) for number in range(count)]
    draw.shuffle(numbers)
    return [Request(moment, next(texts[number])) for moment, number in zip(times, numbers, strict=True)]


def serve(
    answer: Callable[[str], Any],
    requests: Sequence[Request],
    callers: int,
    patience: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[list[float], int]:
    """Milliseconds from each request's arrival to its answer; and how many had none after `patience` seconds.

    So many threads as there are `callers` answer the requests in the order of their arrival, one each at a time.
    """
    waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    ended: dict[int, float] = {}

    def work() -> None:
        while (number := waiting.get()) is not None:
            answer(requests[number].text)
            ended[number] = clock()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    began = clock()
    for number, request in enumerate(requests):
        if (early := began + request.seconds - clock()) > 0:
            sleep(early)
        waiting.put(number)
    deadline = began + patience
    while len(ended) < len(requests) and clock() < deadline and any(thread.is_alive() for thread in threads):
        sleep(0.001)
    now, answered = clock(), dict(ended)
    for _ in threads:
        waiting.put(None)
    latencies = [
        1000 * (answered.get(number, now) - began - request.seconds) for number, request in enumerate(requests)
    ]
    return latencies, len(requests) - len(answered)


def measure(way: measuring.Way, requests: Sequence[Request], callers: int) -> Served:
    """Load the variant, embed every text that will come once, and serve the requests."""
    loaded = measuring.open_way(way)
    encode = loaded.encode if isinstance(loaded, RuntimeVariant) else partial(loaded.encode, batch_size=1)
    items = dict(zip((request.text for request in requests), loaded.items([r.text for r in requests], 1), strict=True))
    for item in items.values():
        encode([item])
    stopwatch = Stopwatch()
    latencies, unanswered = serve(
        lambda text: encode([items[text]]), requests, callers, PATIENCE * requests[-1].seconds + 1
    )
    return Served(latencies, unanswered, stopwatch.taken())
