"""Workspaces: a folder for each user, with nothing of the host's secrets in the environment of what runs there."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from foundry.base.errors import FoundryError
from foundry.ui import limits, sessions, workspaces
from foundry.ui.workspaces import User, Workspace


def test_each_user_has_a_folder_whose_name_is_no_path(tmp_path: Path) -> None:
    names = ["ada", "ben", "../ada", "a/b", "", "ada ", "x" * 5000]
    keys = [workspaces.key(name) for name in names]
    assert len({*keys}) == len(names)
    assert all(len(key) == 40 and key.isalnum() for key in keys)


def test_nothing_of_the_hosts_reaches_a_users_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "OAUTH_CLIENT_SECRET", "OAUTH_CLIENT_ID", "AWS_SECRET_ACCESS_KEY", "FOUNDRY_SIGNING_KEY",
                 "HF_TOKEN_PATH", "HF_HOME", "MY_PASSWORD"):  # fmt: skip
        monkeypatch.setenv(name, "the host's")
    environment = Workspace(tmp_path, shared=True, token="hf_hers").environment()
    assert "the host's" not in environment.values()
    assert environment["HF_TOKEN"] == "hf_hers"
    assert environment["HF_HOME"].startswith(str(tmp_path))
    assert "HF_TOKEN" not in Workspace(tmp_path, shared=True).environment()
    assert Workspace(tmp_path).environment()["HF_TOKEN"] == "the host's"  # one's own machine: as on the command line


def test_no_token_is_in_what_is_printed_of_a_user() -> None:
    assert "hf_secret" not in repr(User("ada", "hf_secret"))
    assert "hf_secret" not in repr(Workspace(Path("x"), True, "hf_secret"))


def test_a_full_folder_may_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large").write_bytes(b"x" * 2000)
    monkeypatch.setattr(limits, "FOLDER_BYTES", 1000)
    with pytest.raises(FoundryError, match="are allowed here"):
        workspaces.require_quota(Workspace(tmp_path, shared=True))
    workspaces.require_quota(Workspace(tmp_path))


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 1000)
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    (tmp_path / "other").write_bytes(b"x" * 10)
    assert workspaces.size_bytes(tmp_path) == 1010


class Request:
    """What Gradio hands to a handler."""

    def __init__(self, session: dict[str, object] | None) -> None:
        self.request = SimpleNamespace(scope={} if session is None else {"session": session})

    @property
    def session(self) -> object:
        """What Gradio makes of it."""
        raise ValueError("dictionary update sequence element #0 has length 4; 2 is required")


def test_nobody_is_taken_for_somebody() -> None:
    info = {"access_token": "hf_x", "expires_at": 4e9, "userinfo": {"sub": "1234", "preferred_username": "ada"}}
    assert sessions.oauth_user(Request({"oauth_info": info})) == User("1234", "hf_x")
    assert sessions.name_in({"oauth_info": info}) == "ada"
    assert sessions.name_in({}) == sessions.name_in({"oauth_info": {**info, "expires_at": 1}}) == ""
    for session in (None, {}, {"oauth_info": None}, {"oauth_info": {"userinfo": {}}}):
        with pytest.raises(FoundryError, match="log in"):
            sessions.oauth_user(Request(session))
    with pytest.raises(FoundryError, match="over"):
        sessions.oauth_user(Request({"oauth_info": {**info, "expires_at": 1}}))


def test_a_shared_page_does_not_start_where_nobody_can_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in sessions.NEEDED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SYSTEM", "spaces")
    with pytest.raises(FoundryError, match="OAUTH_CLIENT_SECRET"):
        sessions.require_login()
    for name in sessions.NEEDED:
        monkeypatch.setenv(name, "x")
    sessions.require_login()
    monkeypatch.delenv("SYSTEM")  # Gradio logs everybody in as the user of the machine then
    with pytest.raises(FoundryError, match="SYSTEM"):
        sessions.require_login()


def test_a_folder_that_is_no_project_says_so(tmp_path: Path) -> None:
    with pytest.raises(FoundryError, match="is no project"):
        workspaces.local(tmp_path)
