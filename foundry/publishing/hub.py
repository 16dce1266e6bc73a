"""All that is said to the Hugging Face Hub in order to publish: what a repository holds, one commit, its pull request.

The token is huggingface_hub's own affair: it comes from HF_TOKEN or from `hf auth login`, and nothing here reads, keeps
or prints it.
"""

import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from foundry.base.command import is_disk_full
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.publishing import provenance
from foundry.publishing.changes import Changes, RemoteFile
from foundry.publishing.provenance import Provenance

WAITS = (2.0, 8.0, 30.0, 60.0)  # seconds before each further attempt, where the Hub does not say how long
LONGEST_WAIT = 600.0  # the Hub may ask for more than anybody waits for
MARK = "<!-- embedding-foundry -->"  # in the text of a pull request that this project opened
PROPOSES = "<!-- embedding-foundry proposes {} -->"
RETRIED = (408, 425, 429, 500, 502, 503, 504)

T = TypeVar("T")


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
    """What a repository holds on main, and where the next commit goes: there, or to this project's pull request."""

    repo: str
    main: Revision
    base: Revision
    pull: Pull | None
    declined: dict[str, str]  # what was proposed in pull requests that were closed, to their addresses


@dataclass(frozen=True)
class Sent:
    """Where a commit went."""

    commit: str
    num: int | None
    url: str


# --- Errors: which are worth another attempt, and what the others mean ---------------------------------------


def errors() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises when the Hub does not do as it is asked."""
    import requests

    # RuntimeError: an upload in a thread. ValueError: a quota, or a card that the Hub finds invalid.
    return (requests.RequestException, OSError, RuntimeError, ValueError)


def response(error: BaseException | None) -> Any:
    """The Hub's answer that an error is about, if it is about one."""
    while error is not None:
        if (found := getattr(error, "response", None)) is not None:
            return found
        error = error.__cause__ or error.__context__
    return None


def is_offline(error: BaseException | None) -> bool:
    """Whether no answer came at all."""
    import requests

    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    while error is not None:
        if isinstance(error, broken):
            return response(error) is None
        error = error.__cause__ or error.__context__
    return False


def wait_before_retrying(error: BaseException, otherwise: float) -> float | None:
    """Seconds to wait before another attempt, or None where it would end the same."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    answer = response(error)
    if answer is None:
        return otherwise if is_offline(error) and not isinstance(error, OfflineModeIsEnabled) else None
    if answer.status_code not in RETRIED:
        return None
    said = answer.headers.get("Retry-After", "")
    return min(float(said), LONGEST_WAIT) if re.fullmatch(r"\d+(\.\d+)?", said) else otherwise


def explained(error: BaseException, repo: str) -> str:
    """What went wrong and what to do, without anything that gives access: no token, no signed address."""
    from huggingface_hub.errors import LocalTokenNotFoundError

    answer = response(error)
    status = None if answer is None else answer.status_code
    said = " ".join(re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", str(error)).split())[:500]
    if status == 401 or isinstance(error, LocalTokenNotFoundError):
        return "the Hub does not know this token, or got none: log in with `hf auth login`, or set HF_TOKEN"
    if status == 403:
        return f"this token may not write to {repo}, nor open pull requests there: use one that may ({said})"
    if status in (409, 412):
        return f"{repo} has changed while this was sent, and nothing was: run `dvc repro` again, which looks at it anew"
    if status == 413 or "quota" in said.lower():
        return f"the Hub does not take so much for {repo}: {said}. Make room there, or publish fewer variants"
    if status == 404:
        return f"{repo} is not there, or this token may not see it: {said}"
    if answer is None and (is_offline(error) or "offline" in said.lower()):
        kind = type(error).__name__
        return f"the Hub cannot be reached, and publish.to is hub ({kind}). Connect this machine, or set `to: folder`"
    return f"the Hub refuses {repo}: {said}"


def patiently(action: Callable[[], T], repo: str) -> T:
    """Do something with the Hub, and again where it fails for the moment only.

    Raises:
        FoundryError: when it fails for good; what it says gives no access to anything.
    """
    for wait in (*WAITS, None):
        try:
            return action()
        except errors() as error:
            if isinstance(error, OSError) and is_disk_full(error):
                raise
            pause = None if wait is None else wait_before_retrying(error, wait)
            if pause is None:
                raise FoundryError(explained(error, repo)) from error
            answer = response(error)
            why = "did not answer" if answer is None else f"answered {answer.status_code}"
            say(f"the Hub {why}: once more in {pause:.0f} s")
            time.sleep(pause)
    raise AssertionError  # the last attempt returns or raises


# --- What there is -------------------------------------------------------------------------------------------


def look(repo: str, create_pr: bool, create_private: bool | None) -> State:
    """What the repository holds, and the pull request that is open from an earlier run.

    A repository that is not there is made, private or not as `create_private` says; None: it is taken as empty.

    Raises:
        FoundryError: when there are conflicts that only people can resolve, or when the token may not write.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    logging.set_verbosity_error()  # its warnings quote signed addresses
    if not sys.stderr.isatty():
        disable_progress_bars()
    api = HfApi()
    me = api.whoami()
    if (me.get("auth", {}).get("accessToken") or {}).get("role") == "read":
        raise FoundryError(f"the token of {me['name']} may only read: use one that may write to {repo}")
    try:
        api.model_info(repo)
    except RepositoryNotFoundError:
        if create_private is None:
            nothing = Revision("main", "", {}, None, None)
            return State(repo, nothing, nothing, None, {})
        api.create_repo(repo, private=create_private, exist_ok=True)
        say(f"{repo}: made, {'private' if create_private else 'for everybody to see'}")
    pull, declined = pulls(api, repo, me["name"]) if create_pr else (None, {})
    main = at(api, repo, "main")
    return State(repo, main, at(api, repo, f"refs/pr/{pull.num}") if pull else main, pull, declined)


def at(api: Any, repo: str, name: str) -> Revision:
    """What the repository holds on a branch or in a pull request."""
    commit = api.model_info(repo, revision=name).sha
    there = {
        row.path: RemoteFile(row.size, row.lfs.sha256 if row.lfs else None, row.blob_id)
        for row in api.list_repo_tree(repo, recursive=True, revision=commit)
        if hasattr(row, "blob_id")
    }
    record = parsed(content(repo, commit, provenance.NAME)) if provenance.NAME in there else None
    card = content(repo, commit, "README.md").decode() if "README.md" in there else None
    return Revision(name, commit, there, record, card)


def parsed(text: bytes) -> Provenance | None:
    """A repository's foundry.json; None where it is somebody else's file of that name."""
    try:
        return provenance.parse(text.decode(), provenance.NAME)
    except (FoundryError, UnicodeDecodeError):
        return None


def pulls(api: Any, repo: str, author: str) -> tuple[Pull | None, dict[str, str]]:
    """The open pull request that this project opened under this name, and what was proposed in those since closed.

    Raises:
        FoundryError: when the open one cannot be merged any more.
    """
    found, declined = None, {}
    for row in api.get_repo_discussions(repo, author=author, discussion_type="pull_request"):
        if row.status == "merged":
            continue
        details = api.get_discussion_details(repo, row.num)
        text = next((one for one in details.events if one.type == "comment"), None)
        if text is None or MARK not in text.content:
            continue
        if row.status == "closed":
            if said := re.search(PROPOSES.format("([0-9a-f]{64})"), text.content):
                declined[said[1]] = row.url
        elif details.conflicting_files:
            where = "" if details.conflicting_files is True else f" in {', '.join(details.conflicting_files)}"
            raise FoundryError(
                f"{row.url} conflicts with main{where}: resolve that there, or close it and run again, which opens "
                "a new one from what main holds now"
            )
        elif found is None:  # the newest, if somebody opened two by hand
            found = Pull(row.num, row.url)
    return found, declined


def content(repo: str, commit: str, name: str) -> bytes:
    """A small file of a repository, kept nowhere."""
    import tempfile

    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        return Path(HfApi().hf_hub_download(repo, name, revision=commit, local_dir=folder)).read_bytes()


def sha256(repo: str, commit: str, name: str) -> str:
    """The SHA-256 of a small file of a repository, that of a large one is in its listing."""
    return hashlib.sha256(content(repo, commit, name)).hexdigest()


def fetch(repo: str, commit: str, names: Iterable[str], folder: Path) -> None:
    """Download files as a commit holds them."""
    import glob

    from huggingface_hub import HfApi

    patterns = [glob.escape(name) for name in names]
    HfApi().snapshot_download(repo, revision=commit, local_dir=folder, allow_patterns=patterns)


# --- What is sent --------------------------------------------------------------------------------------------


def send(state: State, folder: Path, changes: Changes, title: str, text: str, create_pr: bool) -> Sent:
    """Make one commit of the changes, and a pull request with this text where none is open.

    Nothing is sent where nothing changed. When main or the pull request is no longer what `state` says, the Hub
    refuses (412).
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    operations: list[Any] = [CommitOperationAdd(name, folder / name) for name in (*changes.added, *changes.changed)]
    operations += [CommitOperationDelete(name) for name in changes.deleted]
    commit, num = state.base.commit, state.pull.num if state.pull else None
    url = state.pull.url if state.pull else f"{api.endpoint}/{state.repo}"
    if operations:
        new = create_pr and state.pull is None
        made = api.create_commit(
            state.repo,
            operations,
            commit_message=title,
            commit_description=text if new else "",
            revision=None if new else state.base.name,
            create_pr=new,
            parent_commit=state.base.commit,
        )
        commit, num = made.oid, int(made.pr_num or 0) if new else num
        url = str(made.pr_url if new else url if num else made.commit_url)
    return Sent(commit, num, url)


def describe(repo: str, num: int, text: str) -> None:
    """Make this the text of a pull request of this project's, if it is not."""
    from huggingface_hub import HfApi

    details = HfApi().get_discussion_details(repo, num)
    [first, *_] = [event for event in details.events if event.type == "comment"]
    if getattr(first, "content", None) != text:
        HfApi().edit_discussion_comment(repo, num, first.id, text)


def tell(repo: str, num: int, text: str) -> None:
    """Comment on a pull request, unless that has been said there."""
    from huggingface_hub import HfApi

    events = HfApi().get_discussion_details(repo, num).events
    if all(getattr(event, "content", None) != text for event in events):
        HfApi().comment_discussion(repo, num, text)
