"""What is sent to a repository on the Hugging Face Hub: one commit, and the text of its pull request."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundry.base.errors import FoundryError
from foundry.publishing.changes import Changes
from foundry.publishing.hub.reading import State


@dataclass(frozen=True)
class Sent:
    """Where a commit went."""

    commit: str
    num: int | None
    url: str


def send(
    state: State, folder: Path, changes: Changes, title: str, text: str, create_pr: bool, hashes: Mapping[str, str]
) -> Sent:
    """Make one commit of the changes, and a pull request with this text where none is open.

    Nothing is sent where nothing changed. When main or the pull request is no longer what `state` says, the Hub
    refuses (412).

    Args:
        hashes: SHA-256 of each file of the folder, but of foundry.json and its signature.

    Raises:
        FoundryError: when a file is not what its hash says, just before it is sent.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    additions = [CommitOperationAdd(name, folder / name) for name in (*changes.added, *changes.changed)]
    for addition in additions:  # the client has hashed each, and the Hub takes no other content under that hash
        name, digest = addition.path_in_repo, addition.upload_info.sha256.hex()
        if hashes.get(name, digest) != digest:
            raise FoundryError(f"{name} changed while it was published: nothing was sent. Run `dvc repro` again")
    operations: list[Any] = list(additions)
    operations += [CommitOperationDelete(name) for name in changes.deleted]
    commit, num = state.base.commit, state.pull.num if state.pull else None
    url = state.pull.url if state.pull else f"{api.endpoint}/{state.repo}"
    if operations:
        new = create_pr and state.pull is None
        info = api.create_commit(
            state.repo,
            operations,
            commit_message=title,
            commit_description=text if new else "",
            revision=None if new else state.base.name,
            create_pr=new,
            parent_commit=state.base.commit,
        )
        commit, num = info.oid, int(info.pr_num or 0) if new else num
        url = str(info.pr_url if new else url if num else info.commit_url)
    return Sent(commit, num, url)


def describe(repo: str, num: int, text: str) -> None:
    """Replace the text of a pull request of this project's, where it differs."""
    from huggingface_hub import HfApi

    details = HfApi().get_discussion_details(repo, num)
    [first, *_] = [event for event in details.events if event.type == "comment"]
    if getattr(first, "content", None) != text:
        HfApi().edit_discussion_comment(repo, num, first.id, text)


def comment(repo: str, num: int, text: str) -> None:
    """Comment on a pull request, unless the same comment stands there already."""
    from huggingface_hub import HfApi

    events = HfApi().get_discussion_details(repo, num).events
    if all(getattr(event, "content", None) != text for event in events):
        HfApi().comment_discussion(repo, num, text)
