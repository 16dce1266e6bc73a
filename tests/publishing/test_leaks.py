"""leaks: a secret is found wherever it stands in a file, of any name, in any of the encodings."""

import os
from pathlib import Path

import pytest

from foundry.publishing import leaks

TOKENS = {
    "the Hub": "hf_" + "aB3" * 12,
    "GitHub": "ghp_" + "aB3" * 12,
    "GitHub, fine-grained": "github_pat_" + "aB3_" * 20,
    "OpenAI": "sk-proj-" + "aB3-_" * 16,
    "Anthropic": "sk-ant-api03-" + "aB3-_" * 18,
    "Google": "AIza" + "aB3-_" * 7,
    "AWS": "AKIA" + "AB23" * 4,
    "private key": "-----BEGIN ENCRYPTED PRIVATE KEY-----",
}


def find(path: Path, secrets: dict[str, str] | None = None) -> dict[str, str]:
    return leaks.find_secrets(path.parent, [Path(path.name)], secrets or {})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-16"])
@pytest.mark.parametrize("kind", TOKENS)
@pytest.mark.parametrize("name", ["model.onnx", "vocab.txt", "notes"])
def test_a_token_in_any_file(tmp_path: Path, name: str, kind: str, encoding: str) -> None:
    path = tmp_path / name
    for before, behind in ((b"", b""), (os.urandom(999) + b"\xff", b"\xff" + os.urandom(999)), (b"\0\0\0", b"\0")):
        path.write_bytes(before + TOKENS[kind].encode(encoding) + behind)
        assert kind in find(path)[name].replace(", fine-grained", "") or kind == "GitHub, fine-grained"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_token_across_the_border_of_two_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(leaks, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(leaks, "OVERLAP_BYTES", 200)
    token, path = TOKENS["the Hub"].encode(encoding), tmp_path / "model.onnx_data"
    for start in range(900, 1010, 7):
        path.write_bytes(b"\xff" * start + token + b"\xff" * 1500)
        assert find(path)


@pytest.mark.parametrize("secret", ["un-guessable words", "kurz:ü1", "a/b+c/d=" * 4, "short-1!"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_known_secret_as_it_is(tmp_path: Path, secret: str, encoding: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(os.urandom(100) + b"\xff\xff" + secret.encode(encoding) + b"\xff\xff" + os.urandom(100))
    assert find(path, {secret: "the value of X"}) == {path.name: "the value of X"}
    assert find(path) == {}


def test_names_and_what_is_harmless(tmp_path: Path) -> None:
    for name in ("ID_RSA", "server.PEM", ".env.local"):
        (tmp_path / name).write_text("x")
        assert find(tmp_path / name) == {name: "its name is that of a file with secrets"}
    (tmp_path / "README.md").write_text(
        "Log in with hf_token, see https://host/sk-some-page and -----BEGIN CERTIFICATE-----"
    )
    (tmp_path / "model.bin").write_bytes(os.urandom(300_000))
    assert find(tmp_path / "README.md") == find(tmp_path / "model.bin") == {}
