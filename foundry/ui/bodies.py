"""The bodies of requests: read whole within bounds of time and number, and handed on to what is behind the gate."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from foundry.ui import limits
from foundry.ui.asking import RefusedError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class ClickBodies:
    """The bodies of clicks that are on their way, by user."""

    def __init__(self) -> None:
        self.on_their_way: Counter[str] = Counter()

    async def read(self, user: str, receive: Receive) -> bytes:
        """The whole body of a user's click.

        Raises:
            RefusedError: when it is broken off or does not come in time, or too many are on their way.
        """
        if (
            self.on_their_way.total() >= limits.CLICKS_ARRIVING
            or self.on_their_way[user] >= limits.CLICKS_ARRIVING_OF_EACH
        ):
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "too many clicks are on their way: wait a few seconds")
        self.on_their_way[user] += 1
        try:
            async with asyncio.timeout(limits.CLICK_SECONDS):
                return await whole(receive)
        except TimeoutError as error:
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time") from error
        finally:
            self.on_their_way -= Counter([user])  # which forgets who has none


async def whole(receive: Receive) -> bytes:
    """The whole body of a request.

    Raises:
        RefusedError: when it is broken off.
    """
    content, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the request was broken off, or is too long")
        content += message.get("body", b"")
        more = bool(message.get("more_body"))
    return bytes(content)


def replayed(content: bytes, receive: Receive) -> Receive:
    """What hands on a body that was read, and then whatever follows it."""
    is_read = False

    async def receive_again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": content, "more_body": False}

    return receive_again
