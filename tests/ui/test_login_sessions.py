"""The Hub's token stays in the server: a browser has a random name, which nobody else can guess or reuse."""

import base64
import json
import time
from pathlib import Path
from typing import Any

from foundry.ui import limits, login_sessions, workspaces
from foundry.ui.gate import Gate
from foundry.ui.login_sessions import LoginSessions
from tests.support.asgi import ask

TOKEN = "hf_" + "t" * 34


def content(user: str, expires: float = 4e9) -> str:
    """A cookie as Gradio writes it."""
    info = {"access_token": TOKEN, "expires_at": expires, "userinfo": {"sub": user}}
    return base64.b64encode(json.dumps({"oauth_info": info}).encode()).decode() + ".stamp.signature"


def name_in(headers: list[tuple[bytes, bytes]]) -> str:
    """What the browser is to keep."""
    [value] = [value.decode() for name, value in headers if name == b"set-cookie"]
    assert value.endswith("; path=/; httponly; samesite=none; secure; Partitioned")
    return value.partition(";")[0].removeprefix("session=")


def answer(value: str) -> list[tuple[bytes, bytes]]:
    return [(b"set-cookie", f"session={value}; path=/; httponly; samesite=none; secure".encode())]


def test_a_browser_gets_a_name_and_gradio_what_is_kept() -> None:
    logins = LoginSessions()
    name = name_in(logins.outward(answer(content("ada")), {}, "/login/callback"))
    asked = {"cookie": f"theme=dark; session={name}"}
    assert TOKEN not in name
    assert content("ada") not in name
    assert logins.identity(asked) == workspaces.key("ada")
    assert logins.inward([(b"cookie", b"x"), (b"host", b"h")], asked) == [
        (b"host", b"h"), (b"cookie", f"theme=dark; session={content('ada')}".encode()),
    ]  # fmt: skip
    assert name not in logins.kept
    assert TOKEN not in repr(logins.kept)


def test_a_name_that_is_not_kept_is_nobodys() -> None:
    logins = LoginSessions()
    for value in ("", "x", content("ada"), "null"):
        asked = {"cookie": f"session={value}"}
        assert logins.identity(asked) == ""
        assert logins.inward([(b"cookie", asked["cookie"].encode())], asked) == []


def test_a_login_has_a_new_name_and_a_logout_none() -> None:
    logins = LoginSessions()
    before = name_in(logins.outward(answer("e30=.x.y"), {}, "/login/huggingface"))
    asked = {"cookie": f"session={before}"}
    after = name_in(logins.outward(answer(content("ada")), asked, "/login/callback"))
    assert after != before
    assert logins.identity(asked) == ""
    asked = {"cookie": f"session={after}"}
    assert name_in(logins.outward(answer("e30=.x.z"), asked, "/")) == after
    logins.outward(answer("null"), asked, "/logout")
    assert not logins.kept


def test_a_cookie_that_gradio_forgets_is_forgotten_here() -> None:
    """After a login that ends elsewhere than it began, Gradio deletes the cookie with another word."""
    logins = LoginSessions()
    asked = {"cookie": f"session={name_in(logins.outward(answer('e30=.x.y'), {}, '/login/huggingface'))}"}
    deleted = [(b"set-cookie", b'session=""; Max-Age=0; Path=/; SameSite=none; Secure')]
    [(_, value)] = logins.outward(deleted, asked, "/login/callback")
    assert value == deleted[0][1] + b"; Partitioned"
    assert not logins.kept


def test_a_login_ends(monkeypatch: Any) -> None:
    logins = LoginSessions()
    over = name_in(logins.outward(answer(content("ada", time.time() - 1)), {}, "/login/callback"))
    assert logins.identity({"cookie": f"session={over}"}) == ""
    name = name_in(logins.outward(answer(content("ada")), {}, "/login/callback"))
    monkeypatch.setattr(limits, "LOGIN_SECONDS", -1.0)
    assert logins.identity({"cookie": f"session={name}"}) == ""


def test_who_begins_many_logins_ends_nobodys(monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "LOGINS", 2)
    monkeypatch.setattr(limits, "LOGINS_BEGUN", 3)
    logins = LoginSessions()
    name = name_in(logins.outward(answer(content("ada")), {}, "/login/callback"))
    for _ in range(9):
        logins.outward(answer("e30=.x.y"), {}, "/login/huggingface")
    assert len(logins.kept) == 1 + 3
    assert logins.identity({"cookie": f"session={name}"}) == workspaces.key("ada")
    for user in ("ben", "cy"):
        logins.outward(answer(content(user)), {}, "/login/callback")
    assert len(logins.kept) == 2 + 3
    assert logins.identity({"cookie": f"session={name}"}) == ""


def test_a_login_that_was_begun_ends_after_an_hour(monkeypatch: Any) -> None:
    logins, now = LoginSessions(), time.time()
    name = name_in(logins.outward(answer(content("ada")), {}, "/login/callback"))
    begun = {"cookie": f"session={name_in(logins.outward(answer('e30=.x.y'), {}, '/login/huggingface'))}"}
    assert logins.inward([], begun) == [(b"cookie", b"session=e30=.x.y")]
    monkeypatch.setattr(login_sessions.time, "time", lambda: now + 3700)  # type: ignore[attr-defined]
    assert logins.inward([], begun) == []
    logins.outward(answer("e30=.x.z"), {}, "/login/huggingface")
    assert [kept.content for kept in logins.kept.values()] == [content("ada"), "e30=.x.z"]
    assert logins.identity({"cookie": f"session={name}"}) == workspaces.key("ada")


def test_logins_that_one_browser_begins_without_end_are_forgotten() -> None:
    """Gradio adds each to the content of its cookie."""
    logins = LoginSessions()
    asked = {"cookie": f"session={name_in(logins.outward(answer('e30=.x.y'), {}, '/login/huggingface'))}"}
    assert logins.find(asked) != ("", "")
    long = "x" * (limits.LOGIN_BEGUN_CHARACTERS + 1)
    assert name_in(logins.outward(answer(long), asked, "/login/huggingface")) == "null"
    assert not logins.kept


def test_the_gate_hands_no_token_to_a_browser_and_keeps_none(tmp_path: Path) -> None:
    cookies: list[bytes] = []

    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        cookies.extend(value for name, value in scope["headers"] if name == b"cookie")
        headers = answer(content("ada")) if scope["path"] == "/login/callback" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    gate = Gate(gradio, True, tmp_path)
    _, headers = ask(gate, "/login/callback")
    assert TOKEN not in str(headers)
    assert content("ada") not in str(headers)
    name = headers["set-cookie"].partition(";")[0]
    assert ask(gate, "/gradio_api/queue/data", query="session_hash=a", cookie=name)[0] == 200
    assert cookies == [f"session={content('ada')}".encode()]
    assert ask(gate, "/gradio_api/queue/data", query="session_hash=a", cookie=f"session={content('ada')}")[0] == 401
    assert content("ada") not in str(gate.sessions.owners)
    assert set(gate.sessions.owners.values()) == {workspaces.key("ada")}
