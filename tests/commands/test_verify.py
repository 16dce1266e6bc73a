"""verify: a downloaded folder is what was published, or the message names the file that is not."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.commands import verify
from foundry.publishing import provenance, signature, verification
from tests.support.projects import ROOT, TINY_VARIANTS
from tests.support.publishing import make_key


@pytest.fixture
def downloaded(published: Path, tmp_path: Path) -> Path:
    return shutil.copytree(published, tmp_path / "downloaded")


def test_it_says_where_everything_comes_from(published: Path) -> None:
    record = provenance.read(published)
    assert list(record["variants"]) == TINY_VARIANTS
    assert record["source"] == {"path": "tiny"}
    assert "model.safetensors" in record["source_files"]
    assert record["licence"] == "mit"
    assert record["host"]["libraries"]
    row = record["variants"]["onnx_O2"]
    assert row["figures"]["mean_cosine"] is not None
    assert row["figures"]["mean_cosine"] > 0.9999
    assert (row["precision"], row["verdict"], row["texts"]) == ("fp32", "passed", 48)
    assert row["settings"]["level"] == "O2"
    assert row["built"]["fusions"]["attention"] == {"found": 2, "expected": 2}
    assert row["files"] == {"onnx/model_O2.onnx": record["files"]["onnx/model_O2.onnx"]}


def test_an_untouched_folder_is_good(downloaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # What huggingface_hub and git leave in a folder that they download to.
    (downloaded / ".cache/huggingface").mkdir(parents=True)
    (downloaded / ".cache/huggingface/CACHEDIR.TAG").write_text("x")
    (downloaded / ".gitattributes").write_text("*.onnx filter=lfs")
    verify.main(downloaded)
    output = capsys.readouterr().out
    assert "good" in output
    assert "onnx_O2: passed on 48 texts, mean_cosine 1.0000" in output


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda folder: flip(folder / "onnx/model_O2.onnx"), {"onnx/model_O2.onnx": "altered"}),
        (lambda folder: (folder / "onnx/model_O3.onnx").write_bytes(b"x"), {"onnx/model_O3.onnx": "extra"}),
        (lambda folder: (folder / "1_Pooling/config.json").unlink(), {"1_Pooling/config.json": "missing"}),
        (lambda folder: (folder / "vocab.txt").rename(folder / "words.txt"),
         {"vocab.txt": "missing", "words.txt": "extra"}),
        (lambda folder: (folder / "openvino/openvino_model.bin").write_bytes(b""),
         {"openvino/openvino_model.bin": "altered"}),
    ],
)  # fmt: skip
def test_what_is_not_as_published_is_named(
    downloaded: Path, damage: Callable[[Path], None], expected: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(downloaded)
    assert verification.compare(downloaded, provenance.read(downloaded)) == expected
    with pytest.raises(FoundryError, match=f"{len(expected)} of its files"):
        verify.main(downloaded)
    output = capsys.readouterr().out
    assert all(f"{name}: {what}" in output for name, what in expected.items())


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is not there"), ("{", "is damaged"), ("[]", "format"), ('{"format": 9}', "format 1")],
)
def test_a_folder_without_a_record_is_an_error(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / provenance.NAME).write_text(content)
    with pytest.raises(FoundryError, match=message):
        verify.main(tmp_path)


def test_no_file_that_was_written_names_a_path_of_this_machine(published: Path) -> None:
    for name in (provenance.NAME, "README.md"):
        text = (published / name).read_text()
        assert not any(str(path) in text for path in (published.parents[1], Path.home(), Path.cwd(), ROOT))


def test_the_record_is_the_last_thing_written(published: Path) -> None:
    record = json.loads((published / provenance.NAME).read_text())
    names = {path.as_posix() for path in files.files_below(published)}
    assert names == record["files"].keys() | {provenance.NAME}


def test_a_signature(
    downloaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (private, public), (_, other) = make_key(tmp_path, "ours"), make_key(tmp_path, "other")
    record, signed = downloaded / provenance.NAME, downloaded / provenance.SIGNATURE
    listed = provenance.read(downloaded)["files"]
    with pytest.raises(FoundryError, match=r"foundry\.json is not signed"):
        verify.main(downloaded, public)
    with pytest.raises(FoundryError, match="FOUNDRY_SIGNING_KEY names no private key"):
        signature.sign(record, signed)
    monkeypatch.setenv(signature.KEY, str(public))
    with pytest.raises(FoundryError, match="is no private key in PEM"):
        signature.sign(record, signed)
    monkeypatch.setenv(signature.KEY, str(private))
    signature.sign(record, signed)
    first = signed.read_bytes()
    signature.sign(record, signed)
    assert signed.read_bytes() == first
    verify.main(downloaded, public)
    output = capsys.readouterr().out
    assert "signed by the holder" in output
    assert f"the signature covers this file, and by the hashes in it the {len(listed)} files" in output.lower()
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", record, "-sigfile", signed]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    with pytest.raises(FoundryError, match="is not what the holder of"):
        verify.main(downloaded, other)
    record.write_text(record.read_text().replace("passed", "failed"))
    with pytest.raises(FoundryError, match="is not what the holder of"):
        verify.main(downloaded, public)
