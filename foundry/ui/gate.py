"""What stands in front of Gradio: which addresses are answered at all, and for whom.

Gradio serves files, proxies other servers and calls functions by name at addresses that this page does not need. Only
what the page itself asks for is let through, so that whatever these do is no door.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from foundry.ui import uploads, workspaces

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

API = "/gradio_api"
READ = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/logout/?|/login/(huggingface|callback)/?"
    r"|/(assets|static|svelte)/[\w./-]+"
    rf"|{API}/(startup-events|theme\.css|app_id|upload_progress|queue/data|heartbeat/\w+)/?"
)
WRITE = re.compile(rf"{API}/(queue/join|upload|cancel|reset)/?")
LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
MOST_BYTES_SENT = uploads.MOST_BYTES + 1_000_000
MOST_BYTES_KEPT = 500_000_000  # of uploads that nobody has used yet
MOST_SESSIONS = 10_000
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "manifest-src 'self'; media-src 'self' data: blob:; base-uri 'self'; form-action 'self'; frame-ancestors "
)


def cookie_identity(headers: dict[str, str]) -> str:
    """What tells sessions of a shared page apart: the contents of the session's cookie, which its signature follows."""
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get("session")
    except CookieError:
        return ""
    return cookie.value.partition(".")[0] if cookie is not None else ""


class Gate:
    """An ASGI application around another one.

    Args:
        app: What is behind it.
        shared: Whether the page is on a host of its own; otherwise it is on loopback and answers to no other name.
        uploaded: The folder that Gradio keeps uploads in.
        identity: What tells users apart by the headers of a request, on a shared page.
    """

    def __init__(
        self, app: App, shared: bool, uploaded: Path, identity: Callable[[dict[str, str]], str] = cookie_identity
    ) -> None:
        self.app, self.shared, self.uploaded, self.identity = app, shared, uploaded, identity
        self.owners: dict[str, str] = {}  # of each session of a browser, who opened it
        ancestors = "'self' https://huggingface.co https://*.hf.space" if shared else "'none'"
        self.headers = [
            (b"content-security-policy", (POLICY + ancestors).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with a line that says why."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page has no web sockets
            return
        if (refused := self.refuses(scope)) is not None:
            status, why = refused
            headers = [(b"content-type", b"text/plain; charset=utf-8"), *self.headers]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": why.encode()})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self.headers]
            await send(message)

        await self.app(scope, self.limited(receive), send_with_headers)

    def refuses(self, scope: Message) -> tuple[int, str] | None:
        """The status and the reason with which a request is refused; None where it is not."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, method, path = headers.get("host", ""), scope["method"], scope["path"]
        if not self.shared and not LOOPBACK.fullmatch(host):
            # A page of another site, whose name its owner lets point to this machine.
            return 403, "this page is for this machine alone: open it as http://127.0.0.1"
        if method not in ("GET", "HEAD", "POST"):
            return 405, "GET and POST are answered"
        if not (WRITE if method == "POST" else READ).fullmatch(path) or ".." in path:
            return 404, "there is nothing here"
        if method == "POST":
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
                return 403, "another page may not use this one"
            if (
                not headers.get("content-length", "0").isdigit()
                or int(headers.get("content-length", "0")) > MOST_BYTES_SENT
            ):
                return 413, f"at most {uploads.MOST_BYTES // 1_000_000} MB are taken"
            if path.startswith(f"{API}/upload") and workspaces.size_bytes(self.uploaded) > MOST_BYTES_KEPT:
                return 507, "there is no room for uploads now: try again in an hour"
        return self.refuses_session(scope, headers)

    def refuses_session(self, scope: Message, headers: dict[str, str]) -> tuple[int, str] | None:
        """On a shared page, whoever opened a session of a browser is the only one who may read what it is sent."""
        if not self.shared or not scope["path"].startswith(f"{API}/queue/data"):
            return None
        [session, *_] = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash", [""])
        if len(self.owners) >= MOST_SESSIONS:
            self.owners.pop(next(iter(self.owners)))
        identity = self.identity(headers)
        if self.owners.setdefault(session, identity) != identity:
            return 403, "this is the session of another browser"
        return None

    def limited(self, receive: Receive) -> Receive:
        """The request's body, cut off where it is longer than it may be, whatever its header said."""
        total = 0

        async def receive_limited() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            return {"type": "http.disconnect"} if total > MOST_BYTES_SENT else message

        return receive_limited
