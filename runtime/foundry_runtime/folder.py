"""The folder of a model, of which every file that is read is what foundry.json says it is."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from foundry_runtime.errors import FileChanged, UnusableModel

RECORD = "foundry.json"
FORMAT = 1
Find = Callable[[str], Path | None]  # where a file of the model is, by its name; None where the model has none


class ModelFolder:
    """A published model: a folder on this machine, or a repository on the Hub whose files come as they are needed.

    With `verify=False` it may be any folder of Sentence Transformers, and nothing is compared.

    Raises:
        UnusableModel: when there is no foundry.json to compare with, or it is damaged.
    """

    def __init__(self, name: str, find: Find, verify: bool = True) -> None:
        self.name, self._find, self.is_verified = name, find, verify
        self.record: dict[str, Any] = {}
        path = find(RECORD)
        if path is not None:
            self.record = _parse_record(path)
        elif verify:
            raise UnusableModel(
                f"{name} has no {RECORD}, so nothing says what its files should hold. "
                "With verify=False it is loaded all the same"
            )

    @property
    def _hashes(self) -> dict[str, str]:
        return self.record["files"] if self.is_verified else {}

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, compared with its hash; None where the model has no such file.

        Raises:
            FileChanged: when it is another file than the one that was published, or is missing.
        """
        path = self._expected(name)
        if path is None:
            return None
        content = path.read_bytes()
        self._compare(name, hashlib.sha256(content).hexdigest())
        return content

    def json(self, name: str) -> Any:
        """The content of a JSON file; None where the model has no such file.

        Raises:
            FileChanged: see `read`.
            UnusableModel: when it is no JSON.
        """
        content = self.read(name)
        try:
            return None if content is None else json.loads(content)
        except ValueError as error:
            raise UnusableModel(f"{self.name}: {name} is damaged: {error}") from error

    def settings(self, name: str) -> dict[str, Any]:
        """A JSON file that holds settings by name; empty where the model has no such file."""
        value = self.json(name) or {}
        if not isinstance(value, dict):
            raise UnusableModel(f"{self.name}: {name} holds no settings, but {type(value).__name__}")
        return value

    def path(self, name: str) -> Path | None:
        """Where a file is, after its bytes were compared with its hash; None where the model has no such file.

        Raises:
            FileChanged: see `read`.
        """
        path = self._expected(name)
        if path is not None and self.is_verified:
            with path.open("rb") as file:
                self._compare(name, hashlib.file_digest(file, "sha256").hexdigest())
        return path

    def _expected(self, name: str) -> Path | None:
        """A file that the record names, or that is read without a record."""
        if not self.is_verified:
            return self._find(name)
        if name not in self._hashes:
            if self._find(name) is not None:
                raise FileChanged(f"{self.name}: {name} is no file that was published: {RECORD} does not name it")
            return None
        path = self._find(name)
        if path is None:
            raise FileChanged(f"{self.name}: {name} is missing; {RECORD} names it")
        return path

    def _compare(self, name: str, digest: str) -> None:
        if self.is_verified and self._hashes[name] != digest:
            raise FileChanged(
                f"{self.name}: {name} is not the file that was published: its SHA-256 is {digest}, and {RECORD} "
                f"says {self._hashes[name]}. Download the model again"
            )


def _parse_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
        is_known = record["format"] == FORMAT and all(isinstance(entry["files"], dict) for entry in _entries(record))
        hashes = record["files"]
        is_known = is_known and all(isinstance(digest, str) for digest in hashes.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableModel(f"{path} is damaged: {type(error).__name__} {error}") from error
    if strange := [name for name in hashes if not _is_inside(name)]:
        raise UnusableModel(f"{path} names {strange[0]!r}, which is no file in its folder")
    if not is_known:
        raise UnusableModel(f"{path} is none of format {FORMAT}, which this version reads: install a newer version")
    result: dict[str, Any] = record
    return result


def _is_inside(name: str) -> bool:
    return not any(part in ("", ".", "..") for part in name.split("/")) and "\\" not in name and ":" not in name


def _entries(record: dict[str, Any]) -> list[dict[str, Any]]:
    return list(record["variants"].values())


def open_folder(
    model: str | Path, verify: bool = True, revision: str | None = None, token: str | None = None,
    cache_dir: str | Path | None = None,
) -> ModelFolder:  # fmt: skip
    """A model by its folder; or, where there is no such folder, by the name of its repository on the Hub.

    Raises:
        UnusableModel: when it is neither, or is not what was published.
    """
    folder = Path(model)
    if folder.is_dir():
        return ModelFolder(str(model), lambda name: _in_folder(folder, name), verify)
    repository = str(model)
    if len(PurePosixPath(repository).parts) != 2 or repository.startswith(("/", ".", "~")):
        raise UnusableModel(f"{repository} is no folder, and no repository of the Hub, which is named owner/name")
    return ModelFolder(repository, _on_hub(repository, revision, token, cache_dir), verify)


def _in_folder(folder: Path, name: str) -> Path | None:
    path = folder / name
    return path if path.is_file() else None


def _on_hub(repository: str, revision: str | None, token: str | None, cache_dir: str | Path | None) -> Find:
    """Files of one commit of a repository: all are of the commit that the first one came from."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise UnusableModel(
            f"{repository} is no folder; to fetch it from the Hub, `pip install 'foundry-runtime[hub]'`"
        ) from error
    commit = revision

    def find(name: str) -> Path | None:
        nonlocal commit
        try:
            path = Path(hf_hub_download(repository, name, revision=commit, token=token, cache_dir=cache_dir))
        except LocalEntryNotFoundError as error:
            raise UnusableModel(f"the Hub cannot be reached, and {name} of {repository} is not in its cache") from error
        except RepositoryNotFoundError as error:
            raise UnusableModel(f"{repository} is not on the Hub, or this token may not read it") from error
        except EntryNotFoundError:
            return None
        # The cache keeps a file at snapshots/<commit>/<name>.
        commit = path.parents[len(PurePosixPath(name).parts) - 1].name
        return path

    return find
