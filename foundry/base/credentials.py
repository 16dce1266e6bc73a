"""What gives access: the forms of tokens and keys, those that this environment holds, and texts without them."""

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

# Forms that nothing else has: what a text must hold for the form to be looked for, which is fast, and the form.
FORMS: dict[str, tuple[tuple[str, ...], str]] = {
    "a token of the Hub": (("hf_", "api_org_"), r"(?:hf|api_org)_[A-Za-z0-9]{30,}|hf_(?:oauth|jwt|app)_[\w.-]{20,}"),
    "a token of GitHub": (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,}",
    ),
    "a token of GitLab": (("gl",), r"gl(?:pat|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_-]{20,}"),
    "a key of OpenAI": (
        ("sk-",),
        r"sk-(?:proj|svcacct|admin|None|or-v1)-[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9]{32,}",
    ),
    "a key of Anthropic": (("sk-ant-",), r"sk-ant-[A-Za-z0-9_-]{20,}"),
    "a key of Google": (
        ("AIza", "GOCSPX-", "ya29."),
        r"AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{24,}|ya29\.[A-Za-z0-9_-]{20,}",
    ),
    "a key of AWS": (
        ("AKIA", "ASIA", "ABIA", "ACCA", "ccess", "CCESS", "ession", "ESSION"),
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"
        r"|(?i:(?:aws_?)?(?:secret_?access_?key|session_?token))[\"']?\s{0,4}[=:]\s{0,4}[\"']?[A-Za-z0-9/+=]{40,}",
    ),
    "a token of Slack": (("xox", "xapp-"), r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{20,}"),
    "a key of Stripe": (("k_live_", "k_test_"), r"[rs]k_(?:live|test)_[A-Za-z0-9]{20,}"),
    "a token of a package registry": (
        ("npm_", "pypi-"),
        r"npm_[A-Za-z0-9]{36}|pypi-AgE[A-Za-z0-9_-]{50,}",
    ),
    "a key of Azure": (("AccountKey=",), r"AccountKey=[A-Za-z0-9+/=]{60,}"),
    # From where its word begins: a search from each `eyJ` of a long word takes time by the square of its length.
    "a web token": (
        ("eyJ",),
        r"(?<![A-Za-z0-9_-])(?>[A-Za-z0-9_-]*?(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,}+)"
        r"\.eyJ[A-Za-z0-9_-]{10,}+\.[A-Za-z0-9_-]{10,}",
    ),
    "a private key": (
        ("PRIVATE KEY", "PuTTY-"),
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d",
    ),
    "a password in an address": (
        ("://",),
        r"[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>\\]{0,100}:[^\s/:@\"'<>\\${}\[\]]{3,200}@[\w.-]+",
    ),
}
# A token begins where no word goes on.
_FORMS = {kind: (anchors, re.compile(rf"(?<![A-Za-z0-9])(?:{form})")) for kind, (anchors, form) in FORMS.items()}
# What is looked through may be hostile and long. Each search begins where a run of letters begins, and gives none of it
# back, so that it takes time by the length of the text. Up to the last @: a password may have one, too.
_ADDRESS = re.compile(r"(?<![A-Za-z0-9+.-])([0-9+.-]*+[A-Za-z][A-Za-z0-9+.-]*+://)[^\s/\"'<>]+@")
_QUERY_WORD = re.compile(r"[^\s\"'<>]++")
_HTTP = re.compile(r"https?://.")
# A word that may be a token of a form that nobody knows: long, with letters and digits, and no path or version.
_WORD = re.compile(r"[A-Za-z0-9_+/=.:~@$%!#&*^-]{16,}")
_MIXED = re.compile(
    r"[^A-Z]*+[A-Z][^a-z]*+[a-z][^A-Z]*+[A-Z]"
)  # a capital, a small letter and a capital, in this order
# Names of what is kept secret: environment variables, and keys of settings.
SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|credential|(?:^|_)pwd(?:$|_)|(?:^|_)pat(?:$|_)|(?:^|_)auth(?:$|_|orization)"
    r"|(?:api|access|account|private|signing|encryption|ssh|deploy)_?key",
    re.IGNORECASE,
)
SHORTEST = 8  # characters; a shorter value is part of other words
SHORTEST_WORD = 12  # of a value that is letters or digits alone


def is_distinctive(value: str) -> bool:
    """Whether a value occurs nowhere by chance: neither short nor a word, a number or a path of this machine."""
    if len(value) < SHORTEST or (len(value) < SHORTEST_WORD and (value.isalpha() or value.isdigit())):
        return False
    return not value.isspace() and not (value.startswith(("/", "~", "./")) and Path(value).expanduser().exists())


def of_environment() -> dict[str, str]:
    """What this environment holds that gives access, each with where it is: variables, and the files that they name.

    A variable counts by its name; whatever its name, a password in an address counts, as in that of a proxy.
    """
    secrets: dict[str, str] = {}
    for name, value in os.environ.items():
        if SECRET_NAME.search(name):
            for part in _parts(value):
                secrets.setdefault(part, f"the value of {name}")
        for password in re.findall(r"://[^\s/:@]*:([^\s/@]+)@", value):
            secrets.setdefault(password, f"the password in {name}")
    return {value: where for value, where in secrets.items() if is_distinctive(value)}


def _parts(value: str) -> Iterator[str]:
    """A value's lines; where it names a file, such as one with a private key, the file's lines that are a key."""
    path = Path(value)
    try:
        is_file = len(value) < 4096 and "\n" not in value and path.is_file() and path.stat().st_size < 100_000
        text = path.read_text(encoding="utf-8", errors="replace") if is_file else value
    except (OSError, ValueError):
        is_file, text = False, value
    for line in text.splitlines():
        if not is_file or re.fullmatch(r"[A-Za-z0-9+/=_-]{32,}", line.strip()):
            yield line.strip()


def spellings(secret: str) -> set[str]:
    """The ways in which a secret is written: as it is, in JSON, in an address, and in base64 wherever it begins."""
    content = secret.encode()
    # Three bytes make four letters, so where the secret begins decides its letters; those at both ends depend on more.
    inside = {
        base64.b64encode(b"\0" * start + content).decode().rstrip("=")[(0, 2, 3)[start] :][:-1] for start in range(3)
    }
    plain = {secret, json.dumps(secret)[1:-1], secret.replace("/", "\\/"), quote(secret, safe="")}
    return plain | {text for text in inside if len(text) >= SHORTEST}


def kinds_in(text: str, secrets: Mapping[str, str]) -> list[str]:
    """What a text holds that gives access; `secrets` are known ones, each with where it is kept."""
    known = [where for secret, where in secrets.items() if any(spelling in text for spelling in spellings(secret))]
    return [*known, *(kind for kind, form in _possible(text) if form.search(text))]


def _possible(text: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    for kind, (anchors, form) in _FORMS.items():
        if any(anchor in text for anchor in anchors):
            yield kind, form


def hidden(text: str) -> str:
    """The text without what gives access: tokens of known forms or of this environment, passwords and signatures in
    addresses."""
    text = _ADDRESS.sub(r"\1…@", text)
    text = _QUERY_WORD.sub(_without_queries, text) if "?" in text else text
    for kind, form in list(_possible(text)):
        text = form.sub(f"[{kind}]", text)
    for secret, where in of_environment().items():
        text = text.replace(secret, f"[{where}]")
    return text


def _without_queries(match: re.Match[str]) -> str:
    """A word without what follows the `?` of each address in it, up to a closing bracket."""
    word, kept, place = match[0], [], 0
    while (mark := word.find("?", place)) >= 0:
        is_address = _HTTP.search(word, place, mark) is not None
        kept.append(word[place : mark if is_address else mark + 1])
        end = word.find(")", mark)
        place = mark + 1 if not is_address else len(word) if end < 0 else end
    return "".join([*kept, word[place:]])


def described(value: Any) -> str:
    """A value of which any text is only described: numbers stay, and keys unless they could be tokens."""
    return repr(_described(value, "secret"))


def shown(value: Any, name: str = "") -> str:
    """A value that a user wrote, to stand in an error: what could be a token is only described.

    Args:
        value: Of settings, as YAML reads it.
        name: Its key; nothing is shown of a text below a name such as `token`.
    """
    return repr(_described(value, name))


def _described(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {could_be_hidden(str(key)): _described(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_described(inner, name) for inner in value]
    if isinstance(value, str) and SECRET_NAME.search(name):
        return Described(f"a text of {len(value)} characters")
    return could_be_hidden(value) if isinstance(value, str) else value


class Described(str):
    """A text in the place of a value, which is written without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def could_be_hidden(text: str) -> str:
    """The text, or where a word of it could be a token, how long it is."""
    could_be = any(could_be_token(word) for word in _WORD.findall(text)) or hidden(text) != text
    return Described(f"a text of {len(text)} characters") if could_be else text


def could_be_token(word: str) -> bool:
    """Whether a word is long, and of letters and digits mixed, or of small letters and capitals, as tokens are.

    A path, a version, or a name of short parts such as `all-MiniLM-L6-v2` is not.
    """
    if re.search(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", word):
        return True
    return any(
        (_MIXED.match(part) or (re.search(r"\d", part) and re.search("[A-Za-z]", part)))
        and max(map(len, re.split("[-_]", part))) >= 12
        for part in re.split(r"[/.@:]", word)
        if len(part) >= 16
    )
