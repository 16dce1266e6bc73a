"""A model by the name of its repository on the Hub: only the files that are needed, all of one commit."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from foundry_runtime import Embedder, FileChanged, UnusableModel

from tests.support import graph_models
from tests.support.publishing import REPO

if TYPE_CHECKING:
    from tests.support.hub_server import Hub


@pytest.fixture
def folder(tmp_path: Path, server: "Hub") -> Path:
    """A published folder, which is also what the repository holds."""
    folder = graph_models.make_published(tmp_path / "model", ("onnx", "onnx_O2"))
    server.push(REPO, {path.relative_to(folder).as_posix(): path.read_bytes() for path in files(folder)})
    return folder


def files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_only_what_is_needed_is_fetched(folder: Path, tmp_path: Path) -> None:
    embedder = Embedder(REPO, "onnx_O2", cache_dir=tmp_path / "cache")
    assert np.array_equal(embedder.encode(["a text"]), Embedder(folder, "onnx_O2").encode(["a text"]))
    fetched = {path.name for path in (tmp_path / "cache").rglob("snapshots/**/*") if path.is_file()}
    assert {"model_O2.onnx", "tokenizer.json", "foundry.json"} <= fetched
    assert not {"model.onnx", "README.md", "notes.txt"} & fetched


def test_all_files_are_of_one_commit(folder: Path, tmp_path: Path, server: "Hub") -> None:
    embedder = Embedder(REPO, "onnx", cache_dir=tmp_path / "first")
    expected = embedder.encode(["a text"])
    commits = {path.name for path in (tmp_path / "first").glob("models--*/snapshots/*")}
    assert len(commits) == 1
    server.push(REPO, {"tokenizer.json": b"{}"})
    with pytest.raises(FileChanged, match=r"tokenizer.json is not the file that was published"):
        Embedder(REPO, "onnx", cache_dir=tmp_path / "second")
    again = Embedder(REPO, "onnx", cache_dir=tmp_path / "third", revision=commits.pop())
    assert np.array_equal(again.encode(["a text"]), expected)


def test_a_repository_that_is_none(server: "Hub", tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match=r"org/nothing is not on the Hub"):
        Embedder("org/nothing", cache_dir=tmp_path)
    with pytest.raises(UnusableModel, match=r"has no foundry.json"):
        Embedder(REPO, cache_dir=tmp_path)


def test_offline_without_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        UnusableModel, match=r"the Hub cannot be reached, and foundry.json of org/x is not in its cache"
    ):
        Embedder("org/x", cache_dir=tmp_path)
