"""Requests with a time limit by httpx and httpcore, or by httpx2 and httpcore2: these carry huggingface_hub 1 and 2.

The client stays huggingface_hub's own, with its proxies and certificates. What changes is what its connections are made
of: a stream that lets each step take no longer than what is left for the request.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from foundry.base import hub_client, time_limits
from foundry.base.errors import FoundryError
from foundry.base.time_limits import Clock, seconds_for

_clock: ContextVar[Clock] = ContextVar("clock")  # of the request that is being sent


def client(make: Callable[[], Any]) -> Any:
    """The client that `make` gives, with limits.

    Raises:
        FoundryError: when the client holds its connections elsewhere than versions known here.
    """
    limited = make()
    try:
        transports = [limited._transport, *limited._mounts.values()]  # the mounts are those of proxies
        for transport in filter(None, transports):
            transport._pool._network_backend = LimitedBackend(transport._pool._network_backend)
    except AttributeError as error:
        raise FoundryError(f"huggingface_hub's client is not one that can be given time limits: {error}") from error
    limited.event_hooks = {
        **limited.event_hooks,
        "request": [*limited.event_hooks["request"], _begin],
    }
    return limited


def _begin(request: Any) -> None:
    """Start the clock of a request, and let it wait for a connection no longer than for a request that was sent."""
    seconds = seconds_for(request.method)
    _clock.set(Clock(seconds))
    given = request.extensions.get("timeout") or {}
    limits = {"connect": time_limits.CONNECT_SECONDS, "read": seconds, "write": seconds, "pool": seconds}
    request.extensions["timeout"] = {name: given.get(name) or limit for name, limit in limits.items()}


class LimitedStream:
    """A connection each of whose steps takes no longer than what is left for its request: httpcore's NetworkStream."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.clock = _clock.get()  # of the request that opened the connection, until another is sent on it

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come, at most so many bytes."""
        content: bytes = self._within(timeout, lambda seconds: self.stream.read(max_bytes, timeout=seconds))
        self.clock.bytes += len(content)
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send a block of a request."""
        self.clock = _clock.get()
        self._within(timeout, lambda seconds: self.stream.write(buffer, timeout=seconds))
        self.clock.bytes += len(buffer)

    def start_tls(self, *arguments: Any, timeout: float | None = None, **options: Any) -> "LimitedStream":
        """The same connection, encrypted."""
        return LimitedStream(
            self._within(timeout, lambda seconds: self.stream.start_tls(*arguments, timeout=seconds, **options))
        )

    def close(self) -> None:
        """Close the connection."""
        self.stream.close()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a connection, such as whether it is still readable."""
        return self.stream.get_extra_info(info)

    def _within(self, timeout: float | None, step: Callable[[float], Any]) -> Any:
        core = hub_client.http_core()
        try:
            left = self.clock.left()
            return step(left if timeout is None else min(timeout, left))
        except core.TimeoutException:
            try:
                time_limits.give_up(time.monotonic() - self.clock.started)
            except TimeoutError as error:
                raise core.ReadTimeout("timed out") from error
        except TimeoutError as error:
            raise core.ReadTimeout("timed out") from error


class LimitedBackend:
    """Opens connections with limits: httpcore's NetworkBackend."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    def connect_tcp(self, *arguments: Any, **options: Any) -> LimitedStream:
        """Connect to a server, or to a proxy."""
        return LimitedStream(self.backend.connect_tcp(*arguments, **options))

    def connect_unix_socket(self, *arguments: Any, **options: Any) -> LimitedStream:
        """Connect to a socket of this machine."""
        return LimitedStream(self.backend.connect_unix_socket(*arguments, **options))

    def sleep(self, seconds: float) -> None:
        """Wait, as httpcore does between two attempts to connect."""
        self.backend.sleep(seconds)
