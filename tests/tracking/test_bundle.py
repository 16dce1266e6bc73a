"""bundle: what a rebuild made goes to another clone by one file, and nothing else comes out of it."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from foundry.base.errors import FoundryError
from foundry.params import pins
from foundry.tracking import bundle
from tests.support.git import build_and_commit
from tests.support.projects import ROOT

PIPELINE = """
stages:
  build:
    matrix: {name: [a, b]}
    cmd: python build.py out/${item.name} ${item.name}.txt
    deps: ["${item.name}.txt"]
    outs: ["out/${item.name}", "out/${item.name}.json": {cache: false}]
"""
BUILD = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True)
text = pathlib.Path(sys.argv[2]).read_text()
(folder / "new.txt").write_text(text)
(folder / "same.txt").write_text("same")
folder.with_suffix(".json").write_text(text)
"""
OLD, NEW = "1" * 40, "2" * 40


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def params(revision: str, **model: object) -> str:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["models"] = {"a": {"source": {"hub": "org/a", "revision": revision}, **model}}
    return str(yaml.safe_dump(raw))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a rebuild, and a fresh clone beside it, without anything that was built."""
    root = tmp_path_factory.mktemp("bundle")
    builder = root / "builder"
    texts = {"dvc.yaml": PIPELINE, "build.py": BUILD, "params.yaml": params(OLD), ".gitignore": "/out\n"}
    build_and_commit(builder, {**texts, "a.txt": "1", "b.txt": "1"}, run)
    run(root, "git", "clone", "-q", "builder", "fresh")
    (builder / "a.txt").write_text("2")
    (builder / "params.yaml").write_text(params(NEW))
    run(builder, "dvc", "repro")
    return root


@pytest.fixture
def fresh(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fresh clone, and the bundle beside it."""
    monkeypatch.chdir(pair / "builder")
    assert bundle.pack(tmp_path / "rebuild.tar") == 2  # the changed folder's list, and the changed file in it
    folder = Path(shutil.copytree(pair / "fresh", tmp_path / "fresh"))
    monkeypatch.chdir(folder)
    return folder


def unpack(path: Path) -> int:
    return bundle.unpack(path, pins.check_commits_alone_differ)


def objects(folder: Path) -> dict[str, bytes]:
    root = folder / ".dvc/cache"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_another_clone_has_what_was_built(pair: Path, fresh: Path) -> None:
    assert unpack(fresh.parent / "rebuild.tar") == 2
    for name in ("dvc.lock", "params.yaml"):
        assert (fresh / name).read_bytes() == (pair / "builder" / name).read_bytes()
    taken, built = objects(fresh), objects(pair / "builder")
    assert taken.items() <= built.items()
    assert {name for name in built if name.startswith("runs/")} <= taken.keys()
    assert b"2" in taken.values()
    assert b"same" not in taken.values()  # it is in the remote already
    assert unpack(fresh.parent / "rebuild.tar") == 2


def with_member(path: Path, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> Path:
    """The bundle with one more member, or another content of one."""
    target = path.with_name("altered.tar")
    with tarfile.open(path) as source, tarfile.open(target, "w") as archive:
        for member in source:
            if member.name != name:
                archive.addfile(member, source.extractfile(member))
        more = tarfile.TarInfo(name)
        more.size, more.type, more.linkname = len(content), kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
        archive.addfile(more, io.BytesIO(content))
    return target


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("../outside", b"", "'../outside' does not belong into a bundle"),
        (".dvc/config", b"[core]", "'.dvc/config' does not belong"),
        ("objects/../../.git/config", b"", "does not belong"),
        ("runs/00/x", b"", "does not belong"),
        (f"objects/00/{'0' * 30}", b"other bytes", "has other bytes than its name says"),
        (f"objects/00/{'0' * 30}.dir", b"[]", "has other bytes than its name says"),
        ("dvc.lock", b"", "dvc.lock is damaged"),
        ("params.yaml", params(NEW).replace("seed: ", "seed: 1").encode(), "other changes than commits of sources"),
        ("params.yaml", params(NEW, trust_remote_code=True).encode(), "other changes than commits of sources"),
    ],
)
def test_what_does_not_belong_into_a_bundle_is_refused(fresh: Path, name: str, content: bytes, message: str) -> None:
    before = [(fresh / name).read_bytes() for name in ("dvc.lock", "params.yaml", ".dvc/config")]
    with pytest.raises(FoundryError, match=message):
        unpack(with_member(fresh.parent / "rebuild.tar", name, content))
    assert [(fresh / name).read_bytes() for name in ("dvc.lock", "params.yaml", ".dvc/config")] == before
    assert not (fresh.parent / "outside").exists()
    assert not list((fresh / ".dvc").rglob(f"{'0' * 30}*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_the_like_are_refused(fresh: Path, kind: bytes) -> None:
    with pytest.raises(FoundryError, match="is no file"):
        unpack(with_member(fresh.parent / "rebuild.tar", "params.yaml", kind=kind))


def test_something_else_is_no_bundle(fresh: Path) -> None:
    (fresh / "other").write_text("other")
    for path in (fresh / "other", fresh / "gone"):
        with pytest.raises(FoundryError, match="is no bundle that can be read"):
            unpack(path)


@pytest.mark.parametrize(
    "model",
    [
        {"trust_remote_code": True},
        {"code_revision": OLD},
        {"base": {"hub": "o/b", "revision": OLD}, "code_revision": NEW},
    ],
)
def test_commits_of_code_that_runs_stay_as_they_are(model: dict[str, object]) -> None:
    before = params(OLD, **model)
    pins.check_commits_alone_differ(before, before)
    with pytest.raises(FoundryError, match="pins code that runs here to another commit"):
        pins.check_commits_alone_differ(before, before.replace(OLD, NEW))
    pins.check_commits_alone_differ(params(OLD), params(NEW))
