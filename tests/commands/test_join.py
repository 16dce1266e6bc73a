"""join: two published sides of a Router in one folder, or the message says why they are none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.commands import join, verify
from tests.support.projects import TINY_VARIANTS

TEXTS = ["a short one", "another text"]


def rewrite(folder: Path, **source: Any) -> None:
    """Let a published folder's foundry.json say other things of its source."""
    record = json.loads((folder / "foundry.json").read_text())
    record["source"] |= source
    (folder / "foundry.json").write_text(json.dumps(record))


@pytest.fixture
def sides(published: Path, tmp_path: Path) -> tuple[Path, Path]:
    """What is published of a model, twice: as one side of a Router and as the other."""
    folders = []
    for role in ("query", "document"):
        folders.append(shutil.copytree(published, tmp_path / role))
        rewrite(folders[-1], side={"role": role, "router": "0" * 64})
    return folders[0], folders[1]


@pytest.mark.usefixtures("graphs_load")
def test_both_sides_are_in_one_folder_as_they_were_published(
    sides: tuple[Path, Path], published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sentence_transformers import SentenceTransformer

    join.main(*sides, tmp_path / "joined")
    assert f"both have {', '.join(TINY_VARIANTS)}" in " ".join(capsys.readouterr().out.split())
    for folder in sides:
        verify.main(tmp_path / "joined" / folder.name)
        before = {path.as_posix(): files.sha256(folder / path) for path in files.files_below(folder)}
        beside = tmp_path / "joined" / folder.name
        assert {path.as_posix(): files.sha256(beside / path) for path in files.files_below(beside)} == before
    expected = SentenceTransformer(str(published), device="cpu").encode(TEXTS)
    for options in ({}, {"backend": "onnx", "model_kwargs": {"file_name": "model_O2.onnx"}}):
        model = SentenceTransformer(str(tmp_path / "joined"), device="cpu", **options)
        for rows in (model.encode_query(TEXTS), model.encode_document(TEXTS)):
            assert np.allclose(rows, expected, atol=1e-5)
        with pytest.raises(ValueError, match=r"[Rr]oute|task"):
            model.encode(TEXTS)
    assert "license: mit" in (tmp_path / "joined/README.md").read_text()


def other_checkpoint(folder: Path) -> None:
    rewrite(folder, side={"role": "document", "router": "1" * 64})


def with_code(folder: Path) -> None:
    record = json.loads((folder / "foundry.json").read_text())
    (folder / "own.py").write_text("")
    record["files"]["own.py"] = files.sha256(folder / "own.py")
    (folder / "foundry.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: rewrite(folder, side=None), "document is no side of a Router, and the one for documents is"),
        (
            lambda folder: rewrite(folder, side={"role": "query", "router": "0" * 64}),
            "document is the side for queries of a Router, and the one for documents is expected",
        ),
        (other_checkpoint, "are sides of two checkpoints, or of two states of one"),
        (lambda folder: (folder / "onnx/model_O2.onnx").write_bytes(b"x"), "was published: onnx/model_O2.onnx"),
        (lambda folder: (folder / "more.txt").write_text("x"), "is not what was published: more.txt is extra"),
        (with_code, r"has code of its own \(own\.py\)"),
        (lambda folder: (folder / "foundry.json").unlink(), "foundry.json is not there"),
        (lambda folder: (folder.parent / "joined").mkdir(), "joined is there already; name a new folder"),
    ],
)  # fmt: skip
def test_what_is_refused(sides: tuple[Path, Path], tmp_path: Path, change: Callable[[Path], Any], message: str) -> None:
    change(sides[1])
    with pytest.raises(FoundryError, match=message):
        join.main(*sides, tmp_path / "joined")
    assert not list(tmp_path.glob("joined/*"))
