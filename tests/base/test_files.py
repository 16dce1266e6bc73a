"""Whole or not there: an error, a kill or a full disk never leaves half a file where a good one is expected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foundry.base import files
from tests.support.disks import small_disk
from tests.support.projects import ROOT


def test_an_error_leaves_the_earlier_output(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with files.replacing_folder(target) as partial:
        (partial / "a").write_text("good")
    with pytest.raises(RuntimeError), files.replacing_folder(target) as partial:
        (partial / "a").write_text("half")
        raise RuntimeError
    assert (target / "a").read_text() == "good"
    assert list(tmp_path.iterdir()) == [target]


def test_success_replaces_all_of_the_earlier_output(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for name in ("old", "new"):
        with files.replacing_folder(target) as partial:
            (partial / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["new"]


def test_leftover_of_a_killed_process_is_swept_away(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    leftover = tmp_path / f".partial-out-{child.pid}"
    leftover.mkdir()
    with files.replacing_folder(tmp_path / "out"):
        assert not leftover.exists()


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "out"):
        pass


def test_json_is_the_same_bytes(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a", {"x": 1.5, "y": "ü"})
    files.write_json(tmp_path / "b", {"x": 1.5, "y": "ü"})
    assert files.sha256(tmp_path / "a") == files.sha256(tmp_path / "b")
    assert files.read_json(tmp_path / "a") == {"x": 1.5, "y": "ü"}


def test_full_disk(tmp_path: Path, checkpoint: Path) -> None:
    """A stage on a disk of 200 kB: one clear error, exit code 1, nothing left behind."""
    with small_disk(tmp_path / "disk", "200k") as disk:
        script = f"""
from pathlib import Path
from foundry.base import command, files
def main() -> None:
    with files.replacing_folder(Path({str(disk)!r}) / "torch") as partial:
        files.copy(Path({str(checkpoint)!r}) / "model.safetensors", partial / "model.safetensors")
        files.copy(Path({str(checkpoint)!r}) / "model.safetensors", partial / "again.safetensors")
command.run(main)
"""
        assert 2 * (checkpoint / "model.safetensors").stat().st_size > 200_000
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert os.listdir(disk) == []  # noqa: PTH208


def test_too_little_room_is_told_in_numbers(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device \(1,000,000,000 MB are needed, [\d,]+ MB are free\)"):
        files.require_space(tmp_path / "not" / "yet" / "there", 10**15)
    files.require_space(tmp_path, 10**6)


def test_the_disk_of_dvcs_cache_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert files.dvc_cache() is None
    Path(".dvc").mkdir()
    assert files.dvc_cache() == Path(".dvc/cache")
    Path(".dvc/config").write_text("[core]\n    analytics = false\n[cache]\n    dir = ../elsewhere\n")
    Path(".dvc/config.local").write_text("[cache]\n    dir = /a/shared/cache\n")
    assert files.dvc_cache() == Path("/a/shared/cache")
    Path(".dvc/config.local").unlink()
    with small_disk(tmp_path / "elsewhere", "100k") as disk:
        with pytest.raises(OSError, match="No space left on device") as raised:
            files.require_space(tmp_path / "out", 200_000)
        assert Path(raised.value.filename).resolve() == disk
        files.require_space(tmp_path / "out", 50_000)
