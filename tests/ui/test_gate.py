"""The gate: nothing is answered but what the page asks for, from the page itself."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from foundry.ui import upload_limits
from foundry.ui.gate import MOST_BYTES_OF_JSON, MOST_BYTES_SENT, Asked, Gate
from tests.support.asgi import ask

REACHED = 200
JOIN, DATA, UPLOAD = "/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/upload"


async def behind(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": REACHED, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(behind, False, tmp_path)


@pytest.mark.parametrize("path", ["/", "/config", "/assets/index-x.js", "/theme.css"])
def test_the_page_is_answered(gate: Gate, path: str) -> None:
    status, headers = ask(gate, path)
    assert status == REACHED
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd", "/file=/etc/passwd", "/gradio_api/file/x", "/gradio_api/proxy=http://x/",
        "/gradio_api/info", "/gradio_api/call/x", "/gradio_api/run/predict", "/monitoring", "/docs", "/openapi.json",
        "/assets/../../etc/passwd", "/static/..", "//etc/passwd", "/gradio_api/deep_link", "/gradio_api/stream/x",
    ],
)  # fmt: skip
def test_nothing_else_is(gate: Gate, path: str) -> None:
    assert ask(gate, path)[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "192.168.0.2:7860"]
)
def test_another_name_for_this_machine_is_refused(gate: Gate, host: str) -> None:
    assert ask(gate, "/", host=host)[0] == 403
    for good in ("localhost:1", "127.0.0.1", "[::1]:7860"):
        assert ask(gate, "/", host=good)[0] == REACHED


def test_another_page_may_not_click_here(gate: Gate) -> None:
    assert ask(gate, JOIN, "POST", origin="http://127.0.0.1:7860")[0] == REACHED
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860"):
        assert ask(gate, JOIN, "POST", origin=origin)[0] == 403
    assert ask(gate, "/", "POST")[0] == 404
    assert ask(gate, "/", "DELETE")[0] == 405


def test_what_is_too_large_is_refused(gate: Gate) -> None:
    assert ask(gate, UPLOAD, "POST", content_length=str(MOST_BYTES_SENT))[0] == REACHED
    for length in (str(MOST_BYTES_SENT + 1), "-1", "x", "\u00b2", "1" * 5000):
        assert ask(gate, UPLOAD, "POST", content_length=length)[0] == 413


def test_uploads_that_nobody_uses_do_not_fill_the_disk(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"x" * 100)
    monkeypatch.setattr(upload_limits, "MOST_BYTES_KEPT", 10)
    assert ask(gate, UPLOAD, "POST")[0] == 507


@pytest.fixture
def shared(tmp_path: Path) -> Gate:
    """A gate for several users, who are told apart by a header."""
    return Gate(behind, True, tmp_path, lambda headers: headers.get("x-user", ""))


def test_a_session_belongs_to_who_opened_it(shared: Gate) -> None:
    assert ask(shared, DATA, query="session_hash=a", x_user="ada")[0] == REACHED
    assert ask(shared, DATA, query="session_hash=a", x_user="ada")[0] == REACHED
    assert ask(shared, DATA, query="session_hash=b", x_user="ben")[0] == REACHED
    for stranger in ("ben", ""):
        assert ask(shared, DATA, query="session_hash=a", x_user=stranger)[0] == 403
        assert ask(shared, "/gradio_api/heartbeat/a", x_user=stranger)[0] == 403
        assert ask(shared, JOIN, "POST", x_user=stranger)[0] == 403
        assert ask(shared, "/gradio_api/cancel", "POST", x_user=stranger)[0] == 403


@pytest.mark.parametrize("query", ["session_hash=b&session_hash=a", "session_hash=a&session_hash=a", "", "x=1&x=2",
                                   "session_hash=", "session_hash=a&session_hash", "session%5Fhash=b&session_hash=a",
                                   "session_hash=a/b"])  # fmt: skip
def test_a_request_names_one_session(shared: Gate, query: str) -> None:
    assert ask(shared, DATA, query="session_hash=a", x_user="ada")[0] == REACHED
    assert ask(shared, DATA, query=query, x_user="ben")[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"session_hash": "b", "session_hash": "a"}', b'{"session_hash": ["a"]}', b'{"session_hash": null}', b"{}",
        b"[]", b"", b"{", b"\xff", b'{"session_hash": "b", "data": [{"a": 1, "a": 2}]}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_body_names_one_session(shared: Gate, body: bytes) -> None:
    assert ask(shared, JOIN, "POST", x_user="ben", body=body)[0] == 400


@pytest.mark.parametrize("name", ["host", "origin", "content-length", "content-type", "cookie"])
def test_a_header_that_decides_is_there_once(gate: Gate, name: str) -> None:
    values = {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860", "content-length": "1",
              "content-type": "application/json", "cookie": "session=a"}  # fmt: skip
    headers = {name.replace("-", "_"): values[name]}
    assert ask(gate, JOIN, "POST", **headers)[0] == REACHED  # type: ignore[arg-type]
    assert ask(gate, JOIN, "POST", twice=((name, values[name]),), **headers)[0] == 400  # type: ignore[arg-type]
    assert ask(gate, JOIN, "POST", cookie="session=a; session=b")[0] == 400
    assert ask(gate, JOIN, "POST", content_type="text/plain")[0] == 415


def test_nobody_uploads_without_a_login(shared: Gate) -> None:
    assert ask(shared, UPLOAD, "POST", content_length=str(MOST_BYTES_SENT + 1))[0] == 401  # the login is asked first
    assert ask(shared, UPLOAD, "POST", x_user="ada")[0] == REACHED


def uploading(tmp_path: Path, name: str) -> Gate:
    """A gate before something that keeps a file as Gradio does."""
    path = tmp_path / name

    async def keeping(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == UPLOAD:
            path.write_bytes((await receive())["body"])
        await send({"type": "http.response.start", "status": REACHED, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps([str(path)]).encode()})

    return Gate(keeping, True, tmp_path, lambda headers: headers.get("x-user", ""))


def test_a_file_is_one_that_this_user_uploaded(tmp_path: Path) -> None:
    (tmp_path / "theirs.txt").write_text("x")
    outside = tmp_path.parent / "outside.txt"
    outside.write_text("x")
    shared = uploading(tmp_path, "own.txt")

    def click(path: object, user: str = "ada") -> int:
        file = {"path": path, "url": None, "meta": {"_type": "gradio.FileData"}}
        body = {"session_hash": user, "data": [[{"deep": file}], "text"]}
        return ask(shared, JOIN, "POST", x_user=user, body=body)[0]

    own = str(tmp_path / "own.txt")
    assert click(own) == 403
    assert ask(shared, UPLOAD, "POST", x_user="ada", body=b"texts")[0] == REACHED
    assert click(own) == REACHED
    assert click(own, "ben") == 403
    for path in (
        "http://127.0.0.1:1/x",
        "https://evil.example/x.csv",
        str(tmp_path / "theirs.txt"),
        str(outside),
        "",
        f"{own}/../theirs.txt",
        f"{tmp_path}/./own.txt",
        None,
        7,
        [own],
        {"path": own},
        "/etc/passwd",
    ):
        assert click(path) == 403, path
    Path(own).unlink()
    assert click(own) == 403


def test_one_user_does_not_fill_the_disk_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = uploading(tmp_path, "own.txt")
    monkeypatch.setattr(upload_limits, "MOST_BYTES_EACH", 10)
    assert ask(shared, UPLOAD, "POST", x_user="ada", body=b"x" * 20)[0] == REACHED
    assert ask(shared, UPLOAD, "POST", x_user="ada", body=b"x")[0] == 507
    assert ask(shared, UPLOAD, "POST", x_user="ben", body=b"x")[0] == REACHED
    now = time.time()
    monkeypatch.setattr(upload_limits.time, "time", lambda: now + 3700)  # type: ignore[attr-defined]
    assert ask(shared, UPLOAD, "POST", x_user="ada", body=b"x")[0] == REACHED


def test_what_was_broken_off_is_removed_after_an_hour(shared: Gate, tmp_path: Path) -> None:
    part, young = tmp_path / "tmpx", tmp_path / "tmpy"
    for path in (part, young):
        path.write_bytes(b"x")
    os.utime(part, (time.time() - 3700,) * 2)
    assert ask(shared, UPLOAD, "POST", x_user="ada")[0] == REACHED
    assert not part.exists()
    assert young.exists()


def test_a_click_is_small(gate: Gate) -> None:
    body = {"session_hash": "a", "data": ["x" * MOST_BYTES_OF_JSON]}
    assert ask(gate, JOIN, "POST", body=body)[0] == 400
    assert ask(gate, JOIN, "POST", content_length=str(MOST_BYTES_OF_JSON + 1))[0] == 413


def test_a_body_is_cut_off_whatever_its_header_said(gate: Gate) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * (MOST_BYTES_SENT // 2 + 1), "more_body": True}

    limited = gate.limited(receive, Asked("POST", UPLOAD, {}, {}, ""))
    types = [asyncio.run(limited())["type"] for _ in range(2)]  # type: ignore[arg-type]
    assert types == ["http.request", "http.disconnect"]
