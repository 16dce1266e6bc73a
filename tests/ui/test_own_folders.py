"""A folder of a process is removed when it ends, or where it was killed, by the next one."""

import os
import subprocess
import sys
import time
from pathlib import Path

from foundry.ui.own_folders import OwnFolder

KILLED = """
import os, pathlib, sys
from foundry.ui.own_folders import OwnFolder
OwnFolder(pathlib.Path(sys.argv[1]), "x-")
os._exit(1)
"""


def test_it_is_removed_when_its_process_ends(tmp_path: Path) -> None:
    with OwnFolder(tmp_path / "base", "x-") as folder:
        (folder / "file").write_text("x")
        assert folder.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "base").iterdir()) == []


def test_the_next_process_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=Path(__file__).parents[2], check=False)
    [left] = tmp_path.iterdir()
    held, young, other = OwnFolder(tmp_path, "x-").path, tmp_path / "x-young", tmp_path / "other"
    assert left.is_dir()  # it could be one that is just being made
    for path in (young, other):
        path.mkdir()
    (tmp_path / "x-link").symlink_to(other)
    for path in (left, held, other):
        os.utime(path, (time.time() - 100,) * 2)
    new = OwnFolder(tmp_path, "x-")
    assert {path.name for path in tmp_path.iterdir()} == {held.name, new.path.name, "x-young", "other", "x-link"}
