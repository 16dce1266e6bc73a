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


def has_name_like(path: Path, patterns: Iterable[str]) -> bool:
    """Whether a file's name matches one of the patterns."""
    return any(fnmatch(path.name, pattern) for pattern in patterns)


def find_secrets(folder: Path, names: Iterable[Path], token: str | None = None) -> dict[str, str]:
    """The kind of secret that each file holds, by file; `token` is a further secret to look for."""
    from detect_secrets.core.plugins.initialize import from_plugin_classname

    detectors: list[Any] = [from_plugin_classname(name) for name in DETECTORS]
    secrets = {}
    for name in names:
        if has_name_like(name, PRIVATE_NAMES):
            secrets[name.as_posix()] = "its name is that of a file with secrets"
            continue
        if has_name_like(name, WEIGHTS):
            continue
        text = (folder / name).read_text(encoding="utf-8", errors="replace")
        if HUB_TOKEN.search(text) or (token and token in text):
            secrets[name.as_posix()] = "a token of the Hub"
        elif not has_name_like(name, VOCABULARIES) and (
            kinds := [detector.secret_type for detector in detectors if next(iter(detector.analyze_string(text)), None)]
        ):
            secrets[name.as_posix()] = ", ".join(kinds)
    return secrets
