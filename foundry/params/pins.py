"""The commits that params.yaml pins sources on the Hub to, and where their branches are now."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.publishing.hub.retries import with_retries

BRANCH = "main"


class Pinned(NamedTuple):
    """A source on the Hub."""

    where: str  # in params.yaml
    repo: str
    kind: str  # `model` or `dataset`
    revision: str


def pinned_sources(value: Any, where: str = "") -> Iterator[Pinned]:
    """Every source on the Hub in params.yaml, wherever it stands."""
    if isinstance(value, Mapping):
        if isinstance(value.get("hub"), str) and "revision" in value:
            kind = "model" if where.startswith("models.") else "dataset"
            yield Pinned(where, value["hub"], kind, str(value["revision"]))
        for key, part in value.items():
            yield from pinned_sources(part, f"{where}.{key}" if where else str(key))


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


def pin(path: Path, moved: Mapping[str, str]) -> None:
    """Write other commits into params.yaml in the place of those that stand there; every other byte stays as it is."""
    content = path.read_bytes()
    for before, after in moved.items():
        content = content.replace(before.encode(), after.encode())
    with files.replacing(path) as partial:
        partial.write_bytes(content)
