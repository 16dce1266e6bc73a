"""Who is logged in on a shared host, kept in the server's memory: a browser is given a random name, and never a token.

Gradio writes what the Hub's login gave, the token too, into a cookie that is signed and not encrypted. This stands in
between: the cookie's content stays here, under the SHA-256 of the random name that the browser gets in its place. A
restart of the server forgets it, and people log in again.

A Space is shown inside of the Hub's page. Browsers that keep no cookies of such frames keep those that are
`Partitioned`, which are sent where the frame is in the same page again. Without it, a login there never ends.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple

from foundry.base.errors import FoundryError
from foundry.ui import asking, limits, sessions, workspaces

NOBODY = ("null", '""', "")  # how Gradio writes that nobody is logged in any more, or that a cookie is to be forgotten
LOGIN = "/login/callback"
PARTITIONED = "; Partitioned"

Headers = Sequence[tuple[bytes, bytes]]


class Kept(NamedTuple):
    """The content of a cookie, and since when it is kept."""

    content: str
    since: float
    is_begun: bool  # nobody is logged in yet

    @property
    def is_over(self) -> bool:
        """Whether it is too old."""
        return self.since + (limits.LOGIN_BEGUN_SECONDS if self.is_begun else limits.LOGIN_SECONDS) < time.time()

    def __repr__(self) -> str:
        """Without the content, which holds a token."""
        return f"Kept(since={self.since}, is_begun={self.is_begun})"


def user_of(content: str) -> str:
    """The key of the user who is logged in, by a cookie of Gradio's; empty where nobody is."""
    try:
        return workspaces.key(sessions.user_in(json.loads(base64.b64decode(content.partition(".")[0]))).name)
    except (ValueError, AttributeError, TypeError, FoundryError):
        return ""


class LoginSessions:
    """The contents of Gradio's cookies, by the SHA-256 of the names that browsers have for them."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}

    def find(self, headers: dict[str, str]) -> tuple[str, str]:
        """The name that a request's cookie has, and the content that is kept for it; empty where there is none."""
        name = dict(asking.cookies(headers.get("cookie", ""))).get(asking.COOKIE, "")
        kept = self.kept.get(_digest(name))
        if kept is None or kept.is_over:
            return "", ""
        return name, kept.content

    def identity(self, headers: dict[str, str]) -> str:
        """The key of the user who asks; empty where nobody is logged in."""
        return user_of(self.find(headers)[1])

    def inward(self, raw: Headers, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
        """The headers of a request as Gradio gets them: with what is kept in the place of the random name."""
        pairs = [pair for pair in asking.cookies(headers.get("cookie", "")) if pair[0] != asking.COOKIE]
        if content := self.find(headers)[1]:
            pairs.append((asking.COOKIE, content))
        others = [(name, value) for name, value in raw if name.lower() != b"cookie"]
        if not pairs:
            return others
        return [*others, (b"cookie", "; ".join(f"{name}={value}" for name, value in pairs).encode("latin-1"))]

    def outward(self, raw: Headers, headers: dict[str, str], path: str) -> list[tuple[bytes, bytes]]:
        """The headers of an answer as the browser gets them: with a random name in the place of the content.

        Args:
            headers: Of the request.
            path: That was asked for; a login gets a new name, so that nobody has known it before.
        """
        answered = []
        for name, value in raw:
            text = value.decode("latin-1")
            if name.lower() == b"set-cookie" and text.startswith(f"{asking.COOKIE}="):
                content, semicolon, rest = text.removeprefix(f"{asking.COOKIE}=").partition(";")
                given = self.replace(self.find(headers)[0], content, path.startswith(LOGIN))
                value = f"{asking.COOKIE}={given}{semicolon}{rest}{PARTITIONED}".encode("latin-1")
            answered.append((name, value))
        return answered

    def replace(self, name: str, content: str, is_login: bool) -> str:
        """Keep another content; the name that the browser is given for it."""
        is_begun = not user_of(content)
        is_empty = content in NOBODY or (is_begun and len(content) > limits.LOGIN_BEGUN_CHARACTERS)
        if is_empty or is_login:
            self.kept.pop(_digest(name), None)
            name = ""
        if is_empty:
            return content if content in NOBODY else NOBODY[0]
        name = name or secrets.token_urlsafe(32)
        self.kept.pop(_digest(name), None)
        self.kept[_digest(name)] = Kept(content, time.time(), is_begun)
        self._forget()
        return name

    def _forget(self) -> None:
        """Forget what is over, and the oldest where there are too many: whoever begins logins pushes out nobody who has
        ended theirs."""
        self.kept = {key: kept for key, kept in self.kept.items() if not kept.is_over}
        for is_begun, most in ((True, limits.LOGINS_BEGUN), (False, limits.LOGINS)):
            keys = [key for key, kept in self.kept.items() if kept.is_begun is is_begun]
            for key in keys[: max(len(keys) - most, 0)]:
                del self.kept[key]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
