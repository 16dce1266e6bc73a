"""Changes of params.yaml from the page: checked as a whole, and what a browser may send is not trusted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from foundry.base.errors import FoundryError
from foundry.ui import budgets, choosing, editing, jobs, uploads
from foundry.ui.workspaces import Workspace
from tests.support.projects import ROOT


@pytest.fixture
def workspace(project: Callable[..., Path]) -> Workspace:
    return Workspace(project())


def test_one_number_changes_and_every_other_byte_stays() -> None:
    text = (ROOT / "params.yaml").read_text()
    changed = editing.with_value(text, ("validate", "thresholds", "int8_dynamic", "mean_cosine"), 0.985)
    assert changed != text
    assert changed.replace("{mean_cosine: 0.985, p5_cosine: 0.97", "{mean_cosine: 0.98, p5_cosine: 0.97") == text
    assert editing.with_value(text, ("publish", "dry_run"), True).count("dry_run: true") == 1
    assert "repos: {minilm: org/name}" in editing.with_value(text, ("publish", "repos", "minilm"), "org/name")


def test_a_model_is_taken_out_and_nothing_else() -> None:
    text = (ROOT / "params.yaml").read_text()
    two = text.replace("models:\n", "models:\n  other: # a comment\n    source: {path: x}\n    skip: [onnx_O4]\n", 1)
    assert editing.without_entry(two, ["models"], "other") == text
    with pytest.raises(FoundryError, match="only model"):
        editing.without_entry(text, ["models"], "minilm")
    flow = "publish: {repos: {a: x/a, b: x/b, c: x/c}}\n"
    assert yaml.safe_load(editing.without_entry(flow, ["publish", "repos"], "b")) == {
        "publish": {"repos": {"a": "x/a", "c": "x/c"}}
    }
    assert yaml.safe_load(editing.without_entry(flow, ["publish", "repos"], "a"))["publish"]["repos"].keys() == {
        "b", "c",
    }  # fmt: skip


def test_unknown_keys_are_taken_out_wherever_they_are(workspace: Workspace) -> None:
    """In a source, which is one of several kinds; alone in their mapping; and when they could be a token."""
    raw = yaml.safe_load(workspace.params.read_text())
    for source in ({"hub": "org/name", "revision": "a" * 40}, {"path": "model"}):
        raw["models"]["tiny"]["source"] = source
        raw["validate"]["overrides"] = {}
        known = yaml.safe_dump(raw, default_flow_style=False)
        token = "hf_" + "aB3" * 12
        text = known.replace("    source:\n", "    source:\n      later: 1\n      more: |\n        a text\n", 1)
        text = text.replace("  overrides: {}\n", f"  overrides:\n    onnx:\n      {token}: 1 # why\n", 1)
        workspace.params.write_text(text)
        taken = editing.remove_unknown(workspace)
        assert taken[:2] == ["models.tiny.source.later", "models.tiny.source.more"]
        assert taken[2].startswith("validate.overrides.onnx.a text of ")
        expected = {**raw, "validate": {**raw["validate"], "overrides": {"onnx": {}}}}
        assert yaml.safe_load(workspace.params.read_text()) == expected
        assert "{} # why" in workspace.params.read_text()


def test_what_would_be_wrong_is_not_written(workspace: Workspace) -> None:
    before = workspace.params.read_bytes()
    with pytest.raises(FoundryError, match="mean_cosine"):
        editing.set_values(workspace, {("validate", "thresholds", "fp32", "mean_cosine"): 7})
    with pytest.raises(FoundryError, match="expected"):
        choosing.save_thresholds(workspace, "fp32", [7, 0.9, 0.9, 0.9])
    with pytest.raises(FoundryError, match="no family"):
        choosing.save_thresholds(workspace, "../x", [1, 1, 1, 1])
    assert workspace.params.read_bytes() == before


def test_every_writer_of_settings_waits_for_a_run(workspace: Workspace, tmp_path: Path) -> None:
    texts = tmp_path / "own.txt"
    texts.write_text("a\nb\n")
    budget = {"mean_cosine": 0.999, "min_cosine": 0.99}
    writers: dict[str, Callable[[], object]] = {
        "thresholds": lambda: choosing.save_thresholds(workspace, "fp32", [0.9, 0.9, 0.9, 0.9]),
        "values": lambda: editing.set_values(workspace, {("validate", "batch_size"): 8}),
        "model": lambda: editing.add_model(workspace, "mine", str(tmp_path), "", []),
        "removal": lambda: editing.remove_model(workspace, "tiny"),
        "texts": lambda: uploads.keep(workspace, texts, "own", "text"),
        "budget": lambda: budgets.add(workspace, "OpenVINO, static int8", "999", budget, 60),
    }
    before = workspace.params.read_bytes()
    with jobs.idle(workspace):  # as a run, or another click, holds it
        for write in writers.values():
            with pytest.raises(FoundryError, match="something runs here: change settings when"):
                write()
    assert workspace.params.read_bytes() == before
    writers["values"]()
    assert workspace.params.read_bytes() != before


@pytest.mark.parametrize("name", ["../x", "a/b", "--help", "-x", "a.b", "", "a b", "<b>", "x" * 3 + "\n", None, ["a"]])
def test_a_name_is_a_slug(name: Any) -> None:
    with pytest.raises(FoundryError):
        editing.require_slug(name)


@pytest.mark.parametrize(
    "source", ["/etc", "../other", "~", "package:os/x", "--skip", "org/name\n", "", "a/b/c", "artifacts/models"]
)
def test_on_a_shared_host_a_model_comes_from_the_hub(tmp_path: Path, source: str) -> None:
    (tmp_path / "artifacts/models").mkdir(parents=True)
    with pytest.raises(FoundryError):
        editing.require_source(Workspace(tmp_path, shared=True), f"{source}\x00" if source.endswith("\n") else source)
    assert editing.require_source(Workspace(tmp_path, shared=True), "org/name") == "org/name"
    assert editing.require_source(Workspace(tmp_path, shared=True), editing.SAMPLE) == editing.SAMPLE


def test_models_and_variants_are_those_of_params(workspace: Workspace) -> None:
    params = editing.read(workspace)
    with pytest.raises(FoundryError, match="is no model"):
        editing.require_model(workspace, "../../etc")
    with pytest.raises(FoundryError, match="is no variant"):
        editing.require_variants(params, ["../torch"])
    assert editing.require_variants(params, ["onnx", "torch"]) == ["torch", "onnx"]
    assert editing.require_variants(params, "torch") == []


def test_a_build_of_the_page_sends_nothing(workspace: Workspace) -> None:
    params = editing.read(workspace)
    editing.require_nothing_is_sent(params)

    def with_publish(**changes: Any) -> Any:
        return params.model_copy(update={"publish": params.publish.model_copy(update=changes)})

    editing.require_nothing_is_sent(with_publish(to="hub", dry_run=True))
    with pytest.raises(FoundryError, match="a build would send what it publishes"):
        editing.require_nothing_is_sent(with_publish(to="hub", dry_run=False))
