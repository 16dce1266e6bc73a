"""compare: what got slower or worse between two machines or two revisions, and nothing that is noise."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.commands import compare
from foundry.reporting import differences
from foundry.ui import deciding, version_history
from foundry.ui.workspaces import Workspace
from tests.support.results import benchmark, noisy, record, validation


def side(name: str, speed: dict[str, Any], closeness: dict[str, Any]) -> differences.Side:
    validations: Any = {variant: validation(variant, mean=mean) for variant, mean in closeness.items()}
    measured: Any = benchmark(name, {"torch": record(1.0), **speed})
    return {"name": name, "benchmark": measured, "validations": validations}


def verdicts(rows: list[differences.Difference], what: str) -> dict[str, str]:
    return {row["variant"]: row["verdict"] for row in rows if row["what"] == what}


def test_what_changed_is_named_and_noise_is_not() -> None:
    before = side(
        "old",
        {"same": record(1.5), "slower": record(2.0), "faster": record(1.0), "noisy": noisy(1.5), "gone": record(1.0)},
        {"same": 0.999, "slower": 0.999, "faster": 0.99, "noisy": 0.999, "gone": 0.9},
    )
    after = side(
        "new",
        {"same": record(1.49), "slower": record(1.2), "faster": record(2.0), "noisy": noisy(1.4), "new": record(1.0)},
        {"same": 0.99901, "slower": 0.99, "faster": 0.999, "noisy": 0.999, "new": 0.9},
    )
    rows = differences.differences(before, after)
    speed = verdicts(rows, "short texts in batches")
    assert speed == {
        "same": "same", "slower": "slower", "faster": "faster", "noisy": "same", "gone": "gone", "new": "new",
    }  # fmt: skip
    closeness = verdicts(rows, "closeness")
    assert closeness == {
        "same": "same", "slower": "worse", "faster": "better", "noisy": "same", "gone": "gone", "new": "new",
    }  # fmt: skip
    row = next(row for row in rows if row["variant"] == "slower" and row["what"] == "short texts in batches")
    assert row["before"].startswith("2.00×")


def test_a_verdict_that_changed_counts_more_than_the_cosine() -> None:
    passed, failed = validation("x", mean=0.99), validation("x", "failed", mean=0.999)
    assert differences.closeness_verdict(passed, failed) == "worse"  # type: ignore[arg-type]
    assert differences.closeness_verdict(failed, passed) == "better"  # type: ignore[arg-type]


def test_too_few_rounds_are_no_verdict() -> None:
    once: Any = {"median": 2.0, "low": None, "high": None}
    assert differences.speed_verdict(once, {"median": 1.0, "low": 0.9, "high": 1.1}) == "too few rounds"


@pytest.fixture
def repository(project: Callable[..., Path], two_revisions: Path) -> Path:
    """The folder of this test as that repository."""
    return Path(shutil.copytree(two_revisions, project(), symlinks=True, dirs_exist_ok=True))


@pytest.fixture(scope="module")
def two_revisions(tmp_path_factory: pytest.TempPathFactory, forks_in_module: None) -> Path:
    """A git and DVC repository with two revisions of the tiny model's results; the second is slower and closer."""
    root = tmp_path_factory.mktemp("two-revisions")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}

    def run(*command: str) -> None:
        subprocess.run(command, cwd=root, check=True, capture_output=True, env=environment)

    run("git", "init", "--quiet")
    run("git", "config", "user.email", "someone@example.org")
    run("git", "config", "user.name", "Someone")
    run("dvc", "init", "--quiet")
    stage = {"cmd": "true", "outs": ["artifacts/benchmarks/tiny", "artifacts/validation/tiny"]}
    (root / "dvc.yaml").write_text(json.dumps({"stages": {"results": stage}}))
    for revision, speed, mean in (("v1", 2.0, 0.99), ("v2", 1.0, 0.999)):
        measured = {"torch": record(1.0), "onnx": record(speed)}
        files.write_json(root / "artifacts/benchmarks/tiny/here.json", benchmark("here", measured))
        files.write_json(root / "artifacts/validation/tiny/onnx.json", validation("onnx", mean=mean))
        run("dvc", "commit", "--force", "--quiet", "results")
        run("git", "add", "-A")
        run("git", "commit", "--quiet", "-m", revision)
        run("git", "tag", revision)
    return root


def test_two_revisions(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main("tiny", revision=["v1", "v2"], out=repository / "out.json", everything=False)
    rows = files.read_json(repository / "out.json")
    assert verdicts(rows, "long texts one by one") == {"onnx": "slower"}
    assert verdicts(rows, "closeness") == {"onnx": "better"}
    assert "slower" in capsys.readouterr().out


def test_two_revisions_on_the_page(repository: Path) -> None:
    """`foundry ui` offers the commits in which dvc.lock changed, and no other is taken."""
    workspace = Workspace(repository)
    (new, old) = [revision for _, revision in version_history.versions(workspace)]
    rows = deciding.compare_versions(workspace, "tiny", old, new)
    assert {row["verdict"] for row in rows if row["what"] == "closeness"} == {"better"}
    assert {row["verdict"] for row in rows if row["what"] == "long texts one by one"} == {"slower"}
    for revision in ("v9", "--out=/tmp/x", "HEAD", None):
        with pytest.raises(FoundryError, match="is no version of this project"):
            deciding.compare_versions(workspace, "tiny", old, revision)
    with pytest.raises(FoundryError, match="other"):
        deciding.compare_versions(workspace, "../other", old, new)


def test_two_hosts(repository: Path) -> None:
    other = benchmark("there", {"torch": record(1.0), "onnx": record(3.0)})
    files.write_json(repository / "artifacts/benchmarks/tiny/there.json", other)
    compare.main("tiny", host=["here", "there"], out=repository / "out.json", everything=True)
    assert verdicts(files.read_json(repository / "out.json"), "short texts in batches") == {"onnx": "faster"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"revision": ["v1", "v9"]}, "revision v9"),
        ({"revision": ["v1"]}, "got 1 revisions and 0 hosts"),
        ({"host": ["here", "moon"]}, "no benchmark of host moon; there are here, old"),
        ({"host": ["here", "old"]}, "old: its benchmark was written by an earlier version"),
    ],
)
def test_what_cannot_be_compared_is_an_error(repository: Path, arguments: dict[str, Any], message: str) -> None:
    files.write_json(repository / "artifacts/benchmarks/tiny/old.json", {"host": "old", "batch_size": 8})
    with pytest.raises(FoundryError, match=message):
        compare.main("tiny", **{"revision": None, "host": None, "everything": False, "out": None, **arguments})
