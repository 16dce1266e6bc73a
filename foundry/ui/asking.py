"""What a request says, read strictly: what could be read in two ways is refused, because what is behind the gate might
read the other one."""

import json
import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from foundry.ui import limits

# What decides over a request; a second one of the same name is no request of a browser.
ONCE = ("host", "origin", "content-length", "content-type", "cookie", "transfer-encoding")
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
COOKIE = "session"


class RefusedError(Exception):
    """A request that is not answered: the status, and the reason as one line."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status, self.why = int(status), why


def headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers by their names in lower case.

    Raises:
        RefusedError: when one that decides over the request is there twice.
    """
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]
    names = [name for name, _ in pairs]
    if twice := [name for name in ONCE if names.count(name) > 1]:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{twice[0]} is there twice")
    return dict(pairs)


def cookies(header: str) -> list[tuple[str, str]]:
    """The names and values of a header of cookies.

    Raises:
        RefusedError: when it names two sessions.
    """
    parts = (part.partition("=") for part in header.split(";") if part.strip())
    pairs = [(name.strip(), value.strip()) for name, _, value in parts]
    if [name for name, _ in pairs].count(COOKIE) > 1:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "there are two sessions in this request's cookies")
    return pairs


def query(text: bytes) -> dict[str, str]:
    """The parameters of an address.

    Raises:
        RefusedError: when one is there twice.
    """
    return _once(parse_qsl(text.decode("latin-1"), keep_blank_values=True))


def length(text: str | None) -> int:
    """The bytes that a request says it has; 0 where it says nothing.

    Raises:
        RefusedError: when it is no number.
    """
    text = "0" if text is None else text
    if not (text.isascii() and text.isdigit() and len(text) <= 15):  # `²` is a digit, and no number to int()
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "its length is no number")
    return int(text)


def host_of(origin: str) -> str | None:
    """The host and port that an Origin header names; None where it is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def session(value: object) -> str:
    """The random name of a browser's session.

    Raises:
        RefusedError: when there is none.
    """
    if not isinstance(value, str) or not SESSION.fullmatch(value):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "a request names one session")
    return value


def body(content: bytes) -> dict[str, Any]:
    """A body in JSON, read as FastAPI reads it.

    Raises:
        RefusedError: when it is none, has too many parts, or a name is there twice in one object.
    """
    if content.count(b"{") + content.count(b"[") > limits.CLICK_PARTS:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "its body has too many parts")
    try:
        value = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "its body is no JSON") from error
    if not isinstance(value, dict):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "its body is no object")
    return value


def file_paths(value: object) -> Iterator[object]:
    """Whatever a body names as the path of a file, at any depth: Gradio opens, or downloads, what stands there."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            if "path" in current:
                yield current["path"]
            waiting += current.values()
        elif isinstance(current, list):
            waiting += current


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "a name is there twice")
    return values
