"""How long a request to the Hub may take: for the connection, for the answer, and for each byte that is moved."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from foundry.base.errors import FoundryError

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0  # from a request that only reads to the end of its answer
WRITE_SECONDS = 180.0  # the Hub takes a minute for a commit of many files
SLOWEST_BYTES_PER_SECOND = 20_000  # what is moved prolongs the limit at this rate
MOST_UNANSWERED = 3  # requests; an attempt to retry each would wait for an hour

_unanswered = 0
_lock = threading.Lock()


class Unanswered(FoundryError):
    """The server takes connections and does not answer in time: no further attempt is made."""


def forget_unanswered() -> None:
    """Count the requests that are given up from here on."""
    global _unanswered
    _unanswered = 0


def seconds_for(method: str | None) -> float:
    """How long a request may take, besides the time for the bytes that it moves."""
    return READ_SECONDS if method in ("GET", "HEAD", None) else WRITE_SECONDS


def give_up(seconds: float) -> NoReturn:
    """Count a request that was not answered in time.

    Raises:
        TimeoutError: which the client takes for a fault of the moment.
        Unanswered: when there were as many as are waited for.
    """
    global _unanswered
    with _lock:
        _unanswered += 1
        count = _unanswered
    if count >= MOST_UNANSWERED:
        raise Unanswered(
            f"the Hub takes the connection and does not answer: {count} requests were given up, the last one after "
            f"{seconds:.0f} s. Nothing more was tried; run again later, or look at the proxy in between"
        )
    raise TimeoutError("timed out")


class Clock:
    """How much time is left for one request, in which so many bytes were moved."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.bytes, self.started = seconds, 0, time.monotonic()

    def left(self) -> float:
        """Seconds that are left, more than 0.

        Raises:
            TimeoutError: where none are, as `give_up` does.
        """
        left = self.started + self.seconds + self.bytes / SLOWEST_BYTES_PER_SECOND - time.monotonic()
        if left <= 0:
            give_up(self.seconds)
        return left

    @contextmanager
    def limit(self, connection: socket.socket) -> Iterator[None]:
        """Let the next step on the connection take no longer than what is left."""
        left = self.left()
        before = connection.gettimeout()
        connection.settimeout(left if before is None else min(before, left))
        try:
            yield
        except TimeoutError:
            give_up(time.monotonic() - self.started)
        finally:
            with suppress(OSError):  # closed meanwhile
                connection.settimeout(before)
