"""What a repository on the Hugging Face Hub holds, and which pull request is open there.

The token is huggingface_hub's own affair: it comes from HF_TOKEN or from `hf auth login`, and nothing here reads, keeps
or prints it.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.publishing import provenance
from foundry.publishing.changes import RemoteFile
from foundry.publishing.provenance import Provenance
from foundry.variants import model_card

MARK = "<!-- embedding-foundry -->"  # in the text of a pull request that this project opened
PROPOSES = "<!-- embedding-foundry proposes {} -->"


@dataclass(frozen=True)
class Pull:
    """An open pull request of this project's."""

    num: int
    url: str


@dataclass(frozen=True)
class Revision:
    """What a repository holds at one commit."""

    name: str  # `main` or `refs/pr/N`
    commit: str
    files: dict[str, RemoteFile]
    record: Provenance | None  # its foundry.json
    card: str | None  # its README.md


@dataclass(frozen=True)
class State:
    """What a repository holds on main, and where the next commit goes: to main, or to this project's pull request."""

    repo: str
    main: Revision
    base: Revision
    pull: Pull | None
    declined: dict[str, str]  # address of each closed pull request of this project's, by the digest that it proposed


def read_state(repo: str, create_pr: bool, create_private: bool | None) -> State:
    """What the repository holds, and the pull request that is open from an earlier run.

    Args:
        create_pr: Whether the next commit goes to a pull request.
        create_private: A repository that is not there is created, private or public; with None, it is taken as empty.

    Raises:
        FoundryError: when there are conflicts that only people can resolve, or when the token may not write.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    api = HfApi()
    user = api.whoami()
    if (user.get("auth", {}).get("accessToken") or {}).get("role") == "read":
        raise FoundryError(f"the token of {user['name']} may only read: use one that may write to {repo}")
    try:
        api.model_info(repo)
    except RepositoryNotFoundError:
        if create_private is None:
            empty = Revision("main", "", {}, None, None)
            return State(repo, empty, empty, None, {})
        api.create_repo(repo, private=create_private, exist_ok=True)
        say(f"{repo}: made, {'private' if create_private else 'for everybody to see'}")
    pull, declined = find_pull_requests(api, repo, user["name"]) if create_pr else (None, {})
    main = read_revision(api, repo, "main")
    return State(repo, main, read_revision(api, repo, f"refs/pr/{pull.num}") if pull else main, pull, declined)


def read_revision(api: Any, repo: str, name: str) -> Revision:
    """What the repository holds on a branch or in a pull request."""
    commit = api.model_info(repo, revision=name).sha
    listing = {
        row.path: RemoteFile(row.size, row.lfs.sha256 if row.lfs else None, row.blob_id)
        for row in api.list_repo_tree(repo, recursive=True, revision=commit)
        if hasattr(row, "blob_id")
    }
    record = parse_record(read_file(repo, commit, provenance.NAME)) if provenance.NAME in listing else None
    card = model_card.decode(read_file(repo, commit, "README.md")) if "README.md" in listing else None
    return Revision(name, commit, listing, record, card)


def parse_record(text: bytes) -> Provenance | None:
    """A repository's foundry.json; None where it is a file of that name that this project did not write."""
    try:
        return provenance.parse(text, provenance.NAME)
    except FoundryError:
        return None


def find_pull_requests(api: Any, repo: str, author: str) -> tuple[Pull | None, dict[str, str]]:
    """The open pull request that this project opened as this author, and what the closed ones proposed.

    Raises:
        FoundryError: when the open one cannot be merged any more.
    """
    ours, declined = None, {}
    for row in api.get_repo_discussions(repo, author=author, discussion_type="pull_request"):
        if row.status == "merged":
            continue
        details = api.get_discussion_details(repo, row.num)
        text = next((event for event in details.events if event.type == "comment"), None)
        if text is None or MARK not in text.content:
            continue
        if row.status == "closed":
            if proposed := re.search(PROPOSES.format("([0-9a-f]{64})"), text.content):
                declined[proposed[1]] = row.url
        elif details.conflicting_files:
            where = "" if details.conflicting_files is True else f" in {', '.join(details.conflicting_files)}"
            raise FoundryError(
                f"{row.url} conflicts with main{where}: resolve that there, or close it and run again, which opens "
                "a new one from what main holds now"
            )
        elif ours is None:  # the newest, if somebody opened two by hand
            ours = Pull(row.num, row.url)
    return ours, declined


def read_file(repo: str, commit: str, name: str) -> bytes:
    """The content of a small file of a repository."""
    import tempfile

    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        return Path(HfApi().hf_hub_download(repo, name, revision=commit, local_dir=folder)).read_bytes()


def sha256(repo: str, commit: str, name: str) -> str:
    """The SHA-256 of a small file of a repository; that of a large file is in the repository's listing."""
    return hashlib.sha256(read_file(repo, commit, name)).hexdigest()


def download(repo: str, commit: str, names: Iterable[str], folder: Path) -> None:
    """Download files of a repository as a commit holds them."""
    import glob

    from huggingface_hub import HfApi

    patterns = [glob.escape(name) for name in names]
    HfApi().snapshot_download(repo, revision=commit, local_dir=folder, allow_patterns=patterns)
