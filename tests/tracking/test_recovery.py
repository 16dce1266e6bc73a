"""dvc.lock that DVC did not write to its end is taken from the copy that stages keep, and from no other revision's."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.base import lock_copy
from foundry.base.errors import FoundryError
from foundry.base.surroundings import RWLOCK
from foundry.tracking import lock, recovery
from tests.support.git import AUTHOR, build_and_commit
from tests.support.projects import ROOT

PIPELINE = """
stages:
  build:
    matrix: {name: [a, b, c]}
    cmd: python -m stage out/${item.name}
    deps: [source.txt]
    outs: ["out/${item.name}"]
"""
STAGE = """
from pathlib import Path
from foundry.base import command
def main(out: Path) -> None:
    out.parent.mkdir(exist_ok=True)
    out.write_text(Path("source.txt").read_text() + out.name)
command.run(main)
"""


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline, whose stages keep the copy; built, and then built anew without a commit."""
    root = tmp_path_factory.mktemp("recovery") / "project"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
        patch.delenv("DVC_STAGE", raising=False)
        texts = {"source.txt": "1", "dvc.yaml": PIPELINE, "stage.py": STAGE, ".gitignore": "/out\n"}
        build_and_commit(root, texts, run)
        (root / "source.txt").write_text("2")
        run(root, "dvc", "repro")
    return root


@pytest.fixture
def project(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = Path(shutil.copytree(first, tmp_path / "project"))
    monkeypatch.chdir(root)
    return root


def last_stage(content: bytes) -> str:
    return [*lock.parse(content)][-1]


CUTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "the first line": lambda content: content[:10],
    "half": lambda content: content[: len(content) // 2],
    "all but its last byte": lambda content: content[:-1],
    "half of the lines": lambda content: b"".join(content.splitlines(keepends=True)[: content.count(b"\n") // 2]),
    "between two stages": lambda content: content[: content.index(b"  build@b:")],
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_what_was_cut_off_comes_back_but_for_the_last_stage(
    project: Path, cut: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Path("dvc.lock").read_bytes()
    Path("dvc.lock").write_bytes(cut(whole))
    recovery.recover()
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"dvc.lock was cut off after {len(cut(whole))} bytes")
    assert line.endswith("the copy that was kept as the last stage started is in its place again")
    # The copy is of before the last stage ended; of the others it has what was built and not yet committed.
    after, built = lock.stages(), lock.parse(whole)
    assert list(after) == list(built)
    assert [name for name in built if after[name] != built[name]] == [last_stage(whole)]
    assert recovery.DAMAGED.read_bytes() == cut(whole)
    recovery.recover()
    assert capsys.readouterr().out == ""


def test_a_copy_is_of_its_revision_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(project, "git", "checkout", "-q", "--", ".")
    run(project, "git", "checkout", "-q", "-b", "other")
    Path("dvc.lock").write_text(Path("dvc.lock").read_text().replace("build@c", "build@d"))
    run(project, "git", *AUTHOR, "commit", "-qam", "another pipeline")
    committed = Path("dvc.lock").read_bytes()
    Path("dvc.lock").write_bytes(committed[:100])
    recovery.recover()
    assert Path("dvc.lock").read_bytes() == committed
    assert "the committed one is in its place again" in capsys.readouterr().out


def test_a_lock_that_is_whole_is_left_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = Path("dvc.lock").read_bytes()
    recovery.recover()
    # One of another revision may have fewer stages, and a person may check it out.
    shorter = whole[: whole.index(b"  build@b:")]
    Path("dvc.lock").write_bytes(shorter)
    run(project, "git", *AUTHOR, "commit", "-qm", "shorter", "dvc.lock")
    run(project, "git", "reset", "-q", "--soft", "HEAD^")
    recovery.recover()
    assert Path("dvc.lock").read_bytes() == shorter
    # Stages of which dvc.lock has less, but not in the order in which it was written.
    Path("dvc.lock").write_bytes(shorter.replace(b"build@a", b"build@b"))
    recovery.recover()
    assert capsys.readouterr().out == ""
    Path("dvc.lock").unlink()
    recovery.recover()
    assert not Path("dvc.lock").exists()


def test_a_conflict_is_another_error(project: Path) -> None:
    whole = Path("dvc.lock").read_text().splitlines(keepends=True)
    text = "".join([*whole[:5], "<<<<<<< HEAD\n", whole[5], "=======\n", whole[5], ">>>>>>> other\n", *whole[6:]])
    Path("dvc.lock").write_text(text)
    with pytest.raises(FoundryError, match=r"^dvc\.lock has git's conflict marks \(line 6\): take one side.*$"):
        recovery.recover()
    assert Path("dvc.lock").read_text() == text


def test_without_a_copy_or_a_commit_it_says_so(project: Path) -> None:
    lock_copy.COPY.write_bytes(b"# of something else\n")
    run(project, "git", "update-ref", "-d", "HEAD")
    Path("dvc.lock").write_bytes(b"")
    with pytest.raises(FoundryError, match="neither a copy of this revision nor a committed one: remove it"):
        recovery.recover()
    assert Path("dvc.lock").read_bytes() == b""


def test_half_a_lock_does_not_replace_the_copy(project: Path) -> None:
    before = lock_copy.COPY.read_bytes()
    Path("dvc.lock").write_bytes(Path("dvc.lock").read_bytes()[:-1])
    lock_copy.keep()
    assert lock_copy.COPY.read_bytes() == before


@pytest.mark.parametrize(("note", "stays"), [("", False), ('{"a": ', False), ("{}", True), (None, False)])
def test_a_note_of_dvcs_that_was_cut_is_removed(
    project: Path, capsys: pytest.CaptureFixture[str], note: str | None, stays: bool
) -> None:
    RWLOCK.unlink(missing_ok=True)
    if note is not None:
        RWLOCK.write_text(note)
    recovery.recover()
    assert RWLOCK.exists() is stays
    assert ("rwlock was cut off" in capsys.readouterr().out) is (note is not None and not stays)


def test_a_note_that_dvc_writes_now_is_left_alone(project: Path) -> None:
    from dvc.lock import make_lock

    RWLOCK.write_text("{")
    guard = make_lock(str(RWLOCK.resolve()) + ".lock")
    guard.lock()

    def finish() -> None:
        RWLOCK.write_text("{}")
        guard.unlock()

    timer = threading.Timer(0.3, finish)
    timer.start()
    recovery.recover()
    timer.join()
    assert RWLOCK.read_text() == "{}"
