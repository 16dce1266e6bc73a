"""Requests with a time limit by requests and urllib3, which carry those of huggingface_hub 0."""

import http.client
import io
import socket
from typing import Any

import requests
import urllib3.connection
import urllib3.connectionpool
from requests.adapters import HTTPAdapter

from foundry.base import time_limits
from foundry.base.time_limits import Clock, seconds_for


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
        limits = timeout if timeout is not None else (time_limits.CONNECT_SECONDS, seconds_for(request.method))
        return super().send(request, stream, limits, verify, cert, proxies)


def session() -> requests.Session:
    """A session with limits for huggingface_hub."""
    limited = requests.Session()
    limited.mount("http://", LimitedAdapter())
    limited.mount("https://", LimitedAdapter())
    return limited
