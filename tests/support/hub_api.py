"""The API of the test server of the Hub."""

import base64
import json
import re
from typing import Any, ClassVar
from urllib.parse import urlsplit

import yaml

from tests.support.hub_state import DATE, Blob, Commit, Discussion, Refused, Repo, Tree, User, comment, is_lfs
from tests.support.hub_storage import Answer, Handler


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
        is_private = request.get("private") or request.get("visibility") == "private"  # the second since client 1
        self.hub.make_repo(repo_id, private=bool(is_private))
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
