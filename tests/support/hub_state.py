"""What the test server of the Hub keeps: contents, commits, pull requests, users, and the faults that it is to make."""

import hashlib
import secrets
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

LFS_PATTERNS = ("*.bin", "*.onnx", "*.onnx_data", "*.safetensors", "*.h5", "*.msgpack", "*.model", "*.gz", "*.zip")
LARGEST_REGULAR_BYTES = 10_000_000
DATE = "2024-01-01T00:00:00.000Z"
DROP = "drop"  # a fault: the connection ends without an answer


def is_lfs(path: str, size: int, sample: bytes) -> bool:
    """Whether LFS keeps a file: by its name, its size, or a NUL in the first bytes."""
    return any(fnmatch(path, pattern) for pattern in LFS_PATTERNS) or size > LARGEST_REGULAR_BYTES or b"\0" in sample


def comment(author: str, text: str) -> dict[str, Any]:
    """A comment of a discussion, as the Hub's API has it."""
    data = {"edited": False, "hidden": False, "latest": {"raw": text, "html": "", "updatedAt": DATE}, "history": []}
    return {
        "id": secrets.token_hex(12),
        "type": "comment",
        "createdAt": DATE,
        "author": {"name": author},
        "data": data,
    }


@dataclass(frozen=True)
class Blob:
    """One file's content, and whether LFS keeps it."""

    content: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """What git calls it: the hash of the content, or of the pointer that stands for it."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        stored = pointer.encode() if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()


Tree = dict[str, Blob]


@dataclass(frozen=True)
class Commit:
    """A commit: the tree that it leaves, and what it followed."""

    sha: str
    parent: str | None
    title: str
    tree: Tree


@dataclass
class Discussion:
    """A pull request: its conversation, and where it started from."""

    num: int
    title: str
    author: str
    base: str  # the commit of main that it was made from
    status: str = "open"
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def description(self) -> str:
        return str(next(event for event in self.events if event["type"] == "comment")["data"]["latest"]["raw"])

    @property
    def comments(self) -> list[str]:
        return [event["data"]["latest"]["raw"] for event in self.events if event["type"] == "comment"][1:]


@dataclass
class Repo:
    """A repository: its commits, branches, pull requests, and what LFS has for it."""

    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # "main" and "refs/pr/N" to commits
    discussions: dict[int, Discussion] = field(default_factory=dict)
    uploaded: set[str] = field(default_factory=set)  # SHA-256 of contents that LFS has for this repository

    def commit(self, ref: str, tree: Tree, title: str, parent: str | None) -> Commit:
        sha = hashlib.sha1(f"{ref} {len(self.commits)} {title}".encode()).hexdigest()
        self.commits[sha] = Commit(sha, parent, title, tree)
        self.refs[ref] = sha
        return self.commits[sha]

    def find(self, revision: str) -> Commit | None:
        return self.commits.get(self.refs.get(revision, revision))

    def conflicts(self, discussion: Discussion) -> list[str]:
        """Paths that main and the pull request both changed since it was made, to different contents."""
        base, main, proposed = (
            self.commits[sha].tree
            for sha in (discussion.base, self.refs["main"], self.refs[f"refs/pr/{discussion.num}"])
        )
        paths = {*base, *main, *proposed}
        return sorted(
            path
            for path in paths
            if main.get(path) != base.get(path) != proposed.get(path) and main.get(path) != proposed.get(path)
        )


@dataclass
class User:
    """An account, and what its token may do."""

    name: str
    role: str  # `read` or `write`
    organizations: list[str]

    def owns(self, repo_id: str) -> bool:
        return self.role == "write" and repo_id.partition("/")[0] in (self.name, *self.organizations)


@dataclass
class Rule:
    """What happens at a phase: `answers` are given in turn, then it goes on as usual."""

    phase: str
    answers: list[Any]  # a status, DROP, or a function that is called
    headers: dict[str, str]
    after: bool  # the phase is carried out first, and only its answer is replaced


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, code: str = "", message: str = "", **body: Any) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": message, **body}
        self.headers = {"X-Error-Code": code, "X-Error-Message": message}
