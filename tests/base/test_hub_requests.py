"""hub_requests: whatever a server does or leaves undone, a request ends; here in tenths of a second, not in minutes."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from foundry.base import hub_client, hub_requests, time_limits
from foundry.base.errors import FoundryError
from foundry.publishing.hub import retries
from tests.support.hub_server import forget_connections

sleep = time.sleep  # the client's own, which is the same function, is taken away
HEAD = b"HTTP/1.1 200 OK\r\n"


def drip(connection: socket.socket, beginning: bytes, drop: bytes) -> None:
    connection.recv(1000)
    connection.sendall(beginning)
    while True:
        connection.sendall(drop)
        sleep(0.02)


BEHAVIOURS: dict[str, Callable[[socket.socket], None]] = {
    "silent": lambda connection: sleep(20),
    "headers, byte by byte": lambda connection: drip(connection, HEAD + b"X-Long: ", b"a"),
    "a body, byte by byte": lambda connection: drip(connection, HEAD + b"Content-Length: 99999\r\n\r\n", b"a"),
    "chunks, byte by byte": lambda connection: drip(
        connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"
    ),
    "a body without an end": lambda connection: drip(connection, HEAD + b"Connection: close\r\n\r\n", b"a"),
}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Start a server that behaves so; give its address."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(retries, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(time_limits, "READ_SECONDS", 0.3)
    monkeypatch.setattr(time_limits, "WRITE_SECONDS", 0.3)
    listening: list[socket.socket] = []

    def start(behaviour: str) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)

        def answer(connection: socket.socket) -> None:
            with suppress(OSError):
                BEHAVIOURS[behaviour](connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    yield start
    for listener in listening:
        listener.close()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_server_that_does_not_answer(serve: Callable[[str], str], behaviour: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.utils import http_backoff

    address = serve(behaviour)
    api = HfApi(endpoint=address, token="hf_" + "x" * 34)
    large = b"0" * 10_000_000  # more than the system keeps for a server that reads nothing
    body = "data" if hub_client.generation() == 0 else "content"
    for ask in (api.whoami, lambda: http_backoff("PUT", address, **{body: large})):
        with pytest.raises(FoundryError, match="takes the connection and does not answer: 3 requests were given up"):
            retries.with_retries(ask, "org/name")


def test_what_moves_fast_enough_may_take_long() -> None:
    left, right = socket.socketpair()
    clock = time_limits.Clock(seconds=0.1)
    clock.bytes = 10 * time_limits.SLOWEST_BYTES_PER_SECOND
    sleep(0.2)
    with left, right, clock.limit(left):
        assert left.gettimeout() == pytest.approx(9.9, abs=0.5)
    clock.bytes = 0
    with pytest.raises((TimeoutError, time_limits.Unanswered)), clock.limit(left):
        pass


def test_without_the_hub_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    forget_connections()
    with hub_requests.limited(), pytest.raises(OfflineModeIsEnabled):
        HfApi(endpoint="http://127.0.0.1:9").model_info("org/name")
