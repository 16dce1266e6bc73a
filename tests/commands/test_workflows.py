"""The workflows: of the form that GitHub takes, with actions pinned by commit, and with steps that exist; and what is
scheduled, run in order against a bare repository of git, a server of S3 and a Hub."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import projects
from foundry.base import files
from tests.support.fork_server import ForkServer
from tests.support.hub_server import Hub
from tests.support.pipeline import ran
from tests.support.projects import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TOKEN = "hf_" + "w" * 34


def test_the_form_is_right() -> None:
    command = ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_steps_exist_and_rights_are_few(path: Path) -> None:
    text = path.read_text()
    raw = yaml.safe_load(text)
    for used in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", used), used
    assert raw["permissions"] == {"contents": "read"}
    makefile = (ROOT / "Makefile").read_text()
    commands = [step["run"] for job in raw["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands
    for job in raw["jobs"].values():
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    for command in commands:
        verb, name = command.split()
        assert (verb == "make" and f"\n{name}:" in makefile) or (ROOT / name).is_file(), command


def test_what_runs_code_of_models_may_write_nowhere() -> None:
    """The build hands over a file; another job, which runs nothing of it, has the credentials to propose it."""
    raw = yaml.safe_load((ROOT / ".github/workflows/rebuild.yml").read_text())
    build, propose = raw["jobs"]["build"], raw["jobs"]["propose"]
    assert "env" not in raw  # which every job would have
    assert "env" not in build
    assert "env" not in propose
    assert build["permissions"] == {"contents": "read"}
    assert propose["permissions"] == {"contents": "write", "pull-requests": "write"}
    assert propose["needs"] == "build"
    assert build["environment"] != propose["environment"]
    secrets = {name for step in build["steps"] for name in re.findall(r"(?:secrets|github)\.(\w+)", str(step))}
    assert secrets
    assert all("READ" in name for name in secrets), secrets
    commands = {job: [step.get("run") for step in raw["jobs"][job]["steps"]] for job in raw["jobs"]}
    assert "make rebuild" in commands["build"]
    assert [command for command in commands["propose"] if command] == [
        "make .venv/installed", "make unbundle", "make propose",
    ]  # fmt: skip
    # A cache of packages that the build writes would be installed where the credentials are.
    assert all("cache" not in step.get("with", {}) for job in raw["jobs"].values() for step in job["steps"])


# --- The weeks -----------------------------------------------------------------------------------------------


class Week:
    """A repository of git, a store and a Hub, and a fresh clone for each run of what is scheduled."""

    def __init__(self, root: Path, hub: Hub, s3: str) -> None:
        self.root, self.hub, self.clones = root, hub, 0
        self.variables = {
            **os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN,
            "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1",
            "GIT_CONFIG_GLOBAL": str(root / "gitconfig"), "AWS_ENDPOINT_URL": s3,
        }  # fmt: skip
        (root / "gitconfig").write_text("[user]\nname = a\nemail = a@b\n[init]\ndefaultBranch = main\n")

    def run(self, folder: Path, *command: str, succeeds: bool = True) -> str:
        done = subprocess.run(
            command, cwd=folder, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        assert (done.returncode == 0) == succeeds, f"{command}: {done.stdout[-4000:]}"
        assert TOKEN not in done.stdout
        return done.stdout

    def clone(self) -> Path:
        self.clones += 1
        target = self.root / f"clone-{self.clones}"
        self.run(self.root, "git", "clone", "-q", str(self.root / "bare.git"), str(target))
        return target

    def make(self, folder: Path, target: str) -> str:
        return self.run(folder, "make", "-o", ".venv/installed", target)  # with the environment of this test

    def hand_over(self, built: Path) -> Path:
        """Another clone with the bundle of one that was built, as the job that proposes has it."""
        self.make(built, "bundle")
        target = self.clone()
        (target / "build").mkdir()
        shutil.copy(built / "build/rebuild.tar", target / "build")
        self.make(target, "unbundle")
        return target

    def git(self, *arguments: str) -> str:
        return self.run(self.root / "bare.git", "git", *arguments).strip()

    def merge(self) -> None:
        self.git("update-ref", "refs/heads/main", "refs/heads/rebuild")


@pytest.fixture
def week(tmp_path: Path, tiny_params: dict[str, Any], checkpoint: Path, s3: str) -> Iterator[Week]:
    # Stages are forks of a process that has imported the libraries, which read the Hub's address as they are imported.
    with Hub() as hub, ForkServer(HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.address) as forks:
        hub.add_user("builder", TOKEN, organizations=["org"])
        contents = {path.as_posix(): (checkpoint / path).read_bytes() for path in files.files_below(checkpoint)}
        hub.make_repo("org/source", contents)
        fresh_week = Week(tmp_path, hub, s3)
        fresh_week.variables["PATH"] = forks.path
        first = projects.copy_working_tree(tmp_path / "first")
        shutil.rmtree(first / ".git")
        raw: dict[str, Any] = yaml.safe_load(yaml.safe_dump(tiny_params))
        revision = hub.repos["org/source"].refs["main"]
        raw["models"] = {"tiny": {"source": {"hub": "org/source", "revision": revision}}}
        raw |= {"optimize": {}, "quantize": {}, "calibrate": {}, "calibrate_onnx": {}, "compress": {}}
        raw["variants"] = {name: {} for name in ("torch", "onnx", "openvino")}
        raw["validate"]["overrides"], raw["benchmark"]["settings"] = {}, {}
        raw["publish"] = {"to": "hub", "repos": {"tiny": "org/published"}, "licences": ["mit"]}
        (first / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
        fresh_week.run(tmp_path, "git", "init", "-q", "--bare", "bare.git")
        fresh_week.run(first, "git", "init", "-q")
        for options in (["add", "--default", "store", "s3://cache/weeks"], ["modify", "store", "verify", "true"],
                        ["modify", "store", "endpointurl", s3]):  # fmt: skip
            fresh_week.run(first, "dvc", "remote", *options)
        fresh_week.run(first, "git", "add", "-A")
        fresh_week.run(first, "git", "commit", "-qm", "first")
        fresh_week.run(first, "git", "push", "-q", str(tmp_path / "bare.git"), "main")
        yield fresh_week


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_weeks(week: Week) -> None:
    # The first: everything is built and proposed, and nothing goes to the Hub before the merge.
    clone = week.clone()
    assert "export@tiny-onnx" in ran(week.make(clone, "rebuild"))
    output = week.make(week.hand_over(clone), "propose")
    assert "artifacts/metrics/tiny/onnx.json" in output
    assert week.git("log", "--format=%s", "main..rebuild") == "Rebuild"
    assert week.git("diff", "--name-only", "main", "rebuild") == "dvc.lock"
    assert "org/published" not in week.hub.repos
    week.merge()
    published = week.make(week.clone(), "publish")
    assert ran(published) == {"publish@tiny"}
    assert "onnx/model.onnx" in week.hub.files("org/published", "refs/pr/1")

    # Nothing has changed: nothing is built, proposed or sent.
    clone = week.clone()
    assert ran(week.make(clone, "rebuild")) <= {"host"}
    assert "Nothing has changed." in week.make(clone, "propose")
    before = dict(week.hub.repos["org/published"].refs)
    assert "nothing was sent" in week.make(week.clone(), "publish")
    assert week.hub.repos["org/published"].refs == before

    # The source has moved: it is pinned again, built, and proposed; after the merge the pull request is updated.
    weights = bytearray(week.hub.files("org/source")["model.safetensors"])
    weights[len(weights) // 2] ^= 1  # the last ones are the pooler's, which is no part of the ONNX file
    moved = week.hub.push("org/source", {"model.safetensors": bytes(weights)})
    clone = week.clone()
    output = week.make(clone, "rebuild")
    assert "models.tiny.source (org/source)" in output
    assert {"download@tiny", "export@tiny-onnx", "validate@tiny-onnx", "report"} <= ran(output), output
    assert f"revision: {moved}" in (clone / "params.yaml").read_text()
    output = week.make(week.hand_over(clone), "propose")
    assert f"pinned: revision: {moved}" in output
    assert set(week.git("diff", "--name-only", "main", "rebuild").split()) == {"dvc.lock", "params.yaml"}
    week.merge()
    assert ran(week.make(week.clone(), "publish")) == {"publish@tiny"}
    assert week.hub.files("org/published", "refs/pr/1")["model.safetensors"] == bytes(weights)
    assert len(week.hub.repos["org/published"].discussions) == 1
