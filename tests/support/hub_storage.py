"""What of the test server speaks HTTP: routes, faults and answers, and the storage where LFS keeps contents."""

import hashlib
import json
import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.hub_state import DROP, Refused

if TYPE_CHECKING:
    from tests.support.hub_server import Hub


class Handler(BaseHTTPRequestHandler):
    """What both servers have in common: routes, faults, answers."""

    hub: "Hub"
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write for an answer: of two, the second waits until the client has acknowledged the first
    routes: ClassVar[list[tuple[str, str, str]]] = []  # method, pattern of the path, phase and name of the method

    def handle_any(self) -> None:
        path = urlsplit(self.path).path
        self.query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        asked = "GET" if self.command == "HEAD" else self.command
        matches = ((phase, re.fullmatch(pattern, path)) for method, pattern, phase in self.routes if method == asked)
        phase, match = next(((phase, match) for phase, match in matches if match), ("", None))
        if match is None:
            self.answer(404, {"error": f"no such route: {self.command} {path}"})
            return
        with self.hub.lock:
            self.hub.requests.append(phase)
        length = int(self.headers.get("Content-Length") or 0)
        if (taken := self.hub.take(phase, after=False)) is not None and self.fail(taken, length):
            return
        self.body = self.rfile.read(length)
        try:
            with self.hub.lock:
                status, body, headers = getattr(self, phase)(*(unquote(part) for part in match.groups()))
        except Refused as refused:
            status, body, headers = refused.status, refused.body, refused.headers
        if (taken := self.hub.take(phase, after=True)) is not None and self.fail(taken, 0):
            return
        self.answer(status, body, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def fail(self, taken: tuple[Any, dict[str, str]], length: int) -> bool:
        """Do what a rule says instead of the phase; give whether the request is over."""
        what, headers = taken
        if callable(what):
            what()
            return False
        if what == DROP:
            self.rfile.read(length // 2)  # in the middle of what is sent
            self.close_connection = True
            return True
        self.rfile.read(length)
        self.answer(what, {"error": f"made to fail with {what}"}, {"X-Error-Message": "made to fail", **headers})
        return True

    def answer(self, status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


Answer = tuple[int, Any, Mapping[str, str]]


class Storage(Handler):
    """Where LFS keeps contents: no tokens here, but signed addresses."""

    routes: ClassVar = [
        ("PUT", r"/([0-9a-f]{64})", "upload"),
        ("PUT", r"/([0-9a-f]{64})/(\d+)", "upload_part"),
        ("POST", r"/([0-9a-f]{64})/complete", "complete"),
        ("GET", r"/([0-9a-f]{64})", "fetch"),
    ]

    def check(self) -> None:
        if "Authorization" in self.headers:
            self.hub.leaks.append(self.path)
        if self.query.get("X-Amz-Signature") not in self.hub.signatures:
            raise Refused(403, message="the signature does not match")

    def upload(self, oid: str) -> Answer:
        self.check()
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refused(400, message="the content is not what its name says")
        self.hub.storage[oid] = self.body
        return 200, b"", {"ETag": f'"{oid[:32]}"'}

    def upload_part(self, oid: str, number: str) -> Answer:
        self.check()
        self.hub.parts.setdefault(oid, {})[int(number)] = self.body
        return 200, b"", {"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'}

    def complete(self, oid: str) -> Answer:
        self.check()
        parts = self.hub.parts.pop(oid, {})
        parts_listed = json.loads(self.body)["parts"]
        etags = {int(row["partNumber"]): row["etag"].strip('"') for row in parts_listed}
        if etags != {number: hashlib.md5(part).hexdigest() for number, part in parts.items()}:
            raise Refused(400, message="the parts are not those that were uploaded")
        whole = b"".join(parts[number] for number in sorted(parts))
        if hashlib.sha256(whole).hexdigest() != oid:
            raise Refused(400, message="the content is not what its name says")
        self.hub.storage[oid] = whole
        return 200, {}, {}

    def fetch(self, oid: str) -> Answer:
        self.check()
        content = self.hub.storage[oid]
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
            if start >= len(content):
                raise Refused(416, message="nothing there")
            return 206, content[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
        return 200, content, {"ETag": f'"{oid}"'}
