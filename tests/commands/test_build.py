"""build: a dvc.lock that was cut off is put right before anything is built, and one that is in conflict is an error."""

import subprocess
from pathlib import Path

import pytest

from foundry.base import lock_copy
from foundry.base.errors import FoundryError
from foundry.commands import build
from foundry.tracking import reproduction
from tests.support.git import AUTHOR
from tests.support.projects import ROOT

LOCK = """schema: '2.0'
stages:
  first:
    cmd: "true"
    outs:
    - path: out
      hash: md5
      md5: d41d8cd98f00b204e9800998ecf8427e
      size: 0
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What dvc.lock is, each time when something is to be built, in a folder of git."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "dvc.lock").write_text(LOCK)
    for command in (["init", "-q"], ["add", "params.yaml"], [*AUTHOR, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], check=True)
    texts: list[str] = []

    def note(models: object) -> list[str]:
        texts.append(Path("dvc.lock").read_text())
        return []

    monkeypatch.setattr(reproduction, "build", note)
    return texts


def test_what_was_cut_off_is_whole_before_anything_is_built(
    seen: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    build.main()
    assert capsys.readouterr().out == ""
    kept = lock_copy.read()
    assert kept is not None
    assert kept.content.decode() == LOCK
    for cut in ("", LOCK[: len(LOCK) // 2]):
        Path("dvc.lock").write_text(cut)
        build.main()
        assert "dvc.lock was cut off" in capsys.readouterr().out
    assert seen == [LOCK] * 3


def test_a_conflict_ends_it_before_anything_is_built(seen: list[str]) -> None:
    Path("dvc.lock").write_text(f"<<<<<<< HEAD\n{LOCK}=======\n{LOCK}>>>>>>> other\n")
    with pytest.raises(FoundryError, match="has git's conflict marks"):
        build.main()
    assert seen == []


def test_without_dvc_on_the_path_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FoundryError, match=r"`dvc` is not on the PATH.*activate"):
        reproduction.build({"tiny": ["torch"]})
