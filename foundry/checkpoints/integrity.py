"""Files that are broken: cut off, not fetched from Git LFS, of another encoding, no JSON. Each is one line."""

import json
import re
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.checkpoints import settings_types
from foundry.checkpoints.failures import failures

LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def read_json(path: Path) -> Any:
    """A JSON file of a checkpoint.

    Raises:
        FoundryError: naming the file, when it is missing, a Git LFS pointer, not UTF-8 or no JSON.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise FoundryError(f"{path} is not there") from error
    _check_pointer(path, content[:100])
    return _parsed(path, _text(path, content))


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FoundryError(f"{path.name} is not UTF-8 (byte {error.start}); save it as UTF-8 ({path})") from error


def _parsed(path: Path, text: str) -> Any:
    if text.startswith("\ufeff"):
        raise FoundryError(f"{path.name} starts with a byte order mark, which no JSON does; save it without ({path})")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a ValueError without a place for a number of 5,000 digits
        reason = "it is empty" if not text.strip() else str(error)
        raise FoundryError(f"{path.name} is no JSON: {reason} ({path})") from error


def _check_pointer(path: Path, start: bytes) -> None:
    if start.startswith(LFS_POINTER):
        raise FoundryError(
            f"{path.name} is a Git LFS pointer, not the file itself: run `git lfs pull` where {path.parent} comes from"
        )


def check(folder: Path) -> None:
    """Check every file of a checkpoint's copy that can be checked without loading it.

    Raises:
        FoundryError: naming the first broken file, and what is wrong with it.
    """
    for name in files.files_below(folder):
        path = folder / name
        with path.open("rb") as file:
            _check_pointer(path, file.read(100))
        if name.suffix == ".json":
            if not isinstance(value := read_json(path), dict) and name.name not in ("modules.json", "vocab.json"):
                raise FoundryError(f"{name} is a {type(value).__name__}, and a mapping was expected")
            if isinstance(value, dict):
                settings_types.check(name, value)
        elif name.name in ("vocab.txt", "merges.txt", "bpe.codes", "dict.txt"):
            _text(path, path.read_bytes())
        elif name.suffix == ".safetensors":
            _check_safetensors(path)
        elif name.name.endswith(".bin") and path.stat().st_size < 100:
            raise FoundryError(f"{name} has {path.stat().st_size} bytes: it is truncated or no weights file")
        if name.name.endswith(".index.json"):
            _check_shards(path)


def _check_safetensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise FoundryError(f"{path.name} is truncated or no safetensors file: {error}") from error


def check_tokenizer(path: Path) -> None:
    """Check that a tokenizer.json is one that the tokenizers library reads; transformers does not say what is wrong.

    Raises:
        FoundryError: naming the file, and what is wrong with it.
    """
    from tokenizers import Tokenizer

    if path.is_file():
        with failures(f"{path.name} cannot be read as a tokenizer"):
            Tokenizer.from_file(str(path))


def _check_shards(path: Path) -> None:
    named = read_json(path).get("weight_map")
    if not isinstance(named, dict):
        raise FoundryError(f"{path.name} has no weight_map, which says which file holds which weight")
    for shard in sorted(map(str, set(named.values()))):
        if not re.fullmatch(r"[\w.-]+", shard):
            raise FoundryError(f"{path.name} names {shard}, which is no file beside it")
        if not (path.parent / shard).is_file():
            raise FoundryError(f"{path.name} names {shard}, which is not there")
