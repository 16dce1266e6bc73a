"""audit and prune: a flipped byte is found wherever it is, and what is left over goes; with a server of S3."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from foundry.base.errors import FoundryError
from foundry.tracking import lock
from tests.support.git import AUTHOR
from tests.support.projects import ROOT

PIPELINE = """
stages:
  copy:
    matrix:
      name: ${models}
    cmd: python build.py artifacts/${item.name}
    deps:
    - source.txt
    outs:
    - artifacts/${item.name}
    - artifacts/${item.name}.txt
    - artifacts/${item.name}-fresh.txt:
        cache: false
"""
BUILD = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
(folder / "a.txt").write_text(pathlib.Path("source.txt").read_text())
folder.with_suffix(".txt").write_text(folder.name)
folder.with_name(f"{folder.name}-fresh.txt").write_text("not in the cache")
"""

pytestmark = pytest.mark.usefixtures("forks_in_module")


def run(project: Path, *command: str, succeeds: bool = True) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    environment |= {"AWS_DEFAULT_REGION": "us-east-1", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == succeeds, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def write_params(project: Path, *models: str) -> None:
    """The committed params.yaml, with other models."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["models"] = {name: {"source": {"path": "somewhere"}} for name in models}
    (project / "params.yaml").write_text(yaml.safe_dump(raw))


def check(project: Path, *options: str, succeeds: bool = True) -> str:
    return run(project, "foundry", "audit", *options, succeeds=succeeds)


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory, s3: str, forks_in_module: None) -> Path:
    """A small pipeline that was built, pushed and committed."""
    root = tmp_path_factory.mktemp("pushed") / "project"
    (root / "artifacts").mkdir(parents=True)
    (root / "artifacts/README.md").write_text("kept")
    (root / "source.txt").write_text("source")
    write_params(root, "first", "second")
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "build.py").write_text(BUILD)
    run(root, "git", "init", "-q")
    run(root, "dvc", "init", "-q")
    run(root, "dvc", "remote", "add", "-d", "store", "s3://cache/project")
    run(root, "dvc", "remote", "modify", "store", "endpointurl", s3)
    run(root, "dvc", "remote", "modify", "store", "verify", "true")
    run(root, "dvc", "config", "cache.type", "copy")
    run(root, "dvc", "repro")
    run(root, "dvc", "push")
    run(root, "git", "add", "-A")
    run(root, "git", *AUTHOR, "commit", "-qm", "built")
    return root


@pytest.fixture
def project(tmp_path: Path, pushed: Path) -> Path:
    return shutil.copytree(pushed, tmp_path / "project")


def flip(path: Path) -> None:
    """Change one bit, and nothing that DVC looks at: neither the size nor the time."""
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cached(project: Path, digest: str) -> Path:
    return project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def test_everything_is_good(project: Path) -> None:
    assert "6 outputs: good" in check(project)


def test_a_flipped_byte_in_the_workspace(project: Path) -> None:
    run(project, "dvc", "status")
    flip(project / "artifacts/first/a.txt")
    assert "up to date" in run(project, "dvc", "status")  # DVC does not see it
    output = check(project, succeeds=False)
    assert "workspace: artifacts/first is altered" in output
    assert "1 in the workspace, 0 in the cache, 0 in the remote" in output
    shutil.rmtree(project / "artifacts/first")
    assert "workspace: artifacts/first is missing" in check(project, succeeds=False)
    run(project, "dvc", "checkout", "--force", "artifacts/first")
    check(project)


def test_a_fresh_clone_before_its_last_stage_runs_again(project: Path) -> None:
    (project / "artifacts/first-fresh.txt").unlink()  # which DVC does not keep
    assert "outputs: good" in check(project)
    flip(project / "artifacts/first/a.txt")
    assert "good" in check(project, "--without", "copy")
    check(project, succeeds=False)


def test_a_flipped_byte_in_the_cache(project: Path) -> None:
    path = cached(project, lock.digest(project / "artifacts/first/a.txt"))
    flip(path)
    output = check(project, succeeds=False)
    assert "artifacts/first, is altered" in output
    assert "0 in the workspace, 2 in the cache, 0 in the remote" in output  # both folders hold the file
    path.unlink()
    assert "is missing" in check(project, succeeds=False)
    run(project, "dvc", "fetch", "artifacts/first")
    check(project)


def test_a_flipped_byte_in_the_remote(project: Path, s3: str) -> None:
    import boto3

    client = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    digest = lock.digest(project / "artifacts/second.txt")
    key = f"project/files/md5/{digest[:2]}/{digest[2:]}"
    good = client.get_object(Bucket="cache", Key=key)["Body"].read()
    client.put_object(Bucket="cache", Key=key, Body=bytes([good[0] ^ 1]) + good[1:])
    assert "0 in the workspace, 0 in the cache, 1 in the remote" in check(project, succeeds=False)
    check(project, "--skip-remote")
    # `verify`: what is fetched is hashed, and the damaged object is not taken for the good one.
    shutil.rmtree(project / ".dvc/cache/files")
    (project / "artifacts/second.txt").unlink()
    assert "artifacts/second.txt" in run(project, "dvc", "pull", succeeds=False)
    assert not (project / "artifacts/second.txt").exists()
    client.delete_object(Bucket="cache", Key=key)
    (project / "artifacts/second.txt").write_bytes(good)
    run(project, "dvc", "commit", "--force")
    run(project, "dvc", "push")
    check(project)


def test_without_a_lock(tmp_path: Path) -> None:
    assert "error: dvc.lock is not there" in check(tmp_path, succeeds=False)
    (tmp_path / "dvc.lock").write_text("stages: [")
    with pytest.raises(FoundryError, match=r"dvc\.lock is damaged"):
        lock.outputs(tmp_path / "dvc.lock")


def test_what_is_no_longer_in_params_is_left_to_prune(project: Path) -> None:
    write_params(project, "second")
    shutil.rmtree(project / "artifacts/first")
    output = check(project, "--skip-remote")
    assert "not checked: artifacts/first, artifacts/first-fresh.txt, artifacts/first.txt" in output
    assert "3 outputs: good" in output
    flip(project / "artifacts/second/a.txt")
    check(project, "--skip-remote", succeeds=False)


def prune(project: Path, *options: str, succeeds: bool = True) -> str:
    return run(project, "foundry", "prune", *options, succeeds=succeeds)


def everything(project: Path) -> dict[str, bytes]:
    """Every file that prune could remove, with its bytes; but for what a command writes about itself."""
    paths = [*(project / "artifacts").rglob("*"), *(project / ".dvc/cache").rglob("*"), project / "dvc.lock"]
    return {str(path): path.read_bytes() for path in paths if path.is_file() and path.name != "runs.jsonl"}


def test_prune(project: Path) -> None:
    write_params(project, "first")
    (project / "artifacts/runs.jsonl").write_text("kept")
    gone = cached(project, lock.digest(project / "artifacts/second.txt"))
    before = everything(project)
    for options in ((), ("--dry-run",)):
        output = prune(project, *options)
        assert "would be removed: artifacts/second\n" in output
        assert "would be removed: copy@second in dvc.lock\n" in output
        assert "nothing was removed: `foundry prune --yes`" in output
        assert everything(project) == before
    output = prune(project, "--yes")
    gone_too = [f"removed: artifacts/{name}\n" for name in ("second", "second.txt", "second-fresh.txt")]
    for line in (*gone_too, "removed: copy@second in dvc.lock"):
        assert line in output
    assert {path.name for path in (project / "artifacts").iterdir()} >= {
        "first",
        "first.txt",
        "README.md",
        "runs.jsonl",
    }
    assert not (project / "artifacts/second").exists()
    assert "copy@second" not in (project / "dvc.lock").read_text()
    assert gone.exists()  # the last commit needs it
    check(project)
    assert "up to date" in run(project, "dvc", "status")
    run(project, "git", "add", "-A")
    run(project, "git", *AUTHOR, "commit", "-qm", "one less", "--amend")
    prune(project, "--yes")
    assert not gone.exists()
    check(project)


def test_prune_removes_nothing_where_params_or_lock_are_wrong(project: Path) -> None:
    good, locked = (project / "params.yaml").read_text(), (project / "dvc.lock").read_text()

    def refuses(name: str, text: str, message: str) -> None:
        (project / name).write_text(text)
        before = everything(project)
        assert message in prune(project, "--yes", succeeds=False)
        assert everything(project) == before
        for path, content in (("params.yaml", good), ("dvc.lock", locked)):
            (project / path).write_text(content)

    refuses("params.yaml", "models: {}\n", "error: params.yaml has ")
    write_params(project, "third")
    refuses("params.yaml", (project / "params.yaml").read_text(), "so nothing is removed")
    refuses("dvc.lock", "", "error: dvc.lock is damaged, or was cut off")
    refuses("dvc.lock", f"<<<<<<< HEAD\n{locked}", "error: dvc.lock has git's conflict marks (line 1)")
    (project / "dvc.yaml").unlink()
    before = everything(project)
    assert "so nothing is removed" in prune(project, "--yes", succeeds=False)
    assert everything(project) == before
