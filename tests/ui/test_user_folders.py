"""The folders of a shared host's users, and the host's code in them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from foundry.ui import locks, user_folders
from foundry.ui.user_folders import CODE_HASH
from foundry.ui.workspaces import User
from tests.support.projects import ROOT

ADA = User("ada", "hf_x")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host's project of a few files, with the names of a real one."""
    for name, text in {
        "foundry/base.py": "one\n", "foundry/old.py": "", "stages/export.py": "", "dvc.yaml": "stages: {}\n",
        "runtime/foundry_runtime/a.py": "", "params.yaml": "models: {}\n", ".gitignore": "/artifacts\n",
    }.items():  # fmt: skip
        (tmp_path / "host" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "host" / name).write_text(text)
    return tmp_path / "host"


@pytest.fixture
def newer(host: Path, tmp_path: Path) -> Path:
    """The same project after the host was given other code: a server that starts anew has read nothing of it before."""
    copy = tmp_path / "newer"
    shutil.copytree(host, copy)
    (copy / "foundry/base.py").write_text("two\n")
    (copy / "foundry/old.py").unlink()
    (copy / "params.yaml").write_text("models: {other: {}}\n")
    return copy


def test_a_users_project_is_whole_and_has_a_cache_of_its_own(tmp_path: Path) -> None:
    ada = user_folders.for_user(ADA, tmp_path / "state", ROOT)
    assert ada.root.parent == tmp_path / "state/users"
    assert user_folders.for_user(User("ada", "hf_y"), tmp_path / "state", ROOT).root == ada.root
    assert user_folders.for_user(User("ben"), tmp_path / "state", ROOT).root != ada.root
    listed = subprocess.run(["dvc", "stage", "list", "--name-only"], cwd=ada.root, capture_output=True, text=True)
    assert "publish@minilm" in listed.stdout.split()
    cache = subprocess.run(["dvc", "cache", "dir"], cwd=ada.root, capture_output=True, text=True)
    assert cache.stdout.strip() == str(ada.root / ".dvc/cache")
    assert not list(ada.root.rglob("__pycache__"))


def test_a_users_code_follows_the_hosts_and_what_is_the_users_stays(host: Path, newer: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    root = user_folders.for_user(ADA, state, host).root
    made = git(root, "rev-parse", "HEAD")
    (root / "params.yaml").write_text("models: {hers: {}}\n")
    (root / "artifacts/report").mkdir()
    assert user_folders.for_user(ADA, state, host).root == root
    assert git(root, "rev-parse", "HEAD") == made

    assert user_folders.for_user(ADA, state, newer).root == root
    assert (root / "foundry/base.py").read_text() == "two\n"
    assert not (root / "foundry/old.py").exists()
    assert (root / "params.yaml").read_text() == "models: {hers: {}}\n"
    assert (root / "artifacts/report").is_dir()
    assert "foundry/old.py" not in git(root, "ls-tree", "-r", "--name-only", "HEAD").split()
    assert git(root, "status", "--porcelain").split() == ["M", "params.yaml"]
    renewed = git(root, "rev-parse", "HEAD")
    user_folders.for_user(ADA, state, newer)
    assert git(root, "rev-parse", "HEAD") == renewed


@pytest.mark.parametrize("lock", [locks.WORK, locks.ASKING, locks.SENDING])
def test_code_is_not_changed_below_what_runs_from_it(host: Path, newer: Path, tmp_path: Path, lock: str) -> None:
    workspace = user_folders.for_user(ADA, tmp_path / "state", host)
    with locks.held(workspace, lock):
        user_folders.for_user(ADA, tmp_path / "state", newer)
        assert (workspace.root / "foundry/base.py").read_text() == "one\n"
    user_folders.for_user(ADA, tmp_path / "state", newer)
    assert (workspace.root / "foundry/base.py").read_text() == "two\n"


def test_code_that_was_renewed_in_part_is_renewed_again(
    host: Path, newer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = user_folders.for_user(ADA, tmp_path / "state", host).root

    def full(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="the disk is full"):
        patched.setattr(user_folders.version_history, "record", full)
        user_folders.for_user(ADA, tmp_path / "state", newer)
    assert not (root / CODE_HASH).exists()
    (root / ".git/HEAD.lock").write_text("")  # the history may lack it
    user_folders.for_user(ADA, tmp_path / "state", newer)
    assert (root / CODE_HASH).read_text() == user_folders.code_hash(newer)
    assert (root / "foundry/base.py").read_text() == "two\n"
