"""verify: every name of the record by its bytes, and nothing else: no link, no pipe, no name that leads elsewhere."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.commands import verify
from foundry.publishing import provenance, verification
from foundry.publishing.local_paths import without_local_paths

CONTENTS = {"README.md": b"words", "onnx/model.onnx": b"graph", "config.json": b"{}", ".gitattributes": b"*.onnx lfs"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published folder, as far as `foundry verify` looks at it."""
    root = tmp_path / "published"
    for name, content in CONTENTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    write(root, {name: files.sha256(root / name) for name in CONTENTS})
    return root


def write(root: Path, hashes: dict[str, str], **more: Any) -> None:
    variant = {"files": {"onnx/model.onnx": hashes.get("onnx/model.onnx", "0" * 64)}, "verdict": "passed", "texts": 9}
    record = {"format": 1, "model": "m", "uploaded": [], "files": hashes, **more}
    record.setdefault("variants", {"onnx": {**variant, "figures": {"mean_cosine": 1.0, "min_cosine": None}}})
    (root / provenance.NAME).write_text(json.dumps(record))


def findings(folder: Path) -> dict[str, str]:
    return verification.compare(folder, provenance.read(folder))


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def listen(path: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(os.path.relpath(path))  # the whole path may be too long for a socket


def test_a_good_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".cache/huggingface").mkdir(parents=True)
    (folder / ".cache/huggingface/lock").write_text("")
    verify.main(folder)
    output = capsys.readouterr().out
    assert "good, 4 files" in output
    assert "not signed. Its hashes find damage; who wrote it, only a signature says" in output
    assert "not looked into: .cache" in output
    assert "onnx: passed on 9 texts, mean_cosine 1.0000\n" in output


@pytest.mark.parametrize("name", CONTENTS)
def test_every_name_of_the_record_is_hashed(folder: Path, name: str) -> None:
    (folder / name).write_bytes(CONTENTS[name] + b"!")
    assert findings(folder) == {name: "altered"}
    (folder / name).unlink()
    assert findings(folder) == {name: "missing"}


@pytest.mark.parametrize(
    ("make", "finding"),
    [
        (lambda path: path.symlink_to("config.json"), "a link"),
        (lambda path: path.symlink_to(path.parent.parent), "a link"),
        (lambda path: path.symlink_to("nothing"), "a link"),
        (os.mkfifo, "a pipe"),
        (listen, "a socket"),
        (Path.mkdir, "a folder"),
    ],
    ids=["link to a file", "link to a folder", "dangling link", "pipe", "socket", "folder"],
)
def test_what_is_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], finding: str
) -> None:
    monkeypatch.chdir(folder)
    make(folder / "more")
    assert findings(folder) == ({} if finding == "a folder" else {"more": finding})
    replace(folder / "README.md", make)
    assert findings(folder)["README.md"] == finding
    replace(folder / provenance.NAME, make)
    with pytest.raises(FoundryError, match=r"foundry\.json is no file, but a link, a folder or the like"):
        verify.main(folder)


def test_a_folder_that_is_a_link(folder: Path) -> None:
    (folder / "onnx").rename(folder.parent / "elsewhere")
    (folder / "onnx").symlink_to(folder.parent / "elsewhere")
    assert findings(folder) == {"onnx": "a link", "onnx/model.onnx": "missing"}


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/hostname", "a/../../outside", "a//b", "./a", "", "a\\b", "C:a", "a\nb", "a.", "a/"]
)
def test_a_name_that_leads_elsewhere(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "outside").write_bytes(b"x")
    write(folder, {**provenance.read(folder)["files"], name: files.sha256(folder.parent / "outside")})
    assert findings(folder) == {name: "no name of a file in the folder"}
    with pytest.raises(FoundryError, match="1 of its files"):
        verify.main(folder)
    assert "a\nb" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("one", "other"), [("Readme.md", "README.md"), ("caf\u00e9", "cafe\u0301"), ("stra\u00dfe", "STRASSE")]
)
def test_names_that_some_disks_take_for_one(folder: Path, one: str, other: str) -> None:
    for name in (one, other):
        (folder / name).write_bytes(b"x")
    listed = {name: files.sha256(folder / name) for name in files_of(folder)}
    write(folder, listed)
    assert findings(folder) == {
        one: f"but for its case the same name as {other}",
        other: f"but for its case the same name as {one}",
    }
    write(folder, {name: digest for name, digest in listed.items() if name != one})
    assert findings(folder)[one] == "extra"


def files_of(folder: Path) -> list[str]:
    return [path.as_posix() for path in files.files_below(folder) if path.name != provenance.NAME]


RECORD = {"format": 1, "model": "m", "files": {}, "uploaded": [], "variants": {}}


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00", b"{", b"[]", b"null", b"1", b'{"format": 2}', b'{"format": 1}', b'{"format": 1, "format": 1}',
        b"[" * 100_000, json.dumps({**RECORD, "files": ["a"]}).encode(),
        json.dumps({**RECORD, "files": {"a": "b"}}).encode(), json.dumps({**RECORD, "variants": []}).encode(),
        json.dumps({**RECORD, "uploaded": ["a"]}).encode(), json.dumps({**RECORD, "uploaded": None}).encode(),
        json.dumps({**RECORD, "variants": {"onnx": {"files": {"a": "0" * 64}, "verdict": "passed", "texts": 1,
                                                    "figures": {}}}}).encode(),
        json.dumps({**RECORD, "variants": {"onnx": {}}}).encode(),
    ],
)  # fmt: skip
def test_a_record_that_is_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / provenance.NAME).write_bytes(content)
    with pytest.raises(FoundryError, match=r"foundry\.json is (damaged|none of format 1)") as error:
        verify.main(tmp_path)
    assert "\n" not in str(error.value)


def test_no_path_of_this_machine() -> None:
    path, missing = Path(__file__).as_posix(), "/no-such-folder/model"
    value = {"path": path, "said": [f"in {path}, line 1", f"file://{path}", "~/model x"], "kept": missing, "n": 1}
    assert without_local_paths(value) == {
        "path": Path(path).name,
        "said": [f"in {Path(path).name}, line 1", Path(path).name, "model x"],
        "kept": missing,
        "n": 1,
    }
    for text in ("https://huggingface.co/org/name", "artifacts/hub/minilm", "5/6", "and/or", "</details>", "a / b"):
        assert without_local_paths(text) == text
