""".ci/propose: what a rebuild changed becomes a branch and a pull request, also after a run that was cut off."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.projects import ROOT

# The Hub of git: it keeps its pull requests in a file, a line for each: number, state, and whether it is of a fork.
GH = """#!/usr/bin/env bash
set -euo pipefail
echo "$*" >> "$REQUESTS/calls"
touch "$REQUESTS/list"
case "$1 $2" in
    "pr view") [ -s "$REQUESTS/list" ] ;;  # as the real one: of any state
    "pr list")
        [[ "$*" == *"--state open"* && "$*" == *"--head rebuild"* ]]
        while read -r number state fork; do
            [ "$state" = open ] && [ "$fork" = no ] && echo "$number"
        done < "$REQUESTS/list" || true ;;
    "pr create") echo "$(($(wc -l < "$REQUESTS/list") + 1)) open no" >> "$REQUESTS/list" ;;
    *) exit 1 ;;
esac
"""


class Clone:
    """A clone with a rebuild's changes, its remote, and stand-ins for `gh` and `dvc`."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.remote = root, root / "clone", root / "bare.git"
        (root / "bin").mkdir()
        for name, text in (("gh", GH), ("dvc", "#!/bin/sh\necho '| a figure | moved |'\n")):
            (root / "bin" / name).write_text(text)
            (root / "bin" / name).chmod(0o755)
        (root / "gitconfig").write_text("[user]\nname = a\nemail = a@b\n[init]\ndefaultBranch = main\n")
        self.variables = {
            **os.environ, "PATH": f"{root / 'bin'}:{os.environ['PATH']}", "REQUESTS": str(root),
            "GIT_CONFIG_GLOBAL": str(root / "gitconfig"), "GITHUB_STEP_SUMMARY": str(root / "summary"),
        }  # fmt: skip
        self.variables.pop("GH_TOKEN", None)
        self.folder.mkdir()
        self.run(root, "git", "init", "-q", "--bare", "bare.git")
        self.run(self.folder, "git", "init", "-q")
        self.write("committed")
        (self.folder / ".ci").mkdir()
        shutil.copy(ROOT / ".ci/propose", self.folder / ".ci")
        self.run(self.folder, "git", "add", "-A")
        self.run(self.folder, "git", "commit", "-qm", "first")
        self.run(self.folder, "git", "remote", "add", "origin", str(self.remote))
        self.run(self.folder, "git", "push", "-q", "origin", "main")

    def write(self, text: str) -> None:
        for name in ("dvc.lock", "params.yaml"):
            (self.folder / name).write_text(text)

    def run(self, folder: Path, *command: str, succeeds: bool = True) -> str:
        done = subprocess.run(
            command, cwd=folder, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        assert (done.returncode == 0) == succeeds, done.stdout
        return done.stdout

    def propose(self, succeeds: bool = True) -> str:
        return self.run(self.folder, "bash", ".ci/propose", succeeds=succeeds)

    def proposed(self, name: str = "dvc.lock") -> str:
        return self.run(self.remote, "git", "show", f"rebuild:{name}")

    @property
    def requests(self) -> list[str]:
        return (self.root / "list").read_text().splitlines()

    def calls(self, verb: str) -> int:
        return sum(line.startswith(verb) for line in (self.root / "calls").read_text().splitlines())


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_what_changed_is_proposed_once_and_the_checkout_stays_as_it_is(clone: Clone) -> None:
    assert "Nothing has changed." in clone.propose()
    clone.write("built")
    (clone.folder / "other").write_text("of somebody, and staged")
    clone.run(clone.folder, "git", "add", "other")
    before = clone.run(clone.folder, "git", "status", "--porcelain", "--branch")
    for _ in range(2):
        assert "a figure" in clone.propose()
        assert clone.run(clone.folder, "git", "status", "--porcelain", "--branch") == before
        assert clone.requests == ["1 open no"]
    assert clone.run(clone.remote, "git", "diff", "--name-only", "main", "rebuild").split() == [
        "dvc.lock",
        "params.yaml",
    ]
    message = clone.run(clone.remote, "git", "log", "-1", "--format=%B", "rebuild")
    assert message.startswith("Rebuild\n\nWhat moved, against ")
    assert "a figure" in message
    commit = clone.run(clone.remote, "git", "rev-parse", "rebuild")
    clone.propose()
    assert clone.run(clone.remote, "git", "rev-parse", "rebuild") == commit  # nothing new: it is not pushed again
    clone.write("built again")
    clone.propose()
    assert clone.proposed() == "built again"
    assert clone.requests == ["1 open no"]


@pytest.mark.parametrize("earlier", ["1 merged no", "1 closed no", "1 open yes"])
def test_a_request_that_is_merged_closed_or_of_a_fork_is_none(clone: Clone, earlier: str) -> None:
    (clone.root / "list").write_text(earlier + "\n")
    clone.write("built")
    clone.propose()
    assert clone.requests == [earlier, "2 open no"]


def test_after_a_push_that_failed_the_next_run_pushes(clone: Clone) -> None:
    clone.write("built")
    hook = clone.remote / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    clone.propose(succeeds=False)
    assert not (clone.root / "list").exists()
    hook.unlink()
    assert "Nothing has changed." not in clone.propose()
    assert clone.proposed() == clone.proposed("params.yaml") == "built"
    assert clone.requests == ["1 open no"]


def test_after_a_request_that_could_not_be_opened_the_next_run_opens_it(clone: Clone) -> None:
    clone.write("built")
    works = (clone.root / "bin/gh").read_text()
    (clone.root / "bin/gh").write_text("#!/bin/sh\nexit 1\n")
    clone.propose(succeeds=False)
    assert clone.proposed() == "built"
    (clone.root / "bin/gh").write_text(works)
    clone.propose()
    assert clone.requests == ["1 open no"]
    assert clone.calls("pr create") == 1
