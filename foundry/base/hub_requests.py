"""Every request to the Hub with a time limit: for the connection, for the answer, and for each byte that is moved.

huggingface_hub gives most of its requests no limit, and one between two bytes to the others, so that a server that
takes the connection and never answers, or answers a byte now and then, would be waited for without an end.
"""

import http.client
import io
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import requests
import urllib3.connection
import urllib3.connectionpool
from requests.adapters import HTTPAdapter

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

    @contextmanager
    def limit(self, connection: socket.socket) -> Iterator[None]:
        """Let the next step on the connection take no longer than what is left."""
        left = self.started + self.seconds + self.bytes / SLOWEST_BYTES_PER_SECOND - time.monotonic()
        if left <= 0:
            give_up(self.seconds)
        before = connection.gettimeout()
        connection.settimeout(left if before is None else min(before, left))
        try:
            yield
        except TimeoutError:
            give_up(time.monotonic() - self.started)
        finally:
            with suppress(OSError):  # closed meanwhile
                connection.settimeout(before)


class LimitedReader(io.RawIOBase):
    """What a server answers, as it comes from the connection."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, seconds: float) -> None:
        self.raw, self.connection, self.clock = raw, connection, Clock(seconds)

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has come, within the limit."""
        with self.clock.limit(self.connection):
            count = self.raw.readinto(buffer)
        self.clock.bytes += count or 0
        return count

    def close(self) -> None:
        """Close it, and with it the connection's file."""
        self.raw.close()
        super().close()


class LimitedResponse(http.client.HTTPResponse):
    """An answer that is read within a limit, its headers included."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        raw: Any = self.fp.detach()  # always a buffered reader of the socket
        self.fp = io.BufferedReader(LimitedReader(raw, sock, seconds_for(method)))


class LimitedSending:
    """A connection on which a request is sent within a limit; mixed into urllib3's."""

    response_class: Any = LimitedResponse
    sock: socket.socket | None
    clock: Clock

    def putrequest(self, method: str, *arguments: Any, **options: Any) -> None:
        """Begin a request."""
        self.clock = Clock(seconds_for(method))
        super().putrequest(method, *arguments, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        """Send one block of a request."""
        if self.sock is None:
            super().send(data)  # type: ignore[misc]  # which connects first
        else:
            with self.clock.limit(self.sock):
                super().send(data)  # type: ignore[misc]
        self.clock.bytes += len(data)


class HttpConnection(LimitedSending, urllib3.connection.HTTPConnection):
    """Without encryption, as to a proxy or a mirror."""


class HttpsConnection(LimitedSending, urllib3.connection.HTTPSConnection):
    """With encryption."""


class HttpPool(urllib3.connectionpool.HTTPConnectionPool):
    """Connections without encryption."""

    ConnectionCls = HttpConnection


class HttpsPool(urllib3.connectionpool.HTTPSConnectionPool):
    """Connections with encryption."""

    ConnectionCls = HttpsConnection


class LimitedAdapter(HTTPAdapter):
    """What carries the requests of a session."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the connections those with a limit."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """The same through a proxy."""
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
        return manager

    def send(
        self, request: Any, stream: bool = False, timeout: Any = None, verify: Any = True, cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:  # fmt: skip
        """Send a request, which has a limit for the connection and between two bytes, too."""
        limits = timeout if timeout is not None else (CONNECT_SECONDS, seconds_for(request.method))
        return super().send(request, stream, limits, verify, cert, proxies)


def session() -> requests.Session:
    """A session with limits for huggingface_hub."""
    limited = requests.Session()
    limited.mount("http://", LimitedAdapter())
    limited.mount("https://", LimitedAdapter())
    return limited


@contextmanager
def limited() -> Iterator[None]:
    """Let huggingface_hub ask the Hub with time limits alone, and quietly.

    Its transfers through Xet and hf_transfer are off, because they have no limit; plain HTTP moves the same bytes. Its
    warnings are off, because they quote signed addresses, and its progress bars outside of a terminal.
    """
    global _unanswered
    from huggingface_hub import configure_http_backend, constants
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    _unanswered = 0
    verbosity, had_bars = logging.get_verbosity(), not are_progress_bars_disabled()
    unlimited = constants.HF_HUB_DISABLE_XET, constants.HF_HUB_ENABLE_HF_TRANSFER
    constants.HF_HUB_DISABLE_XET, constants.HF_HUB_ENABLE_HF_TRANSFER = True, False
    if not constants.HF_HUB_OFFLINE:  # the client's own session refuses every request then
        configure_http_backend(session)
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            enable_progress_bars()
        configure_http_backend()
        constants.HF_HUB_DISABLE_XET, constants.HF_HUB_ENABLE_HF_TRANSFER = unlimited
