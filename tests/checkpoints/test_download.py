"""download: only what is needed, each file's hash on record, and what is no model is refused."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.checkpoints import contents, fetching
from foundry.data.settings import HubSource
from stages import download
from tests.support import odd_checkpoints as odd
from tests.support.hub_server import Hub
from tests.support.projects import ROOT
from tests.support.stages import settings_file


def test_only_what_is_needed() -> None:
    names = [
        ".gitattributes", "1_Pooling/config.json", "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin",
        "README.md", "config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "modules.json",
        "onnx/model.onnx",
        "openvino/openvino_model.bin", "pytorch_model.bin", "rust_model.ot", "sentencepiece.bpe.model", "tf_model.h5",
        "tokenizer.json", "flax_model.msgpack",
    ]  # fmt: skip
    assert contents.needed(names, ("", "1_Pooling", "2_Dense")) == [
        "1_Pooling/config.json", "2_Dense/model.safetensors", "README.md", "config.json",
        "model-00001-of-00002.safetensors", "model.safetensors.index.json", "modules.json",
        "sentencepiece.bpe.model", "tokenizer.json",
    ]  # fmt: skip


def test_pytorch_weights_are_kept_where_there_is_nothing_better() -> None:
    assert contents.needed(["2_Dense/pytorch_model.bin", "pytorch_model.bin"], ("", "2_Dense")) == [
        "2_Dense/pytorch_model.bin",
        "pytorch_model.bin",
    ]


def test_record(project: Callable[..., Path], checkpoint: Path) -> None:
    out = project() / "torch"
    download.main("tiny", settings_file("download"), out)
    record = files.read_json(out / "source.json")
    assert record["source"] == {"path": str(checkpoint)}
    assert record["licence"] == "mit"
    assert record["files"]["model.safetensors"]["sha256"] == files.sha256(checkpoint / "model.safetensors")
    assert set(record["files"]) == {path.as_posix() for path in files.files_below(out)} - {"source.json"}


def broken_copy(checkpoint: Path, target: Path, breaks: Callable[[Path], Any]) -> Path:
    shutil.copytree(checkpoint, target)
    breaks(target)
    return target


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (lambda folder: (folder / "modules.json").unlink(), "no modules.json"),
        (lambda folder: (folder / "modules.json").write_text("{}"), "is not a list of modules|as its first module"),
        (lambda folder: (folder / "modules.json").write_text("no"), "modules.json is no JSON"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        (lambda folder: truncate(folder / "model.safetensors"), "truncated"),
        (lambda folder: shutil.rmtree(folder / "1_Pooling"), "1_Pooling"),
    ],
)
def test_what_is_no_model_is_refused_and_the_earlier_output_stays(
    project: Callable[..., Path], checkpoint: Path, tmp_path: Path, breaks: Callable[[Path], Any], message: str
) -> None:
    out = project() / "torch"
    download.main("tiny", settings_file("download"), out)
    before = dict.fromkeys(files.files_below(out))
    broken = broken_copy(checkpoint, tmp_path / "broken", breaks)
    project(lambda raw: raw["models"]["tiny"].update(source={"path": str(broken)}))
    with pytest.raises(FoundryError, match=message):
        download.main("tiny", settings_file("download"), out)
    assert dict.fromkeys(files.files_below(out)) == before
    assert not list(out.parent.glob(".partial-*"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"path": "not/there"}, "not/there does not exist"),
        ({"package": "no_such_package", "path": "model"}, "not installed"),
        ({"package": "gensim", "path": "model"}, "has no model"),
    ],
)
def test_a_source_that_is_not_there(project: Callable[..., Path], source: dict[str, str], message: str) -> None:
    out = project(lambda raw: raw["models"]["tiny"].update(source=source)) / "torch"
    with pytest.raises(FoundryError, match=message):
        download.main("tiny", settings_file("download"), out)
    assert not out.exists()


def test_static_embeddings_are_rejected(project: Callable[..., Path], checkpoint: Path, tmp_path: Path) -> None:
    row = (
        '[{"idx": 0, "name": "0", "path": "0_StaticEmbedding", "type": "sentence_transformers.models.StaticEmbedding"}]'
    )
    static = broken_copy(checkpoint, tmp_path / "static", lambda folder: (folder / "modules.json").write_text(row))
    project(lambda raw: raw["models"]["tiny"].update(source={"path": str(static)}))
    with pytest.raises(FoundryError, match="StaticEmbedding model has no graph"):
        download.main("tiny", settings_file("download"), tmp_path / "torch")


def test_an_offline_machine_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(FoundryError, match=r"the Hub cannot be reached, and org/name at 0{40} comes from there"):
        fetching.fetch_hub(HubSource(hub="org/name", revision="0" * 40), tmp_path / "torch")


# --- The real huggingface_hub client against a small Hub on loopback


@pytest.fixture
def hub(checkpoint: Path) -> Iterator[Hub]:
    """Serves the tiny checkpoint as org/tiny, with copies for other frameworks."""
    contents = {path.as_posix(): (checkpoint / path).read_bytes() for path in files.files_below(checkpoint)}
    contents |= {"pytorch_model.bin": b"second copy", "onnx/model.onnx": b"a graph", "tf_model.h5": b"another"}
    with Hub() as server:
        server.make_repo("org/tiny", contents)
        yield server


def from_hub(root: Path, address: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": address, "HF_HOME": str(root / "cache")}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "stages.download", "tiny", str(settings_file("download")), str(root / "torch")]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_a_pinned_revision_from_the_hub(project: Callable[..., Path], checkpoint: Path, hub: Hub) -> None:
    revision = hub.repos["org/tiny"].refs["main"]
    hub.push("org/tiny", {"config.json": b"moved on"})
    root = project(lambda raw: raw["models"]["tiny"].update(source={"hub": "org/tiny", "revision": revision}))
    done = from_hub(root, hub.address)
    assert done.returncode == 0, done.stderr
    for name in ("model.safetensors", "config.json"):
        assert files.sha256(root / "torch" / name) == files.sha256(checkpoint / name)
    names = {path.as_posix() for path in files.files_below(root / "torch")}
    assert not names & {"pytorch_model.bin", "onnx/model.onnx", "tf_model.h5", ".gitattributes"}
    record = files.read_json(root / "torch/source.json")
    assert record["source"] == {"hub": "org/tiny", "revision": revision}
    assert set(record["files"]) == names - {"source.json"}


def test_code_of_another_repository_is_fetched_at_its_commit(
    project: Callable[..., Path], checkpoint: Path, hub: Hub, tmp_path: Path
) -> None:
    hub.make_repo("org/code", {"modeling_own.py": odd.OWN_MODEL.encode(), "README.md": b"Not needed"})
    revision = hub.repos["org/code"].refs["main"]
    hub.push("org/code", {"modeling_own.py": b"raise SystemExit('another commit')"})
    source = broken_copy(checkpoint, tmp_path / "source", odd.class_elsewhere)
    settings = {"source": {"path": str(source)}, "trust_remote_code": True, "code_revision": revision}
    root = project(lambda raw: raw["models"].update(tiny=settings))
    done = from_hub(root, hub.address)
    assert done.returncode == 0, done.stderr
    record = files.read_json(root / "torch/source.json")
    assert record["source"]["code"] == {"hub": "org/code", "revision": revision}
    assert record["loaded"]["architecture"] == "OwnModel"
    assert files.read_json(root / "torch/config.json")["auto_map"] == {"AutoModel": "modeling_own.OwnModel"}


def test_a_hub_that_refuses(project: Callable[..., Path], hub: Hub) -> None:
    root = project(lambda raw: raw["models"]["tiny"].update(source={"hub": "org/other", "revision": "0" * 40}))
    done = from_hub(root, hub.address)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the Hub refuses org/other")
    assert "Traceback" not in done.stderr
    assert not (root / "torch").exists()


def test_a_hub_that_does_not_answer(project: Callable[..., Path]) -> None:
    root = project(lambda raw: raw["models"]["tiny"].update(source={"hub": "org/tiny", "revision": "0" * 40}))
    done = from_hub(root, "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "the Hub cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
