"""The commits that params.yaml pins sources on the Hub to, and where their branches are now."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base import files, yaml_editing
from foundry.base.errors import FoundryError
from foundry.publishing.hub.retries import with_retries

BRANCH = "main"
COMMIT = re.compile(r"\b[0-9a-f]{40}\b")


class Pinned(NamedTuple):
    """A source on the Hub."""

    where: str  # in params.yaml
    repo: str
    kind: str  # `model` or `dataset`
    revision: str
    runs_code: bool  # Python files of this repository run here, so a person reads each commit before it is pinned

    @property
    def keys(self) -> list[str]:
        """The keys that reach its revision in params.yaml."""
        return [*self.where.split("."), "revision"]


def pinned_sources(value: Any, where: str = "", runs_code: bool = False) -> Iterator[Pinned]:
    """Every source on the Hub in params.yaml, wherever it stands.

    Args:
        runs_code: Whether a mapping around this one says that code of its sources runs.
    """
    if isinstance(value, Mapping):
        runs_code = runs_code or bool(value.get("trust_remote_code")) or value.get("code_revision") is not None
        if isinstance(value.get("hub"), str) and "revision" in value:
            kind = "model" if re.fullmatch(r"models\.[^.]+\.(source|base)", where) else "dataset"
            yield Pinned(where, value["hub"], kind, str(value["revision"]), runs_code)
        for key, part in value.items():
            yield from pinned_sources(part, f"{where}.{key}" if where else str(key), runs_code)


def current_commit(repo: str, kind: str = "model", revision: str = BRANCH) -> str:
    """The commit, 40 hexadecimal digits, that a branch, a tag or a commit of a repository names now.

    Raises:
        FoundryError: when the Hub does not say.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError, RevisionNotFoundError

    def ask() -> str:
        try:
            return str(HfApi().repo_info(repo, repo_type=kind, revision=revision).sha)
        except RevisionNotFoundError as error:
            raise FoundryError(f"{repo} has no revision {revision}") from error
        except RepositoryNotFoundError as error:
            raise FoundryError(
                f"{repo} is not there, or this token may not see it: look for it on the Hub, or log in "
                "(`hf auth login`, or HF_TOKEN)"
            ) from error
        except OfflineModeIsEnabled as error:
            raise FoundryError(f"{repo} is on the Hub, and HF_HUB_OFFLINE says not to ask there: unset it") from error

    return with_retries(ask, repo)


def pin(path: Path, moved: Mapping[Pinned, str]) -> None:
    """Write another commit for each of these sources into params.yaml; every other byte stays as it is.

    Raises:
        FoundryError: when a revision is written in a way that cannot be edited, such as an alias of another source's.
    """
    text = path.read_bytes().decode()
    edited = yaml_editing.with_values(text, {tuple(source.keys): commit for source, commit in moved.items()})
    with files.replacing(path) as partial:
        partial.write_bytes(edited.encode())


def check_commits_alone_differ(before: str, after: str) -> None:
    """Check that a text of params.yaml differs from another in commits of sources alone, and of none whose code runs.

    Raises:
        FoundryError: when it has other changes.
    """
    if COMMIT.sub("", before) != COMMIT.sub("", after):
        raise FoundryError("params.yaml has other changes than commits of sources: nobody asked for them")
    rows = [[*pinned_sources(yaml_editing.load(text))] for text in (before, after)]
    codes = [[*code_revisions(yaml_editing.load(text))] for text in (before, after)]
    if codes[0] != codes[1] or any(was != now for was, now in zip(*rows, strict=True) if was.runs_code):
        raise FoundryError(
            "params.yaml pins code that runs here to another commit, which a person does after reading it"
        )


def code_revisions(value: Any) -> Iterator[Any]:
    """Every `code_revision` in params.yaml, in its order."""
    if isinstance(value, Mapping):
        yield value.get("code_revision")
        for part in value.values():
            yield from code_revisions(part)
