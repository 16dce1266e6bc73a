"""A login that fails behind the gate: the Hub's answer cannot be read, or says no.

Gradio leaves that to its server, which would answer without a word and write what the Hub said into its log.
"""

from http import HTTPStatus
from typing import Any

from foundry.base.progress import say
from foundry.ui.bodies import Message, Receive
from foundry.ui.login_sessions import LOGIN

FAILED = "the Hub did not log you in: go back to the page, and try again"


class LoginFailures:
    """An ASGI application around another one, whose errors at the end of a login are one line."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http" or not scope["path"].startswith(LOGIN):
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def send_if_good(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start" and message["status"] < HTTPStatus.INTERNAL_SERVER_ERROR:
                has_begun = True
            if has_begun:
                await send(message)

        try:
            await self.app(scope, receive, send_if_good)
        except Exception as error:  # of several libraries, and with the Hub's words in it
            if has_begun:
                raise
            say(f"a login failed: {type(error).__name__}")
        if not has_begun:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": HTTPStatus.BAD_GATEWAY, "headers": headers})
            await send({"type": "http.response.body", "body": FAILED.encode()})
