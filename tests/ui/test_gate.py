"""The gate: nothing is answered but what the page asks for, from the page itself."""

import asyncio
import itertools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from foundry.ui import bodies, limits, login_page, upload_limits
from foundry.ui.asking import RefusedError
from foundry.ui.gate import Asked, Gate
from foundry.ui.upload_limits import Upload, UploadLimits
from tests.support.asgi import FORM, ask

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


def test_an_origin_without_a_host_is_refused(gate: Gate, shared: Gate) -> None:
    """HTTP/1.0 needs no `Host`; Gradio looks for it where there is an `Origin`."""
    for origin in ("http://evil.example", "null"):
        assert ask(shared, "/", host="", x_user="ada", origin=origin)[0] == 400
        assert ask(gate, "/", host="", origin=origin)[0] == 403
    assert ask(shared, "/", host="", x_user="ada")[0] == REACHED


def test_another_page_may_not_click_here(gate: Gate) -> None:
    assert ask(gate, JOIN, "POST", origin="http://127.0.0.1:7860")[0] == REACHED
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860"):
        assert ask(gate, JOIN, "POST", origin=origin)[0] == 403
    assert ask(gate, "/", "POST")[0] == 404
    assert ask(gate, "/", "DELETE")[0] == 405


def test_a_space_is_clicked_by_all_its_names(shared: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    origins = ("https://org-space.hf.space", "https://foundry.example")
    for origin in (*origins, "https://evil.example"):
        assert ask(shared, JOIN, "POST", host="10.0.0.1:7860", origin=origin, x_user="ada")[0] == 403
    monkeypatch.setenv("SPACE_HOST", "org-space.hf.space, Foundry.example")
    for origin in origins:
        assert ask(shared, JOIN, "POST", host="10.0.0.1:7860", origin=origin, x_user="ada")[0] == REACHED
    for origin in ("https://evil.example", "https://evil.hf.space", "null"):
        assert ask(shared, JOIN, "POST", host="10.0.0.1:7860", origin=origin, x_user="ada")[0] == 403
    alone = Gate(behind, False, Path("x"))
    assert ask(alone, JOIN, "POST", origin=origins[0])[0] == 403


def test_another_page_reads_nothing_and_ends_no_login(gate: Gate, shared: Gate) -> None:
    """A browser says which page asks. Another one may lead to this page, and to a login, which the Hub's leads back
    from; the page itself asks for the rest."""
    paths = ("/", "/config", "/logout", "/theme.css", "/gradio_api/app_id", DATA, "/gradio_api/heartbeat/a")
    for asked, mode in itertools.product((gate, shared), ("no-cors", "cors", "navigate")):
        for site, path in itertools.product(("cross-site", "same-site"), paths):
            head = {"sec_fetch_site": site, "sec_fetch_mode": mode, "x_user": "ada"}
            is_opened = mode == "navigate" and path == "/"
            assert ask(asked, path, query="session_hash=a", **head)[0] == (REACHED if is_opened else 403)
        for site, path in itertools.product(("same-origin", "none"), paths):
            head = {"sec_fetch_site": site, "sec_fetch_mode": mode, "x_user": "ada"}
            assert ask(asked, path, query="session_hash=a", **head)[0] == REACHED
    assert list(shared.sessions.owners) == ["a"]
    back = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert ask(shared, "/login/callback", query="code=x&state=x", **back)[0] == REACHED


def test_no_other_space_frames_this_one(gate: Gate, shared: Gate) -> None:
    """Any Space can be opened in the Hub's page, in which people are logged in here."""
    policies = [ask(asked, "/")[1]["content-security-policy"] for asked in (gate, shared)]
    assert [policy.partition("frame-ancestors ")[2] for policy in policies] == [
        "'none'",
        "'self' https://huggingface.co",
    ]


def test_a_login_that_the_hub_refused_is_a_line(shared: Gate) -> None:
    assert ask(shared, "/login/callback", query="error=access_denied&state=x")[0] == 403
    assert ask(shared, "/login/callback", query="code=x&state=x")[0] == REACHED


def test_a_connection_ends_with_a_refusal(gate: Gate) -> None:
    """Otherwise the server reads on, as long as somebody sends."""
    assert ask(gate, JOIN, "POST", body=b"[")[1]["connection"] == "close"
    assert "connection" not in ask(gate, JOIN, "POST")[1]


def test_what_is_too_large_is_refused(gate: Gate) -> None:
    assert ask(gate, UPLOAD, "POST", content_length=str(limits.UPLOAD_BYTES_SENT))[0] == REACHED
    for length in (str(limits.UPLOAD_BYTES_SENT + 1), "-1", "x", "\u00b2", "1" * 5000):
        assert ask(gate, UPLOAD, "POST", content_length=length)[0] == 413


def test_uploads_that_nobody_uses_do_not_fill_the_disk(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"x" * 100)
    monkeypatch.setattr(limits, "UPLOADED_BYTES", 10)
    assert ask(gate, UPLOAD, "POST")[0] == 507


@pytest.fixture
def shared(tmp_path: Path) -> Gate:
    """A gate for several users, who are told apart by a header."""
    return Gate(behind, True, tmp_path, lambda headers: headers.get("x-user", ""))


def test_a_session_belongs_to_who_opened_it(shared: Gate) -> None:
    assert ask(shared, DATA, query="session_hash=a", x_user="ada")[0] == REACHED
    assert ask(shared, DATA, query="session_hash=a", x_user="ada")[0] == REACHED
    assert ask(shared, DATA, query="session_hash=b", x_user="ben")[0] == REACHED
    for stranger, status in (("ben", 403), ("", 401)):
        assert ask(shared, DATA, query="session_hash=a", x_user=stranger)[0] == status
        assert ask(shared, "/gradio_api/heartbeat/a", x_user=stranger)[0] == status
        assert ask(shared, JOIN, "POST", x_user=stranger)[0] == status
        assert ask(shared, "/gradio_api/cancel", "POST", x_user=stranger)[0] == status


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


@pytest.mark.parametrize(
    "path",
    [DATA, "/config", "/theme.css", "/assets/index-x.js", "/gradio_api/heartbeat/a", "/gradio_api/startup-events"],
)
def test_who_is_not_logged_in_gets_a_page_that_asks_for_it_and_nothing_else(shared: Gate, path: str) -> None:
    reached: list[str] = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await behind(scope, receive, send)

    shared.app = noting
    assert ask(shared, path, query="session_hash=a")[0] == 401
    for written in (JOIN, UPLOAD, "/gradio_api/reset", "/gradio_api/cancel"):
        assert ask(shared, written, "POST")[0] == 401
    status, headers = ask(shared, "/", query="__theme=dark")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert not reached
    assert not shared.sessions.owners
    assert ask(shared, "/login/huggingface")[0] == REACHED
    assert ask(shared, path, query="session_hash=a", x_user="ada")[0] == REACHED
    assert ask(shared, "/", x_user="ada")[0] == REACHED
    assert reached == ["/login/huggingface", path, "/"]


def test_the_page_that_asks_for_a_login_comes_back_to_its_address() -> None:
    shown = login_page.page('__theme=dark&x="><script>').decode()
    assert 'href="/login/huggingface?_target_url=/%3F__theme%3Ddark%26x%3D%22%3E%3Cscript%3E"' in shown
    assert 'content="dark"' in shown
    assert shown.count("<script") == 0
    assert 'href="/login/huggingface?_target_url=/"' in login_page.page("").decode()


def test_sessions_of_one_user_push_out_nobody_elses(shared: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSIONS", 5)
    monkeypatch.setattr(limits, "SESSIONS_OF_EACH", 3)
    forgotten: list[str] = []

    async def forget(session: str) -> None:
        forgotten.append(session)

    shared.forget = forget

    def opened(user: str, session: str) -> int:
        return ask(shared, DATA, query=f"session_hash={session}", x_user=user)[0]

    assert opened("ben", "b1") == opened("ada", "a1") == REACHED
    for session in ("a2", "a1", "a3", "a4"):  # the first of them is used again
        assert opened("ada", session) == REACHED
    assert forgotten == ["a2"]
    assert opened("cy", "c1") == opened("cy", "c2") == REACHED  # too many of all: ada has the most
    assert forgotten == ["a2", "a1"]
    assert opened("ada", "b1") == 403
    assert {*shared.sessions.owners} == {"b1", "a3", "a4", "c1", "c2"}
    assert opened("ada", "a5") == REACHED
    assert forgotten == ["a2", "a1", "a3"]


def test_nobody_uploads_without_a_login(shared: Gate) -> None:
    assert (
        ask(shared, UPLOAD, "POST", content_length=str(limits.UPLOAD_BYTES_SENT + 1))[0] == 401
    )  # the login is asked first
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
    monkeypatch.setattr(limits, "UPLOADED_BYTES_OF_EACH", 10)
    assert ask(shared, UPLOAD, "POST", x_user="ada", body=b"x" * 8, content_length="8")[0] == REACHED
    assert ask(shared, UPLOAD, "POST", x_user="ada", body=b"x" * 3, content_length="3")[0] == 507
    assert ask(shared, UPLOAD, "POST", x_user="ben", body=b"x" * 3, content_length="3")[0] == REACHED
    now = time.time()
    monkeypatch.setattr(upload_limits.time, "time", lambda: now + 3700)  # type: ignore[attr-defined]
    assert ask(shared, UPLOAD, "POST", x_user="ada", body=b"x" * 8, content_length="8")[0] == REACHED


def test_what_was_broken_off_is_removed_after_an_hour(shared: Gate, tmp_path: Path) -> None:
    part, young = tmp_path / "tmpx", tmp_path / "tmpy"
    for path in (part, young):
        path.write_bytes(b"x")
    os.utime(part, (time.time() - 3700,) * 2)
    assert ask(shared, UPLOAD, "POST", x_user="ada")[0] == REACHED
    assert not part.exists()
    assert young.exists()


def test_a_click_is_small(gate: Gate) -> None:
    body = {"session_hash": "a", "data": ["x" * limits.CLICK_BYTES]}
    assert ask(gate, JOIN, "POST", body=body)[0] == 400
    assert ask(gate, JOIN, "POST", content_length=str(limits.CLICK_BYTES + 1))[0] == 413


def test_a_body_is_cut_off_whatever_its_header_said(gate: Gate) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * (limits.UPLOAD_BYTES_SENT // 2 + 1), "more_body": True}

    for path, headers, expected in (
        (UPLOAD, {}, ["http.request", "http.disconnect", "http.disconnect"]),
        (UPLOAD, {"content-length": "0"}, ["http.disconnect"] * 3),
        (JOIN, {}, ["http.disconnect"] * 3),
    ):
        asked = Asked("POST", path, headers, {}, "")
        upload = Upload("", asked.most_bytes, FORM) if asked.is_upload else None
        limited = gate.limited(receive, asked, upload)
        assert [asyncio.run(limited())["type"] for _ in range(3)] == expected  # type: ignore[arg-type]


def test_an_upload_holds_one_file() -> None:
    part, end = b"------between\r\nContent-Disposition: x\r\n\r\ntext\r\n", b"------between--\r\n"
    for size in (1, 7, 1000):  # of the pieces in which it arrives
        for body, is_good in ((part + end, True), (part + part, False), (part + end + part, False)):
            upload = Upload("", 1000, FORM)
            taken = [upload.take(body[start : start + size]) for start in range(0, len(body), size)]
            assert all(taken) == is_good
    assert ask(Gate(behind, False, Path("x")), UPLOAD, "POST", content_type="text/plain")[0] == 415
    for kind in (
        "multipart/form-data; boundary=a; boundary=----between",
        'multipart/form-data; boundary="----between"',
    ):
        with pytest.raises(RefusedError):
            Upload("", 1000, kind)


def test_many_uploads_at_once_hold_no_more_than_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UPLOADED_BYTES_OF_EACH", 100)

    async def uploading() -> None:
        limits = UploadLimits(tmp_path, for_each=True)
        first = await limits.begin("ada", 60, FORM)
        with pytest.raises(RefusedError, match="an hour are taken of each user"):
            await limits.begin("ada", 60, FORM)
        await limits.begin("ben", 60, FORM)
        assert limits.arrived(first, b"x" * 20)
        with pytest.raises(RefusedError):
            await limits.begin("ada", 60, FORM)
        limits.end(first)  # it was broken off: what arrived counts, and what did not is given back
        second = await limits.begin("ada", 60, FORM)
        assert not limits.arrived(second, b"x" * 61)

    asyncio.run(uploading())


def test_many_uploads_at_once_leave_room_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UPLOADED_BYTES", 100)

    async def uploading() -> None:
        limits = UploadLimits(tmp_path, for_each=True)
        begun = await asyncio.gather(*(limits.begin(str(user), 40, FORM) for user in range(5)), return_exceptions=True)
        assert sum(isinstance(upload, Upload) for upload in begun) == 2
        assert len(limits.sending) == 2

    asyncio.run(uploading())


def test_the_number_of_files_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = uploading(tmp_path, "own.txt")
    monkeypatch.setattr(limits, "UPLOADED_FILES_OF_EACH", 2)
    monkeypatch.setattr(limits, "UPLOADED_FILES", 3)
    assert [ask(shared, UPLOAD, "POST", x_user="ada")[0] for _ in range(3)] == [REACHED, REACHED, 507]
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("x")
    assert ask(shared, UPLOAD, "POST", x_user="ben")[0] == 507
    (tmp_path / "0.txt").unlink()
    (tmp_path / "1.txt").unlink()
    assert [ask(shared, UPLOAD, "POST", x_user="ben")[0] for _ in range(3)] == [REACHED, REACHED, 507]


def test_an_upload_ends_whatever_gradio_does(tmp_path: Path) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("no")

    gate = Gate(failing, True, tmp_path, lambda headers: "ada")
    with pytest.raises(RuntimeError):
        ask(gate, UPLOAD, "POST")
    assert not gate.limits.sending


def test_the_folder_is_walked_outside_of_the_event_loop(
    shared: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    tidy = upload_limits.tidy
    monkeypatch.setattr(
        upload_limits, "tidy", lambda *given: (threads.append(threading.current_thread()), tidy(*given))[1]
    )
    assert ask(shared, UPLOAD, "POST", x_user="ada")[0] == REACHED
    assert threads
    assert threads[0] is not threading.current_thread()


def test_empty_folders_are_removed_and_young_ones_stay(tmp_path: Path) -> None:
    for name in ("empty", "old", "young", "used"):
        (tmp_path / name).mkdir()
    for name in ("old", "used"):
        (tmp_path / name / "x").write_text("x")
    os.utime(tmp_path / "old/x", (time.time() - 3700,) * 2)
    for name in ("empty", "old", "used"):
        os.utime(tmp_path / name, (time.time() - 100,) * 2)
    known = [str(tmp_path / "old/x"), str(tmp_path / "used/x")]
    assert upload_limits.tidy(tmp_path, known) == (1, 1, known[:1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["used", "young"]


def test_the_empty_files_of_clicks_take_nobodys_room(tmp_path: Path) -> None:
    """Gradio leaves one for each click that names an upload. One that is young may be of an upload on its way."""
    (tmp_path / "upload").mkdir()
    for name in ("upload/empty.txt", "young", "old", "full"):
        (tmp_path / name).write_text("x" if name == "full" else "")
        if name != "young":
            os.utime(tmp_path / name, (time.time() - limits.UPLOAD_SECONDS - 5,) * 2)
    assert upload_limits.tidy(tmp_path, []) == (1, 2, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "upload", "young"]


def test_only_who_sends_an_upload_follows_it(shared: Gate) -> None:
    progress = "/gradio_api/upload_progress"
    assert ask(shared, UPLOAD, "POST", query="upload_id=a", x_user="ada")[0] == REACHED
    assert ask(shared, progress, query="upload_id=a", x_user="ada")[0] == REACHED
    assert ask(shared, progress, query="upload_id=a", x_user="ben")[0] == 403
    assert ask(shared, UPLOAD, "POST", query="upload_id=a", x_user="ben")[0] == 403
    assert ask(shared, progress, query="upload_id=a")[0] == 401
    assert ask(shared, progress, x_user="ada")[0] == 400
    assert ask(shared, progress, query="upload_id=b", x_user="ada")[0] == REACHED  # it may ask before it sends


def test_the_uploads_are_gone_when_the_server_ends(tmp_path: Path) -> None:
    ended = []
    gate = Gate(behind, False, tmp_path, at_end=lambda: ended.append(1))

    async def nothing(*given: Any) -> Any:
        return {}

    asyncio.run(gate({"type": "lifespan"}, nothing, nothing))
    assert ended == [1]


# --- What keeps others waiting ---------------------------------------------------------------------------


def test_an_origin_that_is_no_address_is_refused_in_a_line(gate: Gate) -> None:
    assert ask(gate, JOIN, "POST", origin="http://[")[0] == 403


def test_a_long_address_is_refused(gate: Gate) -> None:
    assert ask(gate, "/login/huggingface", query="_target_url=/?" + "a" * 1900)[0] == REACHED
    assert ask(gate, "/login/huggingface", query="_target_url=/?" + "a" * 2000)[0] == 414


def test_a_click_of_very_many_parts_is_refused_before_it_is_read(gate: Gate) -> None:
    body = b'{"session_hash": "a", "data": [' + b"{}," * 30_000 + b"0]}"
    assert ask(gate, JOIN, "POST", body=body)[0] == 400
    assert ask(gate, JOIN, "POST", body={"session_hash": "a", "data": ["{[" * 5000]})[0] == REACHED


def test_a_user_who_clicks_without_end_is_told_to_wait_and_others_are_not(shared: Gate) -> None:
    now = [0.0]
    shared.rates.clock = lambda: now[0]

    def clicks(user: str, count: int) -> list[int]:
        return [ask(shared, JOIN, "POST", body={"session_hash": f"{user}s", "data": []}, x_user=user)[0]
                for _ in range(count)]  # fmt: skip

    assert clicks("ada", limits.CLICKS_AT_ONCE) == [REACHED] * limits.CLICKS_AT_ONCE
    assert clicks("ada", 2) == [429, 429]
    assert clicks("ben", 1) == [REACHED]
    now[0] += 1.0
    assert clicks("ada", 6) == [REACHED] * 5 + [429]
    now[0] += 3600.0  # never more than a bucket
    assert clicks("ada", limits.CLICKS_AT_ONCE + 1)[-2:] == [REACHED, 429]


def test_who_asks_for_answers_without_end_is_told_to_wait(shared: Gate, gate: Gate) -> None:
    shared.streams.clock = lambda: 0.0

    def asked(of: Gate) -> list[int]:
        return [ask(of, DATA, query="session_hash=adas", x_user="ada")[0] for _ in range(limits.CLICKS_AT_ONCE + 1)]

    assert asked(shared) == [REACHED] * limits.CLICKS_AT_ONCE + [429]
    assert ask(shared, JOIN, "POST", body={"session_hash": "adas", "data": []}, x_user="ada")[0] == REACHED
    assert set(asked(gate)) == {REACHED}


def test_an_upload_is_not_on_its_way_for_ever_where_gradio_cannot_forget(
    shared: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(session: str) -> None:
        raise AttributeError("another version of Gradio")

    monkeypatch.setattr(shared, "forget", broken)
    shared.forgotten.append("a session")
    with pytest.raises(AttributeError):
        ask(shared, UPLOAD, "POST", x_user="ada")
    assert not shared.limits.sending
    assert ask(shared, UPLOAD, "POST", x_user="ada")[0] == REACHED


def test_what_is_too_large_is_refused_with_what_is_taken(shared: Gate) -> None:
    assert ask(shared, JOIN, "POST", x_user="ada", content_length="2000000")[0] == 413


def test_on_one_machine_nobody_waits(gate: Gate) -> None:
    assert {ask(gate, JOIN, "POST")[0] for _ in range(2 * limits.CLICKS_AT_ONCE)} == {REACHED}


def test_a_body_that_does_not_come_is_given_up(shared: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLICK_SECONDS", 0.05)
    monkeypatch.setattr(limits, "UPLOAD_SECONDS", 0.05)
    seen: list[str] = []

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["type"])
        await behind(scope, receive, send)

    async def silent() -> Any:
        await asyncio.sleep(3600)

    async def status(path: str, kind: str) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"127.0.0.1"), (b"x-user", b"ada"), (b"content-type", kind.encode())]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        await shared(scope, silent, send)
        code: int = sent[0]["status"]
        return code

    shared.app = reading
    assert asyncio.run(status(JOIN, "application/json")) == 408
    assert shared.bodies.on_their_way.total() == 0
    assert asyncio.run(status(UPLOAD, FORM)) == REACHED
    assert seen == ["http.disconnect"]
    monkeypatch.setattr(limits, "CLICKS_ARRIVING", 0)
    assert asyncio.run(status(JOIN, "application/json")) == 503


def test_the_bodies_that_one_user_holds_back_keep_no_other_waiting() -> None:
    async def silent() -> Any:
        await asyncio.sleep(3600)

    async def arriving() -> Any:
        return {"type": "http.request", "body": b"{}"}

    async def held_back() -> None:
        clicks = bodies.ClickBodies()
        waiting = [asyncio.create_task(clicks.read("", silent)) for _ in range(limits.CLICKS_ARRIVING_OF_EACH)]
        await asyncio.sleep(0)
        with pytest.raises(RefusedError, match="too many"):
            await clicks.read("", arriving)
        assert await clicks.read("ben", arriving) == b"{}"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert await clicks.read("", arriving) == b"{}"

    asyncio.run(held_back())
