"""credentials: what could give access is found, and is not in what people read."""

from pathlib import Path

import pytest

from foundry.base import credentials

# Of each kind, a text of its form, which gives access to nothing.
TOKENS = {
    "the Hub": "hf_" + "aB3" * 12,
    "GitHub, classic": "ghp_" + "aB3" * 12,
    "GitHub, fine-grained": "github_pat_" + "aB3_" * 20,
    "OpenAI, of a project": "sk-proj-" + "aB3-_" * 16,
    "OpenAI, older": "sk-" + "aB3d" * 5 + "T3BlbkFJ" + "aB3d" * 5,
    "Anthropic": "sk-ant-api03-" + "aB3-_" * 18,
    "Google": "AIza" + "aB3-_" * 7,
    "AWS": "AKIA" + "AB23" * 4,
    "a key": "-----BEGIN PRIVATE KEY-----",
    "an encrypted key": "-----BEGIN ENCRYPTED PRIVATE KEY-----",
    "a key of OpenSSH": "-----BEGIN OPENSSH PRIVATE KEY-----",
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_a_token_is_hidden(token: str) -> None:
    assert credentials.kinds_in(f"x={token}", {})
    assert token not in credentials.hidden(f"refused: {token}, sorry")


@pytest.mark.parametrize(
    "text",
    [
        "hf_hub_download", "sk-learn-like-interfaces-are-nice-to-have", "ghp_short", "AKIA", "https://host/a?b",
        "-----BEGIN PUBLIC KEY-----", "git@github.com:org/name", "4ba4a75" * 5, "https://huggingface.co/org/name",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert credentials.kinds_in(text, {}) == []


def test_what_this_environment_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("-----BEGIN SOME KEY-----\n" + "kK1" * 15 + "\n-----END SOME KEY-----\n")
    monkeypatch.setenv("SOME_SERVICE_TOKEN", "Xy-12.34-ab")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:proxy-word-1@proxy:8080")
    monkeypatch.setenv("FOUNDRY_SIGNING_KEY", str(key))
    monkeypatch.setenv("MAX_TOKENS", "1000000000")
    monkeypatch.setenv("AUTH_PASSWORD", "password")
    held = credentials.of_environment()
    assert {"Xy-12.34-ab", "proxy-word-1", "kK1" * 15} <= held.keys()
    assert not {"1000000000", "password", str(key)} & held.keys()
    assert credentials.hidden("said Xy-12.34-ab") == "said [the value of SOME_SERVICE_TOKEN]"
    for spelling in ("WHktMTIuMzQtYW", "a:Xy-12.34-ab@"):  # in base64, as a header of HTTP has it, and in an address
        assert credentials.kinds_in(f"Basic {spelling}", held) == ["the value of SOME_SERVICE_TOKEN"]


def test_addresses_are_shown_without_what_gives_access() -> None:
    text = "git clone https://me:p@ss/word@host/x failed; see https://store/x?X-Amz-Signature=1234 and ssh://tok@host"
    shown = credentials.hidden(text.replace("/word", "word"))
    assert not any(part in shown for part in ("me", "p@ss", "Signature", "tok"))
    assert "https://…@host/x failed" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("(https://a/b?c=d) https://e/f?g)https://h/i?j", "(https://a/b) https://e/f)https://h/i"),
        ("what?https://a/b?c=d", "what?https://a/b"), ("https://?x http://?", "https://?x http://?"),
        ("1git+ssh://tok@host a://b@c:d@e/f@g", "1git+ssh://…@host a://…@e/f@g"), ("7://b@c ://b@c", "7://b@c ://b@c"),
        ("is-eyJ0123456789.eyJ0123456789.0123456789", "[a web token]"),
    ],
)  # fmt: skip
def test_where_an_address_or_a_token_begins_and_ends(text: str, shown: str) -> None:
    assert credentials.hidden(text) == shown


# A search that began again at each letter of these would take hours: by the square of their length, or its cube.
LONG = 2_000_000
HOSTILE = {
    "a scheme without an end": "a" * LONG,
    "addresses without a query": "https://" * (LONG // 8),
    "queries that end at once": "http://x?)" * (LONG // 10),
    "many marks of a query": "?)" * (LONG // 2),
    "a password without an end": "a://" + "b:@" * (LONG // 3) + "/",
    "many beginnings of a web token": "eyJ-" * (LONG // 4),
    "many first parts of web tokens": "eyJ0123456789." * (LONG // 14),
    "a private key without an end": "-----BEGIN " + "A " * (LONG // 2),
    "capitals, and then small letters": "A" * (LONG // 2) + "a" * (LONG // 2),
    "digits alone": "1" * LONG,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_long_hostile_text_is_looked_through_once(text: str) -> None:
    credentials.hidden(text)
    credentials.could_be_hidden(text)
    for word in text.split():
        credentials.could_be_token(word)


def test_values_in_errors() -> None:
    assert credentials.shown("avx9") == "'avx9'"
    assert credentials.shown("models/all-MiniLM-L6-v2") == "'models/all-MiniLM-L6-v2'"
    assert credentials.shown({"x": [1, True, "a1" * 12]}) == "{'x': [1, True, a text of 24 characters]}"
    assert credentials.shown("short", "publish.token") == "a text of 5 characters"
    assert credentials.described({"a": "short", "b": 1}) == "{'a': a text of 5 characters, 'b': 1}"
