"""The gate: nothing is answered but what the page asks for, from the page itself."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from foundry.ui.gate import MOST_BYTES_SENT, Gate

REACHED = 200


async def behind(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": REACHED, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def ask(gate: Gate, path: str, method: str = "GET", query: str = "", **headers: str) -> tuple[int, dict[str, str]]:
    """The status and the headers of the answer to a request."""
    sent: list[Any] = []
    headers = {"host": "127.0.0.1:7860", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    asyncio.run(gate(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(behind, False, tmp_path)


@pytest.mark.parametrize("path", ["/", "/config", "/assets/index-x.js", "/gradio_api/queue/data", "/theme.css"])
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
    join = "/gradio_api/queue/join"
    assert ask(gate, join, "POST", origin="http://127.0.0.1:7860")[0] == REACHED
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860"):
        assert ask(gate, join, "POST", origin=origin)[0] == 403
    assert ask(gate, "/", "POST")[0] == 404
    assert ask(gate, "/", "DELETE")[0] == 405


def test_what_is_too_large_is_refused(gate: Gate) -> None:
    upload = "/gradio_api/upload"
    assert ask(gate, upload, "POST", content_length=str(MOST_BYTES_SENT))[0] == REACHED
    for length in (str(MOST_BYTES_SENT + 1), "-1", "x"):
        assert ask(gate, upload, "POST", content_length=length)[0] == 413


def test_uploads_that_nobody_uses_do_not_fill_the_disk(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foundry.ui import gate as module

    (tmp_path / "x").write_bytes(b"x" * 100)
    monkeypatch.setattr(module, "MOST_BYTES_KEPT", 10)
    assert ask(gate, "/gradio_api/upload", "POST")[0] == 507


def test_a_session_belongs_to_who_opened_it(tmp_path: Path) -> None:
    shared = Gate(behind, True, tmp_path)
    data = "/gradio_api/queue/data"
    assert ask(shared, data, query="session_hash=a", cookie="session=ada.1.x")[0] == REACHED
    assert ask(shared, data, query="session_hash=a", cookie="session=ada.2.y")[0] == REACHED  # signed anew
    assert ask(shared, data, query="session_hash=a", cookie="session=ben.1.x")[0] == 403
    assert ask(shared, data, query="session_hash=b", cookie="session=ben.1.x")[0] == REACHED


def test_a_body_is_cut_off_whatever_its_header_said(gate: Gate) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * (MOST_BYTES_SENT // 2 + 1), "more_body": True}

    limited = gate.limited(receive)
    types = [asyncio.run(limited())["type"] for _ in range(2)]  # type: ignore[arg-type]
    assert types == ["http.request", "http.disconnect"]
