"""A Hugging Face Hub on loopback, as far as the real, unmodified huggingface_hub client needs one to publish a model.

It keeps what it is given as git does (commits, refs, pull requests as refs/pr/N) and as LFS does (contents by SHA-256,
on a second port, behind signed addresses, in one part or several), and refuses what the Hub refuses: unknown tokens,
tokens that may only read, a parent commit that is not the head, a commit that names contents which were never uploaded,
binary contents outside of LFS, deleting what is not there, front matter that is no YAML. Every content is hashed by the
server itself. A test may make any phase of a push fail, be cut off, or be the moment at which something else happens.

    with Hub() as hub:
        hub.add_user("me", "hf_token", role="write", organizations=["org"])
        hub.make_repo("org/name", {"README.md": b"..."})
        hub.on("commit", 500)
        ... HF_ENDPOINT=hub.address HF_TOKEN=hf_token ...
        assert hub.files("org/name", "refs/pr/1") == {...}
"""

import secrets
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.support.hub_api import Api
from tests.support.hub_state import LFS_PATTERNS, Blob, Repo, Rule, Tree, User, is_lfs
from tests.support.hub_storage import Storage


def forget_connections() -> None:
    """Let huggingface_hub make its client anew, by the address and settings of now."""
    from huggingface_hub import utils

    reset = getattr(utils, "close_session", None) or utils.reset_sessions  # the latter before huggingface_hub 1
    reset()


class Hub:
    """The state, and the two servers that give access to it."""

    def __init__(self, part_bytes: int = 1 << 30, page_size: int = 7) -> None:
        self.part_bytes, self.page_size = part_bytes, page_size  # a content above `part_bytes` goes up in parts
        self.users: dict[str, User] = {}
        self.repos: dict[str, Repo] = {}
        self.storage: dict[str, bytes] = {}  # by SHA-256
        self.parts: dict[str, dict[int, bytes]] = {}
        self.signatures: set[str] = set()
        self.rules: list[Rule] = []
        self.quota_bytes: int | None = None  # of all contents in LFS
        self.requests: list[str] = []  # the phases, in order
        self.leaks: list[str] = []  # requests to the storage that carried a token
        self.lock = threading.RLock()
        self.servers = [self._serve(handler) for handler in (Api, Storage)]
        self.address, self.storage_address = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)

    def _serve(self, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        bound = type(handler.__name__, (handler,), {"hub": self})
        server = Server(("127.0.0.1", 0), bound)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    # --- What tests set up and look at

    def add_user(self, name: str, token: str, role: str = "write", organizations: list[str] | None = None) -> None:
        self.users[token] = User(name, role, organizations or [])

    def make_repo(self, repo_id: str, contents: Mapping[str, bytes] | None = None, private: bool = False) -> Repo:
        repo = self.repos[repo_id] = Repo(private)
        attributes = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS)
        repo.commit("main", self.tree({".gitattributes": attributes.encode(), **(contents or {})}), "initial", None)
        return repo

    def tree(self, contents: Mapping[str, bytes]) -> Tree:
        return {path: Blob(content, is_lfs(path, len(content), content[:512])) for path, content in contents.items()}

    def push(self, repo_id: str, contents: Mapping[str, bytes], ref: str = "main") -> str:
        """A commit by somebody else."""
        repo = self.repos[repo_id]
        head = repo.commits[repo.refs[ref]]
        return repo.commit(ref, {**head.tree, **self.tree(contents)}, "somebody else's", head.sha).sha

    def merge(self, repo_id: str, num: int) -> None:
        repo = self.repos[repo_id]
        assert not repo.conflicts(repo.discussions[num])
        base, proposed = (repo.commits[sha].tree for sha in (repo.discussions[num].base, repo.refs[f"refs/pr/{num}"]))
        main = dict(repo.commits[repo.refs["main"]].tree)
        for path in {*base, *proposed}:
            if proposed.get(path) != base.get(path):
                main.pop(path, None)
                main |= {path: proposed[path]} if path in proposed else {}
        repo.commit("main", main, f"merge {num}", repo.refs["main"])
        repo.discussions[num].status = "merged"

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Everything that a revision holds but .gitattributes, which the Hub itself writes."""
        commit = self.repos[repo_id].find(revision)
        assert commit is not None, revision
        return {path: blob.content for path, blob in commit.tree.items() if path != ".gitattributes"}

    def on(self, phase: str, *answers: Any, headers: dict[str, str] | None = None, after: bool = False) -> None:
        """Answer the next requests of a phase with these: a status, DROP, or a function to call before going on."""
        self.rules.append(Rule(phase, list(answers), headers or {}, after))

    def take(self, phase: str, after: bool) -> tuple[Any, dict[str, str]] | None:
        with self.lock:
            for rule in self.rules:
                if rule.phase == phase and rule.after == after and rule.answers:
                    return rule.answers.pop(0), rule.headers
        return None

    def sign(self, path: str) -> str:
        """An address in the storage that works without a token."""
        signature = secrets.token_hex(8)
        self.signatures.add(signature)
        return f"{self.storage_address}{path}?X-Amz-Signature={signature}"


class Server(ThreadingHTTPServer):
    """A server that prints nothing about clients that were killed."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
