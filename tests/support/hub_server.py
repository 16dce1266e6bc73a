"""A Hugging Face Hub on loopback, as far as the real, unmodified huggingface_hub client needs one to publish a model.

It keeps what it is given as git does (commits, refs, pull requests as refs/pr/N) and as LFS does (contents by SHA-256,
on a second port, behind signed addresses, in one part or several), and refuses what the Hub refuses: unknown tokens,
tokens that may only read, a parent commit that is not the head, a commit that names contents which were never uploaded,
binary contents outside of LFS, deleting what is not there, front matter that is no YAML. Every content is hashed by the
server itself. A test may make any phase of a push fail, be cut off, or be the moment at which something else happens.

    with Hub() as hub:
        hub.add_user("me", "hf_token", role="write", organizations=["org"])
        hub.make_repo("org/name", {"README.md": b"..."})
        hub.on("commit", status=500)
        ... HF_ENDPOINT=hub.address HF_TOKEN=hf_token ...
        assert hub.files("org/name", "refs/pr/1") == {...}
"""

import base64
import hashlib
import json
import re
import secrets
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LFS_PATTERNS = ("*.bin", "*.onnx", "*.onnx_data", "*.safetensors", "*.h5", "*.msgpack", "*.model", "*.gz", "*.zip")
LARGEST_REGULAR_BYTES = 10_000_000
DATE = "2024-01-01T00:00:00.000Z"
DROP = "drop"  # a fault: the connection ends without an answer


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
    """Clients that are killed are nothing to speak of."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def is_lfs(path: str, size: int, sample: bytes) -> bool:
    return any(fnmatch(path, pattern) for pattern in LFS_PATTERNS) or size > LARGEST_REGULAR_BYTES or b"\0" in sample


def comment(author: str, text: str) -> dict[str, Any]:
    data = {"edited": False, "hidden": False, "latest": {"raw": text, "html": "", "updatedAt": DATE}, "history": []}
    return {
        "id": secrets.token_hex(12),
        "type": "comment",
        "createdAt": DATE,
        "author": {"name": author},
        "data": data,
    }


class Handler(BaseHTTPRequestHandler):
    """What both servers have in common: routes, faults, answers."""

    hub: Hub
    protocol_version = "HTTP/1.1"
    routes: ClassVar[list[tuple[str, str, str]]] = []  # method, pattern of the path, phase and name of the method

    def handle_any(self) -> None:
        path = urlsplit(self.path).path
        self.query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        asked = "GET" if self.command == "HEAD" else self.command
        matches = ((phase, re.fullmatch(pattern, path)) for method, pattern, phase in self.routes if method == asked)
        phase, match = next(((phase, match) for phase, match in matches if match), ("", None))
        if match is None:
            self.answer(404, {"error": f"no such route: {self.command} {path}"})
            return
        with self.hub.lock:
            self.hub.requests.append(phase)
        length = int(self.headers.get("Content-Length") or 0)
        if (taken := self.hub.take(phase, after=False)) is not None and self.fail(taken, length):
            return
        self.body = self.rfile.read(length)
        try:
            with self.hub.lock:
                status, body, headers = getattr(self, phase)(*(unquote(part) for part in match.groups()))
        except Refused as refused:
            status, body, headers = refused.status, refused.body, refused.headers
        if (taken := self.hub.take(phase, after=True)) is not None and self.fail(taken, 0):
            return
        self.answer(status, body, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def fail(self, taken: tuple[Any, dict[str, str]], length: int) -> bool:
        """Do what a rule says instead of the phase; give whether the request is over."""
        what, headers = taken
        if callable(what):
            what()
            return False
        if what == DROP:
            self.rfile.read(length // 2)  # in the middle of what is sent
            self.close_connection = True
            return True
        self.rfile.read(length)
        self.answer(what, {"error": f"made to fail with {what}"}, {"X-Error-Message": "made to fail", **headers})
        return True

    def answer(self, status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


Answer = tuple[int, Any, Mapping[str, str]]


class Storage(Handler):
    """Where LFS keeps contents: no tokens here, but signed addresses."""

    routes: ClassVar = [
        ("PUT", r"/([0-9a-f]{64})", "upload"),
        ("PUT", r"/([0-9a-f]{64})/(\d+)", "upload_part"),
        ("POST", r"/([0-9a-f]{64})/complete", "complete"),
        ("GET", r"/([0-9a-f]{64})", "fetch"),
    ]

    def check(self) -> None:
        if "Authorization" in self.headers:
            self.hub.leaks.append(self.path)
        if self.query.get("X-Amz-Signature") not in self.hub.signatures:
            raise Refused(403, message="the signature does not match")

    def upload(self, oid: str) -> Answer:
        self.check()
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refused(400, message="the content is not what its name says")
        self.hub.storage[oid] = self.body
        return 200, b"", {"ETag": f'"{oid[:32]}"'}

    def upload_part(self, oid: str, number: str) -> Answer:
        self.check()
        self.hub.parts.setdefault(oid, {})[int(number)] = self.body
        return 200, b"", {"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'}

    def complete(self, oid: str) -> Answer:
        self.check()
        parts = self.hub.parts.pop(oid, {})
        parts_listed = json.loads(self.body)["parts"]
        etags = {int(row["partNumber"]): row["etag"].strip('"') for row in parts_listed}
        if etags != {number: hashlib.md5(part).hexdigest() for number, part in parts.items()}:
            raise Refused(400, message="the parts are not those that were uploaded")
        whole = b"".join(parts[number] for number in sorted(parts))
        if hashlib.sha256(whole).hexdigest() != oid:
            raise Refused(400, message="the content is not what its name says")
        self.hub.storage[oid] = whole
        return 200, {}, {}

    def fetch(self, oid: str) -> Answer:
        self.check()
        content = self.hub.storage[oid]
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
            if start >= len(content):
                raise Refused(416, message="nothing there")
            return 206, content[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
        return 200, content, {"ETag": f'"{oid}"'}


class Api(Handler):
    """The Hub itself."""

    routes: ClassVar = [
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/repos/create", "create_repo"),
        ("POST", r"/api/validate-yaml", "validate_yaml"),
        ("GET", r"/api/models/([^/]+/[^/]+)", "info"),
        ("GET", r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", "info"),
        ("GET", r"/api/models/([^/]+/[^/]+)/refs", "list_refs"),
        ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", "list_tree"),
        ("POST", r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("GET", r"/api/models/([^/]+/[^/]+)/discussions", "discussions"),
        ("GET", r"/api/models/([^/]+/[^/]+)/discussions/(\d+)", "details"),
        ("POST", r"/api/models/([^/]+/[^/]+)/discussions/(\d+)/comment", "comment"),
        ("POST", r"/api/models/([^/]+/[^/]+)/discussions/(\d+)/comment/([^/]+)/edit", "edit"),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/verify", "verify"),
        ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
    ]

    # --- Who asks, and what for

    @property
    def user(self) -> User | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise Refused(401, message="Invalid credentials in Authorization header")
        return self.hub.users.get(token)

    def repo(self, repo_id: str) -> Repo:
        repo, user = self.hub.repos.get(repo_id), self.user
        if repo is None or (repo.private and not (user and repo_id.partition("/")[0] in (
            user.name, *user.organizations
        ))):  # fmt: skip
            raise Refused(401 if user is None else 404, "RepoNotFound", "Repository not found")
        return repo

    def may_write(self, repo_id: str, revision: str = "main", create_pr: bool = False) -> User:
        """Owners everywhere; anybody who may write to a pull request that is new or their own."""
        user, repo = self.user, self.repo(repo_id)
        if user is None:
            raise Refused(401, "RepoNotFound", "Repository not found")
        num = re.fullmatch(r"refs/pr/(\d+)", revision)
        is_author = num is not None and repo.discussions[int(num[1])].author == user.name
        if user.role != "write" or not (user.owns(repo_id) or create_pr or is_author):
            raise Refused(403, message=f"you may not write to {repo_id} with this token")
        return user

    def commit_named(self, repo_id: str, revision: str) -> Commit:
        if (commit := self.repo(repo_id).find(revision)) is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def whoami(self) -> Answer:
        if (user := self.user) is None:
            raise Refused(401, message="Invalid username or password.")
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": user.role}}
        return 200, {"type": "user", "name": user.name, "orgs": [], "auth": auth}, {}

    def create_repo(self) -> Answer:
        request = json.loads(self.body)
        user = self.user
        repo_id = f"{request.get('organization') or (user and user.name)}/{request['name']}"
        if user is None or not user.owns(repo_id):
            raise Refused(403 if user else 401, message=f"you may not create {repo_id}")
        if repo_id in self.hub.repos:
            raise Refused(409, message="You already created this model repo")
        self.hub.make_repo(repo_id, private=bool(request.get("private")))
        return 200, {"url": f"{self.hub.address}/{repo_id}", "name": repo_id}, {}

    def validate_yaml(self) -> Answer:
        content = json.loads(self.body)["content"]
        front = re.match(r"---\n(.*?)\n---", content, re.DOTALL)
        try:
            front_matter = yaml.safe_load(front[1]) if front else {}
        except yaml.YAMLError as error:
            raise Refused(400, errors=[{"message": str(error)}], warnings=[]) from error
        tags = front_matter.get("tags") or []
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise Refused(400, errors=[{"message": '"tags" must be a list of strings'}], warnings=[])
        return 200, {"errors": [], "warnings": []}, {}

    # --- What there is

    def info(self, repo_id: str, revision: str = "main") -> Answer:
        commit = self.commit_named(repo_id, revision)
        siblings = [{"rfilename": path} for path in sorted(commit.tree)]
        row = {"id": repo_id, "modelId": repo_id, "sha": commit.sha, "siblings": siblings, "tags": []}
        return 200, {**row, "private": self.repo(repo_id).private}, {}

    def list_refs(self, repo_id: str) -> Answer:
        refs = self.repo(repo_id).refs
        rows = [{"name": ref, "ref": ref, "targetCommit": sha} for ref, sha in refs.items()]
        pulls = [row for row in rows if row["ref"].startswith("refs/pr/")]
        branches = [{**row, "ref": f"refs/heads/{row['name']}"} for row in rows if row not in pulls]
        return 200, {"branches": branches, "tags": [], "converts": [], "pullRequests": pulls}, {}

    def list_tree(self, repo_id: str, revision: str) -> Answer:
        rows = []
        for path, blob in sorted(self.commit_named(repo_id, revision).tree.items()):
            row: dict[str, Any] = {"type": "file", "path": path, "size": len(blob.content), "oid": blob.oid}
            if blob.lfs:
                row["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": 130}
            rows.append(row)
        start = int(self.query.get("cursor", 0))
        end = start + self.hub.page_size
        following = f"{self.hub.address}{urlsplit(self.path).path}?recursive=true&cursor={end}"
        return 200, rows[start:end], {"Link": f'<{following}>; rel="next"'} if end < len(rows) else {}

    def resolve(self, repo_id: str, revision: str, path: str) -> Answer:
        commit = self.commit_named(repo_id, revision)
        if (blob := commit.tree.get(path)) is None:
            raise Refused(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{blob.oid}"'}
        if not blob.lfs:
            return 200, blob.content, headers
        self.hub.storage[blob.sha256] = blob.content
        linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content))}
        return 302, b"", {**headers, **linked, "Location": self.hub.sign(f"/{blob.sha256}")}

    # --- What is sent

    def preupload(self, repo_id: str, revision: str) -> Answer:
        self.may_write(repo_id, revision, create_pr=self.query.get("create_pr") == "1")
        tree = self.commit_named(repo_id, revision).tree
        rows = []
        for row in json.loads(self.body)["files"]:
            lfs = is_lfs(row["path"], row["size"], base64.b64decode(row["sample"]))
            existing = tree.get(row["path"])
            oid = existing and (existing.sha256 if existing.lfs else existing.oid)
            mode = "lfs" if lfs else "regular"
            rows.append({"path": row["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return 200, {"files": rows}, {}

    def batch(self, repo_id: str) -> Answer:
        request = json.loads(self.body)
        repo, revision = self.repo(repo_id), request.get("ref", {}).get("name", "main")
        self.may_write(repo_id, revision, create_pr=True)
        used = sum(len(content) for content in self.hub.storage.values())
        rows = []
        for row in request["objects"]:
            oid, size = row["oid"], row["size"]
            if oid in repo.uploaded or any(
                blob.lfs and blob.sha256 == oid for commit in repo.commits.values() for blob in commit.tree.values()
            ):
                rows.append({"oid": oid, "size": size})
                continue
            used += size
            if self.hub.quota_bytes is not None and used > self.hub.quota_bytes:
                rows.append({"oid": oid, "size": size, "error": {"code": 413, "message": "Storage quota exceeded"}})
                continue
            verify = {"href": f"{self.hub.address}/{repo_id}.git/info/lfs/verify"}
            upload: dict[str, Any] = {"href": self.hub.sign(f"/{oid}")}
            if size > self.hub.part_bytes:
                count = -(-size // self.hub.part_bytes)
                parts = {str(number): self.hub.sign(f"/{oid}/{number}") for number in range(1, count + 1)}
                upload = {
                    "href": self.hub.sign(f"/{oid}/complete"),
                    "header": {"chunk_size": str(self.hub.part_bytes), **parts},
                }
            rows.append({"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}})
        return 200, {"objects": rows, "transfer": "basic"}, {}

    def verify(self, repo_id: str) -> Answer:
        request = json.loads(self.body)
        self.may_write(repo_id, create_pr=True)
        if len(self.hub.storage.get(request["oid"], b"")) != request["size"]:
            raise Refused(404, message="no such content")
        self.repo(repo_id).uploaded.add(request["oid"])
        return 200, {}, {}

    def commit(self, repo_id: str, revision: str) -> Answer:
        create_pr = self.query.get("create_pr") == "1"
        user, repo = self.may_write(repo_id, revision, create_pr), self.repo(repo_id)
        header, *operations = (json.loads(line) for line in self.body.splitlines())
        proposal, head = header["value"], self.commit_named(repo_id, revision)
        parent = proposal.get("parentCommit")
        if create_pr and parent is not None:
            head = self.commit_named(repo_id, parent)
        elif parent is not None and parent != head.sha:
            raise Refused(412, message="A commit has happened since. Please refresh and try again.")
        tree = dict(head.tree)
        for operation in operations:
            self.apply(repo, tree, operation["key"], operation["value"])
        ref, pull = revision, None
        if create_pr:
            num = len(repo.discussions) + 1
            ref, pull = f"refs/pr/{num}", f"{self.hub.address}/{repo_id}/discussions/{num}"
            events = [comment(user.name, proposal["description"])]
            repo.discussions[num] = Discussion(num, proposal["summary"], user.name, head.sha, events=events)
        commit = repo.commit(ref, tree, proposal["summary"], head.sha)
        address = f"{self.hub.address}/{repo_id}/commit/{commit.sha}"
        return 200, {"commitUrl": address, "commitOid": commit.sha, "pullRequestUrl": pull, "success": True}, {}

    def apply(self, repo: Repo, tree: Tree, key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            content = base64.b64decode(value["content"])
            if is_lfs(path, len(content), content[:512]) and content:
                raise Refused(400, message=f"{path} is binary, and must go through LFS")
            tree[path] = Blob(content, lfs=False)
        elif key == "lfsFile":
            existing = next((commit.tree[path] for commit in repo.commits.values() if path in commit.tree
                          and commit.tree[path].sha256 == value["oid"]), None)  # fmt: skip
            if value["oid"] not in repo.uploaded and existing is None:
                raise Refused(400, message=f"{path} points to a content that does not exist")
            tree[path] = existing or Blob(self.hub.storage[value["oid"]], lfs=True)
        elif key == "deletedFile":
            if path not in tree:
                raise Refused(404, "EntryNotFound", "A file with this name doesn't exist")
            del tree[path]
        else:
            raise Refused(400, message=f"unknown operation {key}")

    # --- Pull requests

    def row(self, repo_id: str, discussion: Discussion) -> dict[str, Any]:
        return {
            "num": discussion.num,
            "title": discussion.title,
            "author": {"name": discussion.author},
            "createdAt": DATE,
            "status": discussion.status,
            "repo": {"name": repo_id, "type": "model"},
            "isPullRequest": True,
        }

    def discussions(self, repo_id: str) -> Answer:
        matching = sorted(self.repo(repo_id).discussions.values(), key=lambda discussion: -discussion.num)
        if author := self.query.get("author"):
            matching = [discussion for discussion in matching if discussion.author == author]
        if (status := self.query.get("status", "all")) != "all":
            matching = [
                discussion for discussion in matching if (discussion.status in ("open", "draft")) == (status == "open")
            ]
        start = int(self.query.get("p", 0)) * self.hub.page_size
        rows = [self.row(repo_id, discussion) for discussion in matching[start : start + self.hub.page_size]]
        return 200, {"discussions": rows, "count": len(matching), "start": start}, {}

    def discussion(self, repo_id: str, num: str) -> Discussion:
        if (discussion := self.repo(repo_id).discussions.get(int(num))) is None:
            raise Refused(404, message="no such discussion")
        return discussion

    def details(self, repo_id: str, num: str) -> Answer:
        discussion = self.discussion(repo_id, num)
        conflicts = self.repo(repo_id).conflicts(discussion) if discussion.status == "open" else []
        more = {"events": discussion.events, "changes": {"base": "refs/heads/main"}, "filesWithConflicts": conflicts}
        return 200, {**self.row(repo_id, discussion), **more}, {}

    def comment(self, repo_id: str, num: str) -> Answer:
        if (user := self.user) is None:
            raise Refused(401, message="who are you?")
        event = comment(user.name, json.loads(self.body)["comment"])
        self.discussion(repo_id, num).events.append(event)
        return 200, {"newMessage": event}, {}

    def edit(self, repo_id: str, num: str, event_id: str) -> Answer:
        event = next(event for event in self.discussion(repo_id, num).events if event["id"] == event_id)
        if self.user is None or event["author"]["name"] != self.user.name:
            raise Refused(403, message="not your comment")
        event["data"]["latest"]["raw"] = json.loads(self.body)["content"]
        return 200, {"updatedComment": event}, {}
