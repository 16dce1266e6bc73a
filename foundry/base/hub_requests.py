"""Every request to the Hub with a time limit: for the connection, for the answer, and for each byte that is moved.

huggingface_hub gives most of its requests no limit, and one between two bytes to the others, so that a server that
takes the connection and never answers, or answers a byte now and then, would be waited for without an end. How a
connection is given its limit depends on the client's generation: `limited_requests` for huggingface_hub 0,
`limited_httpx` since 1.
"""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NoReturn

from foundry.base import hub_client
from foundry.base.errors import FoundryError

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0  # from a request that only reads to the end of its answer
WRITE_SECONDS = 180.0  # the Hub takes a minute for a commit of many files
SLOWEST_BYTES_PER_SECOND = 20_000  # what is moved prolongs the limit at this rate
# What huggingface_hub has of these settings, and what they are meanwhile.
TRANSFERS = {"HF_HUB_DISABLE_XET": True, "HF_HUB_ENABLE_HF_TRANSFER": False}
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


@contextmanager
def limited() -> Iterator[None]:
    """Let huggingface_hub ask the Hub with time limits alone, and quietly.

    Its transfers through Xet and hf_transfer are off, because they have no limit; plain HTTP moves the same bytes. Its
    warnings are off, because they quote signed addresses, and its progress bars outside of a terminal.
    """
    global _unanswered
    from huggingface_hub import constants
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    _unanswered = 0
    verbosity, had_bars = logging.get_verbosity(), not are_progress_bars_disabled()
    before = {name: getattr(constants, name) for name in TRANSFERS if hasattr(constants, name)}
    for name in before:
        setattr(constants, name, TRANSFERS[name])
    reset = _limit_requests()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            enable_progress_bars()
        reset()
        for name, value in before.items():
            setattr(constants, name, value)


def _limit_requests() -> Callable[[], None]:
    """Let the client's requests have limits; what is returned takes them away again."""
    if hub_client.generation() == 0:
        from huggingface_hub import configure_http_backend, constants

        from foundry.base import limited_requests

        if not constants.HF_HUB_OFFLINE:  # the client's own session refuses every request then
            configure_http_backend(limited_requests.session)
        return configure_http_backend
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    from foundry.base import limited_httpx

    set_client_factory(partial(limited_httpx.client, default_client_factory))
    return partial(set_client_factory, default_client_factory)
