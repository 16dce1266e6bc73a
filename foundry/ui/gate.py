"""What stands in front of Gradio: which addresses are answered at all, and for whom.

Gradio serves files, proxies other servers and calls functions by name at addresses that this page does not need. Only
what the page itself asks for is let through, so that whatever these do is no door.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from foundry.ui import asking, bodies, limits, login_failures, login_page, origins
from foundry.ui.asking import RefusedError
from foundry.ui.bodies import ClickBodies, Message, Receive
from foundry.ui.click_rates import ClickRates
from foundry.ui.login_sessions import LOGIN, LoginSessions
from foundry.ui.own_names import OwnNames
from foundry.ui.upload_limits import Upload, UploadLimits

Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

API = "/gradio_api"
READ = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/logout/?|/login/(huggingface|callback)/?"
    r"|/(assets|static|svelte)/[\w./-]+"
    rf"|{API}/(startup-events|theme\.css|app_id|upload_progress|queue/data|heartbeat/\w+)/?"
)
# What somebody is answered on a shared page who is not logged in.
OPEN = re.compile(r"/|/robots\.txt|/logout/?|/login/(huggingface|callback)/?")
WRITE = re.compile(rf"{API}/(queue/join|upload|cancel|reset)/?")
HEARTBEAT = re.compile(rf"{API}/heartbeat/(\w+)/?")
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "manifest-src 'self'; media-src 'self' data: blob:; base-uri 'self'; form-action 'self'; frame-ancestors "
)


class Asked(NamedTuple):
    """A request that may be answered so far."""

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, str]
    user: str  # empty: nobody is logged in, or there is one user alone

    @property
    def is_upload(self) -> bool:
        """Whether it is the sending of a file."""
        return self.method == "POST" and self.path.startswith(f"{API}/upload")

    @property
    def most_bytes(self) -> int:
        """That its body may have: of an upload, what its header says, if it says so."""
        if not self.is_upload:
            return limits.CLICK_BYTES
        given = self.headers.get("content-length")
        return limits.UPLOAD_BYTES_SENT if given is None else asking.length(given)


class Gate:
    """An ASGI application around another one.

    Args:
        app: What is behind it.
        shared: Whether the page is on a host of its own; otherwise it is on loopback and answers to no other name.
        uploaded: The folder that Gradio keeps uploads in.
        identity: On a shared page, the user who is logged in, by the headers of a request; empty where nobody is. By
            default, it is who the Hub said.
        at_end: Is called when the server ends.
        forget: Is called with each session of a browser that is forgotten, so that nothing is kept of it.
    """

    def __init__(
        self, app: App, shared: bool, uploaded: Path, identity: Callable[[dict[str, str]], str] | None = None,
        at_end: Callable[[], None] = lambda: None, forget: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        self.app, self.shared = app, shared
        self.logins = LoginSessions() if shared and identity is None else None
        self.identity = identity or (self.logins.identity if self.logins else lambda headers: "")
        self.limits = UploadLimits(uploaded, for_each=shared)
        self.at_end, self.forget = at_end, forget
        self.rates, self.streams = ClickRates(), ClickRates()
        self.bodies = ClickBodies()
        self.forgotten: list[str] = []  # sessions of browsers
        self.sessions, self.uploads = OwnNames(self.forgotten.append), OwnNames()
        # Not `*.hf.space`: any Space could frame this one, in the Hub's page, where people are logged in.
        ancestors = "'self' https://huggingface.co" if shared else "'none'"
        self.headers = [
            (b"content-security-policy", (POLICY + ancestors).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with a line that says why."""
        if scope["type"] == "lifespan":
            try:
                await self.app(scope, receive, send)
            finally:
                await asyncio.to_thread(self.at_end)
            return
        if scope["type"] != "http":  # the page has no web sockets
            return
        upload = None
        try:
            asked = self.read(scope)
            await self.forget_sessions()
            if self.shared and not asked.user and asked.path == "/":
                await self.answer(
                    send, HTTPStatus.OK, "text/html", login_page.page(scope["query_string"].decode("latin-1"))
                )
                return
            if asked.is_upload:
                upload = await self.limits.begin(asked.user, asked.most_bytes, asked.headers.get("content-type", ""))
            receive = self.limited(receive, asked, upload)
            if asked.method == "POST" and not asked.is_upload:
                receive = await self.checked_body(asked, receive)
                await self.forget_sessions()
        except RefusedError as error:
            await self.answer(send, error.status, "text/plain", error.why.encode())
            return
        if self.logins is not None:
            scope = {**scope, "headers": self.logins.inward(scope["headers"], asked.headers)}
        try:
            await self.app(scope, receive, self.answering(asked, send))
        finally:
            if upload is not None:
                self.limits.end(upload)

    async def forget_sessions(self) -> None:
        """Drop what Gradio keeps of sessions that are forgotten."""
        while self.forgotten:
            session = self.forgotten.pop()
            if self.forget is not None:
                await self.forget(session)

    async def answer(self, send: Send, status: int, kind: str, content: bytes) -> None:
        """Answer without asking what is behind the gate."""
        headers = [(b"content-type", f"{kind}; charset=utf-8".encode()), *self.headers]
        if status >= HTTPStatus.BAD_REQUEST:  # the rest of a body that is refused is not read
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def read(self, scope: Message) -> Asked:
        """What a request asks for, when its head may be answered.

        Raises:
            RefusedError: when it may not.
        """
        headers = asking.headers(scope["headers"])
        asking.cookies(headers.get("cookie", ""))
        host, method, path = headers.get("host", ""), scope["method"], scope["path"]
        if not self.shared:
            origins.check_loopback(host)
        elif not host and "origin" in headers:  # HTTP/1.0 needs no host; Gradio compares it with the origin
            raise RefusedError(HTTPStatus.BAD_REQUEST, "a request with an origin names its host")
        if method not in ("GET", "HEAD", "POST"):
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "GET and POST are answered")
        if not (WRITE if method == "POST" else READ).fullmatch(path) or ".." in path:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is nothing here")
        origins.check_opened(headers, path)
        user = self.identity(headers) if self.shared else ""
        if self.shared and not user and not OPEN.fullmatch(path):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "log in first: open the page again")
        if len(scope.get("query_string", b"")) > limits.QUERY_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_URI_TOO_LONG, "this address is too long")
        query = asking.query(scope.get("query_string", b""))
        if path.startswith(LOGIN) and "error" in query:  # which Gradio would answer with an error of its own
            raise RefusedError(HTTPStatus.FORBIDDEN, login_failures.FAILED)
        asked = Asked(method, path, headers, query, user)
        if method == "POST":
            self.check_write(asked, host)
        if path.startswith(f"{API}/upload"):  # a file, or how far it has come
            self.check_upload(asked)
        if path.startswith(f"{API}/queue/data"):
            self.check_session(asked, query.get("session_hash"))
            # Of a session that waits for nothing, Gradio writes a traceback each time.
            if self.shared and not self.streams.take(user):
                raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "too many answers are waited for: wait a few seconds")
        if found := HEARTBEAT.fullmatch(path):  # its end closes the session
            self.check_session(asked, found[1])
        return asked

    def check_write(self, asked: Asked, host: str) -> None:
        """Check who sends something, and how much, before anything of it is read.

        Raises:
            RefusedError: when it may not be sent.
        """
        origins.check_sender(asked.headers, {host.lower(), *(origins.space_hosts() if self.shared else ())})
        if self.shared and not asked.is_upload and not self.rates.take(asked.user):
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "too many clicks at once: wait a few seconds")
        most = limits.UPLOAD_BYTES_SENT if asked.is_upload else limits.CLICK_BYTES
        if asking.length(asked.headers.get("content-length")) > most:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {most // 1_000_000} MB are taken")

    def check_upload(self, asked: Asked) -> None:
        """Check that who follows an upload is who sends it: whoever names it first.

        Raises:
            RefusedError: when it is another user's, or one is to be followed and none is named.
        """
        if asked.is_upload and "upload_id" not in asked.query:  # which nobody can follow
            return
        name = asking.session(asked.query.get("upload_id"))
        if self.shared and self.uploads.claim(name, asked.user) != asked.user:
            raise RefusedError(HTTPStatus.FORBIDDEN, "this is the upload of another user")

    def check_session(self, asked: Asked, named: object) -> None:
        """Check that a session of a browser is of the user who opened it, who alone sends to it and reads from it.

        Raises:
            RefusedError: when it is another user's, or none is named.
        """
        session = asking.session(named)
        if self.shared and self.sessions.claim(session, asked.user) != asked.user:
            raise RefusedError(HTTPStatus.FORBIDDEN, "this is the session of another browser")

    async def checked_body(self, asked: Asked, receive: Receive) -> Receive:
        """Read a click, and check it before Gradio sees it; what hands it on.

        Raises:
            RefusedError: when it is of another user's session, or names a file that this user has not uploaded.
        """
        if not asked.headers.get("content-type", "application/json").lower().startswith("application/json"):
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON is expected")
        content = await self.bodies.read(asked.user, receive)
        value = asking.body(content)
        if not asked.path.startswith(f"{API}/reset"):
            self.check_session(asked, value.get("session_hash"))
        if not all(self.limits.is_own(asked.user, path) for path in asking.file_paths(value)):
            raise RefusedError(HTTPStatus.FORBIDDEN, "this is no file that you uploaded here: choose it again")
        return bodies.replayed(content, receive)

    def limited(self, receive: Receive, asked: Asked, upload: Upload | None) -> Receive:
        """The request's body, cut off where it is longer than it may be, whatever its header said."""
        total, is_cut, ends = 0, False, None

        async def receive_limited() -> Message:
            nonlocal total, is_cut, ends
            if upload is not None and ends is None:
                ends = asyncio.get_running_loop().time() + limits.UPLOAD_SECONDS
            try:
                async with asyncio.timeout_at(ends):
                    message = await receive()
            except TimeoutError:
                return {"type": "http.disconnect"}
            body = message.get("body", b"")
            total += len(body)
            is_good = self.limits.arrived(upload, body) if upload is not None else total <= asked.most_bytes
            is_cut = is_cut or not is_good
            return {"type": "http.disconnect"} if is_cut else message

        return receive_limited

    def answering(self, asked: Asked, send: Send) -> Send:
        """What sends an answer with the headers of this page, and notes whose the files of an upload are."""
        is_good, answer = False, bytearray()

        async def send_answer(message: Message) -> None:
            nonlocal is_good
            if message["type"] == "http.response.start":
                is_good = message["status"] == HTTPStatus.OK
                headers = list(message.get("headers", []))
                if self.logins is not None:
                    headers = self.logins.outward(headers, asked.headers, asked.path)
                message["headers"] = [*headers, *self.headers]
            elif asked.is_upload and is_good:
                answer.extend(message.get("body", b""))
                if not message.get("more_body"):
                    self.limits.note(asked.user, bytes(answer))
            await send(message)

        return send_answer
