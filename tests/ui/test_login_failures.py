"""Logins that fail: one line for the user, and nothing of the Hub's words in a log."""

import asyncio
from typing import Any

import pytest

from foundry.ui.login_failures import FAILED, LoginFailures

CALLBACK = "/login/callback"


def ask(path: str, *answers: Any) -> list[dict[str, Any]]:
    """What is sent where the application behind sends these messages, or raises these errors."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            await send(answer)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(LoginFailures(app)({"type": "http", "path": path}, None, send))  # type: ignore[arg-type]
    return sent


def start(status: int) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": []}


BODY = {"type": "http.response.body", "body": b"hf_secret"}
ERROR = ValueError("invalid_grant: hf_secret")


@pytest.mark.parametrize("answers", [(start(500), BODY, ERROR), (start(503), BODY), (ERROR,), ()])
def test_a_login_that_fails_is_one_line(answers: tuple[Any, ...]) -> None:
    head, body = ask(CALLBACK, *answers)
    assert (head["status"], body["body"]) == (502, FAILED.encode())


@pytest.mark.parametrize("status", [200, 302, 403])
def test_what_is_answered_is_handed_on(status: int) -> None:
    assert ask(CALLBACK, start(status), BODY) == [start(status), BODY]


def test_other_errors_are_seen() -> None:
    assert ask("/", start(500), BODY) == [start(500), BODY]
    with pytest.raises(ValueError, match="invalid_grant"):
        ask("/", ERROR)
    with pytest.raises(ValueError, match="invalid_grant"):
        ask(CALLBACK, start(200), ERROR)
