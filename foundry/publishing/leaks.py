"""Whether something is among the files to be published that must not leave this machine: tokens, keys, passwords."""

import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

PRIVATE_NAMES = (
    ".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_ed25519*", ".netrc", "*.kdbx", "credentials",
    "credentials.json", ".git-credentials", ".npmrc", ".pypirc", "stored_tokens",
)  # fmt: skip
WEIGHTS = ("*.safetensors", "*.bin", "*.onnx", "*.onnx_data", "*.pt", "*.png")
# What looks random by nature is searched for tokens of the Hub alone.
VOCABULARIES = ("tokenizer.json", "vocab.*", "merges.txt", "added_tokens.json", "*.model")
# detect-secrets' kinds that have a form of their own; those that go by randomness or by a word beside it are left out.
DETECTORS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "DiscordBotTokenDetector",
    "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector", "NpmDetector",
    "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
HUB_TOKEN = re.compile(r"\b(hf|api_org)_[A-Za-z0-9]{30,}\b")


def is_one_of(name: Path, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name.name, pattern) for pattern in patterns)


def find(folder: Path, names: Iterable[Path], token: str | None = None) -> dict[str, str]:
    """What kind of secret each file holds, by file; `token` is one that must not be in any of them."""
    from detect_secrets.core.plugins.initialize import from_plugin_classname

    detectors: list[Any] = [from_plugin_classname(name) for name in DETECTORS]
    found = {}
    for name in names:
        if is_one_of(name, PRIVATE_NAMES):
            found[name.as_posix()] = "its name is that of a file with secrets"
            continue
        if is_one_of(name, WEIGHTS):
            continue
        text = (folder / name).read_text(encoding="utf-8", errors="replace")
        if HUB_TOKEN.search(text) or (token and token in text):
            found[name.as_posix()] = "a token of the Hub"
        elif not is_one_of(name, VOCABULARIES) and (
            kinds := [one.secret_type for one in detectors if next(iter(one.analyze_string(text)), None)]
        ):
            found[name.as_posix()] = ", ".join(kinds)
    return found
