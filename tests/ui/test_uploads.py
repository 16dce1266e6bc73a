"""Own texts: read as the pipeline reads them before anything is changed, under a name that is no path."""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.base.errors import FoundryError
from foundry.ui import editing, limits, upload_reading, uploads
from foundry.ui.workspaces import Workspace


@pytest.fixture
def workspace(project: Callable[..., Path]) -> Workspace:
    return Workspace(project())


def test_what_is_read_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("id;text\n1;one\n2;\n3;" + "x" * 500 + "\n")
    read = upload_reading.read(path)
    assert (read.number, read.longest) == (2, 500)
    assert read.texts == ["one", "x" * 200 + "…"]
    assert upload_reading.columns(path) == ["id", "text"]
    assert upload_reading.likely_column(path, ["id", "text"]) == "text"
    other = tmp_path / "other.csv"
    other.write_text("id,body\n1,a whole sentence\n")
    assert upload_reading.likely_column(other, upload_reading.columns(other)) == "body"
    lines = tmp_path / "own.jsonl"
    lines.write_text('{"body": "a", "n": 1}\n')
    assert upload_reading.columns(lines) == ["body"]
    assert upload_reading.read(lines, "body").texts == ["a"]
    plain = tmp_path / "own.txt"
    plain.write_text("a\n\nb\n")
    assert upload_reading.read(plain).texts == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own.exe", b"MZ", "its ending is none of"), ("own.parquet", b"PAR1", "its ending is none of"),
        ("own.csv", b"id\n1\n", "text"), ("own.jsonl", b"{", "no JSON"), ("own.txt", b"\n\n", "no text"),
        ("own.txt", b"", "own.txt"), ("own.txt", b"\xff\xff\n", "own.txt"), ("own.csv", b"text\na,b\n", "line 2"),
        ("own\u202e.txt", b"a\n", "has control characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line_without_a_path(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FoundryError, match=message) as caught:
        upload_reading.read(path)
    assert str(tmp_path) not in str(caught.value)


def test_what_is_too_much_is_refused(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.txt"
    path.write_text("a\nb\nc\n")
    monkeypatch.setattr(limits, "TEXTS", 2)
    with pytest.raises(FoundryError, match="more than 2 texts"):
        upload_reading.read(path)
    monkeypatch.setattr(limits, "UPLOAD_BYTES", 3)
    with pytest.raises(FoundryError, match="are allowed"):
        upload_reading.columns(path)  # which is looked at before the rest
    with pytest.raises(FoundryError, match="are allowed"):
        upload_reading.read(path)


def test_texts_become_a_source_once(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "upload" / "../../evil name.txt"
    path = tmp_path / "evil name.txt"
    path.write_text("a\nb\n")
    uploads.keep(workspace, path, uploads.slug_of("../../evil name.txt"), "text")
    params = editing.read(workspace)
    assert params.sample.sources["evil_name"].model_dump()["path"] == "texts/evil_name.txt"
    assert params.sample.validation.share["evil_name"] == 0.6
    before = workspace.params.read_bytes()
    with pytest.raises(FoundryError, match="take another name"):
        uploads.keep(workspace, path, "evil_name", "text")
    for name in ("../x", "a/b", ".hidden", ""):
        with pytest.raises(FoundryError, match="is no name"):
            uploads.keep(workspace, path, name, "text")
    monkeypatch.setattr(limits, "TEXT_FILES", 1)
    with pytest.raises(FoundryError, match="no more are allowed"):
        uploads.keep(workspace, path, "more", "text")
    assert workspace.params.read_bytes() == before
    assert [path.name for path in (workspace.root / "texts").iterdir()] == ["evil_name.txt"]


def test_a_column_is_a_short_name(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "own.csv"
    path.write_text(",".join(f"c{number}" for number in range(1000)) + f",{'x' * 1000}\n")
    assert len(upload_reading.columns(path)) == limits.TEXT_COLUMNS
    before = workspace.params.read_bytes()
    for column in ("x" * 1000, "a\n  b: c"):
        path.write_text(f'"{column}"\na text\n')
        with pytest.raises(FoundryError, match="a column's name"):
            uploads.keep(workspace, path, "own", column)
    assert workspace.params.read_bytes() == before


def test_a_name_is_made_of_a_files_name() -> None:
    assert uploads.slug_of("../../etc/passwd") == "passwd"
    assert uploads.slug_of("ä b.csv") == "b"
    assert uploads.slug_of("--x.txt") == "x"
    assert uploads.slug_of("….txt") == "own"


def test_an_upload_is_read_by_a_process_of_its_own(tmp_path: Path, workspace: Workspace) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"body": "a sentence", "n": "1"}\n')
    names, preview = upload_reading.ask(workspace, own, "text", is_fixed=False)
    assert (names, preview.column, preview.texts) == (["body", "n"], "body", ["a sentence"])
    with pytest.raises(FoundryError, match=r"own\.jsonl, line 1 has no column 'text'"):
        upload_reading.ask(workspace, own, "text", is_fixed=True)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not keep to a limit of memory")
def test_an_upload_that_takes_too_much_memory_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    """The server neither grows nor waits, and who sent it is told what to do."""
    hostile = tmp_path / "hostile.json"
    hostile.write_text("[" + "[]," * 6_600_000 + "0]")
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FoundryError, match=r"hostile\.json is too large to read: it takes more than 500 MB"):
        upload_reading.ask(workspace, hostile, "text", is_fixed=False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert time.monotonic() - start < limits.READING_SECONDS


def test_reading_an_upload_ends_in_time(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READING_SECONDS", 0.01)
    own = tmp_path / "own.txt"
    own.write_text("a")
    with pytest.raises(FoundryError, match=r"own\.txt took more than 0 seconds to read"):
        upload_reading.ask(workspace, own, "text", is_fixed=False)


@pytest.mark.parametrize("moment", ["while it is copied", "before params.yaml", "after params.yaml"])
def test_a_kill_between_the_two_writes_takes_no_name(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """What no source names is removed by the next upload; files that a person put there stay."""
    folder = workspace.root / "texts"
    folder.mkdir()
    (folder / "by_hand.txt").write_text("mine\n")
    path = tmp_path / "own.txt"
    path.write_text("a\n")
    code = f"""
import os, shutil
from pathlib import Path
from foundry.ui import editing, uploads
from foundry.ui.workspaces import Workspace
end, write, copy = lambda *given: os._exit(9), editing.write, shutil.copyfile
if {moment!r} == "while it is copied":
    shutil.copyfile = lambda *given: (copy(*given), end())
else:
    editing.write = lambda *given: ({moment!r} == "after params.yaml" and write(*given), end())
uploads.keep(Workspace(Path({str(workspace.root)!r})), Path({str(path)!r}), "own", "text")
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    is_whole = moment == "after params.yaml"
    assert ("own" in editing.read(workspace).sample.sources) is is_whole
    monkeypatch.setattr(limits, "TEXT_FILES", 4 if is_whole else 3)
    uploads.keep(workspace, path, "other", "text")
    if is_whole:
        with pytest.raises(FoundryError, match="take another name"):
            uploads.keep(workspace, path, "own", "text")
    else:
        uploads.keep(workspace, path, "own", "text")
    with pytest.raises(FoundryError, match="take another name"):
        monkeypatch.setattr(limits, "TEXT_FILES", 9)
        uploads.keep(workspace, path, "by_hand", "text")
    assert sorted(path.name for path in folder.iterdir()) == ["by_hand.txt", "other.txt", "own.txt"]
    assert (folder / "by_hand.txt").read_text() == "mine\n"
    assert not (workspace.state / uploads.ADDING).exists()
