"""Whether something is among the files to be published that must not leave this machine: tokens, keys, passwords.

Every byte of every file is looked at, whatever its name: as UTF-8, and as UTF-16 of both byte orders. A graph of 90 MB
takes 0.7 s.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from foundry.base import credentials

PRIVATE_NAMES = (
    ".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc",
    "_netrc", "*.kdbx", "*.jks", "*.ppk", "credentials", "credentials.json", ".git-credentials", ".npmrc", ".pypirc",
    "stored_tokens", ".htpasswd", "*.ovpn",
)  # fmt: skip
# Their randomness looks like the less distinctive forms, which only detect-secrets knows.
WEIGHTS = ("*.safetensors", "*.bin", "*.onnx", "*.onnx_data", "*.pt", "*.png")
VOCABULARIES = ("tokenizer.json", "vocab.*", "merges.txt", "added_tokens.json", "*.model")
# detect-secrets' kinds that have a form of their own; those that go by randomness or by a word beside it are left out.
DETECTORS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "DiscordBotTokenDetector",
    "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector", "NpmDetector",
    "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip

CHUNK_BYTES = 1 << 24
OVERLAP_BYTES = 1 << 16  # of two chunks, so that what lies across their border is whole in one of them
SHORTEST_RUN = 16  # letters in a row that are looked at as text; no form of a token is shorter
# Of each byte: whether it is a letter of a token or what stands between (1), the other half of one in UTF-16 (2), or
# neither. What is a run of letters is then found without looking at each byte in Python.
LETTER, NUL = b"\1", b"\2"
CLASSES = bytes(1 if 32 <= byte < 127 or byte in b"\t\n\r" else 2 if byte == 0 else 0 for byte in range(256))
RUNS = ((LETTER, 1), (LETTER + NUL, 2))  # what is repeated in a run, and how many bytes a letter takes


def has_name_like(path: Path, patterns: Iterable[str]) -> bool:
    """Whether a file's name matches one of the patterns, in capitals or not."""
    return any(fnmatch(path.name.lower(), pattern) for pattern in patterns)


def find_secrets(folder: Path, names: Iterable[Path], secrets: Mapping[str, str]) -> dict[str, str]:
    """The kinds of secret that each file holds, by file.

    Args:
        folder: What is to be published.
        names: Its files.
        secrets: Further secrets to look for, each with where it is kept.
    """
    from detect_secrets.core.plugins.initialize import from_plugin_classname

    detectors: list[Any] = [from_plugin_classname(name) for name in DETECTORS]
    result = {}
    for name in names:
        kinds: list[str] = []
        if has_name_like(name, PRIVATE_NAMES):
            kinds.append("its name is that of a file with secrets")
        for text in (name.as_posix(), *texts_in(folder / name, secrets)):
            kinds += credentials.kinds_in(text, secrets)
            if not has_name_like(name, (*WEIGHTS, *VOCABULARIES)):
                kinds += [plugin.secret_type for plugin in detectors if next(iter(plugin.analyze_string(text)), None)]
        if kinds:
            result[name.as_posix()] = ", ".join(dict.fromkeys(kinds))
    return result


def texts_in(path: Path, secrets: Mapping[str, str]) -> Iterator[str]:
    """All that may be read as text in a file, chunk by chunk; in UTF-8 and UTF-16, a run of letters a line.

    Of `secrets`, those that are shorter than a run, or have other letters, are looked for in the bytes: a line with
    the secret is given where it occurs.
    """
    odd = [
        secret for secret in secrets if len(secret) < SHORTEST_RUN or not (secret.isascii() and secret.isprintable())
    ]
    needles = {secret.encode(encoding): secret for secret in odd for encoding in ("utf-8", "utf-16-le", "utf-16-be")}
    with path.open("rb") as file:
        kept = b""
        while block := file.read(CHUNK_BYTES):
            chunk = kept + block
            yield "\n".join([*runs(chunk), *(secret for needle, secret in needles.items() if needle in chunk)])
            kept = chunk[-OVERLAP_BYTES:]


def runs(chunk: bytes) -> Iterator[str]:
    """The runs of letters in a chunk."""
    classes = chunk.translate(CLASSES)
    for repeated, step in RUNS:
        needle = repeated * SHORTEST_RUN
        whole = re.compile(b"(?:" + repeated + b")+" + LETTER + b"?")
        start = classes.find(needle)
        while start >= 0:
            match = whole.match(classes, start)
            end = match.end() if match else start + len(needle)
            yield chunk[start:end:step].decode("ascii")
            start = classes.find(needle, end)
