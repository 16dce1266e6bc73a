"""What somebody has chosen or typed on the page stays, whatever else is answered; without a browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.ui import choosing, editing, jobs, publishing
from foundry.ui.workspaces import Workspace
from tests.support import results
from tests.support.projects import ROOT

KEPT: dict[str, Any] = {"__type__": "update"}  # what an answer says of a component that it leaves as it is
MEASURED = {"torch": 1, "onnx": 2, "onnx_qint8_avx512": 3}


class Page:
    """The page of a project, whose answers are asked for by the components that call for them."""

    def __init__(self, workspace: Workspace) -> None:
        from foundry.ui import page

        self.workspace = workspace
        self.blocks = page.build(lambda request: workspace, False, False)

    def ids(self, name: str) -> list[int]:
        """The components of an `elem_id`, or the tab of this name."""
        blocks = self.blocks.blocks.values()
        return [
            block._id
            for block in blocks
            if block.elem_id == name.replace("_", "-") or getattr(block, "id", None) == name
        ]

    def answer(self, name: str, event: str, /, **values: Any) -> dict[str, Any]:
        """What an event of a component answers to the values of others; others of its inputs are as at first."""
        [target] = self.ids(name)
        [called] = [call for call in self.blocks.fns.values() if (target, event) in call.targets and call.fn]
        given = [values.get(named(block), getattr(block, "value", None)) for block in called.inputs]
        answers = called.fn(*given, None)
        return {named(block): plain(value) for block, value in zip(called.outputs, answers, strict=True)}


def named(block: Any) -> str:
    """The name of a component here: of its elem_id, or for one that is hidden its label's or its number."""
    return str(block.elem_id or block._id).replace("-", "_")


def plain(value: Any) -> Any:
    """An answer's value; of a component, what it changes."""
    return {**value.constructor_args, **KEPT} if hasattr(value, "constructor_args") else value


@pytest.fixture
def workspace(project: Callable[..., Path]) -> Workspace:
    """A project of two models, of which one is measured."""
    pytest.importorskip("gradio")
    root = project(lambda raw: raw["models"].update(other=dict(raw["models"]["tiny"])))
    (root / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    for variant in MEASURED:
        files.write_json(root / f"artifacts/validation/tiny/{variant}.json", results.validation(variant))
    records = {variant: results.record(speed) for variant, speed in MEASURED.items()}
    files.write_json(root / "artifacts/benchmarks/tiny/host.json", results.benchmark("host", records))
    files.write_json(root / "artifacts/host.json", {"host": "host"})
    return Workspace(root)


@pytest.fixture
def page(workspace: Workspace) -> Page:
    return Page(workspace)


def test_no_choice_is_dropped_while_another_one_is_answered(page: Page) -> None:
    calls = [call for call in page.blocks.fns.values() if call.fn]
    modes = {call.trigger_mode for call in calls if {event for _, event in call.targets} & {"input", "release"}}
    assert modes == {"always_last"}
    [picture] = [call.trigger_mode for call in calls if (page.ids("dag")[0], "click") in call.targets]
    assert picture == "multiple"


def test_a_tab_that_is_opened_keeps_what_was_decided(page: Page) -> None:
    chosen = {"decide_model": "tiny", "group": "long", "left": "onnx", "right": "torch", "budget": 0.01}
    answer = page.answer("decide", "select", **chosen)
    assert all("value" not in answer[name] for name in ("decide_model", "group", "left", "right"))
    assert {"budget", "use", "sentences"}.isdisjoint(answer)
    first = page.answer("decide", "select")
    assert [first[name]["value"] for name in ("decide_model", "group", "left", "right")] == [
        "tiny", "short", "torch", "onnx_qint8_avx512"
    ]  # fmt: skip


def test_what_cannot_be_recommended_hides_no_model(page: Page) -> None:
    """Why not is said where the advice stands, and the rest is shown."""
    use = "Requests at a load: the time that 95% take"
    answer = page.answer("decide_model", "input", decide_model="tiny", use=use, group="short")
    assert "no requests were measured" in answer["advice"]
    assert "onnx_qint8_avx512" in answer["verdicts"]
    assert "no verdicts yet" in page.answer("decide_model", "input", decide_model="other", use=use)["verdicts"]


def test_a_model_that_is_gone_is_said_to_be(page: Page) -> None:
    answer = page.answer("show", "click", decide_model="gone")
    assert "gone is no longer in the project" in answer["decide_message"]
    assert answer["decide_model"]["value"] == "tiny"
    answer = page.answer("publish", "select", publish_model="gone", repo="org/of-gone")
    assert (answer["publish_model"]["value"], answer["repo"], answer["shown_model"]) == ("tiny", "", "tiny")


def test_a_list_in_place_of_a_model_is_no_model(page: Page) -> None:
    """Gradio's dropdown lets one through."""
    answer = page.answer("publish", "select", publish_model=["tiny"])
    assert (answer["publish_model"]["value"], answer["shown_model"]) == ("tiny", "tiny")
    assert page.answer("decide", "select", decide_model=["tiny"])["decide_model"]["value"] == "tiny"


def test_a_repository_that_was_typed_stays(page: Page) -> None:
    answer = page.answer("publish", "select", publish_model="other", repo="org/typed")
    assert "value" not in answer["publish_model"]
    assert answer["repo"] == KEPT


@pytest.mark.parametrize("button", ["preview_hub", "send"])
def test_a_model_is_not_sent_to_the_repository_of_another(
    page: Page, monkeypatch: pytest.MonkeyPatch, button: str
) -> None:
    """A click may come before the answer to the choice of another model."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(publishing, "to_hub", lambda workspace, *values, dry_run: asked.append(values))
    early = {"publish_model": "other", "repo": "org/tiny", "shown_model": "tiny"}
    assert "nothing is sent" in page.answer(button, "click", **early)["publish_message"]
    assert asked == []
    shown = page.answer("publish_model", "input", publish_model="other")["shown_model"]
    page.answer(button, "click", publish_model="other", repo="org/other", shown_model=shown)
    assert asked == [("other", "org/other", True)]


def test_the_model_to_remove_is_chosen_each_time(page: Page, workspace: Workspace) -> None:
    first = page.answer("remove", "click", variants=[])
    assert "choose a model" in first["choose_message"]
    saved = page.answer("save-thresholds", "click", variants=["onnx"], remove_model="other", **sliders(workspace))
    assert "are saved" in saved["choose_message"]
    assert "value" not in saved["remove_model"]
    assert "value" not in saved["variants"]
    removed = page.answer("remove", "click", variants=["onnx"], remove_model="other")
    assert removed["remove_model"]["value"] is None


def sliders(workspace: Workspace) -> dict[str, float]:
    """The values of the sliders as they are in params.yaml."""
    values = choosing.threshold_values(editing.read(workspace), "int8_dynamic")
    return {f"slider_{key}": value for key, value in zip(choosing.SLIDERS, values, strict=True)}


def test_a_look_keeps_the_name_that_was_typed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    found = {"source": "org/big-model", "revision": None, "licence": "mit", "kind": "x", "architecture": "x",
             "max_seq_length": 1, "download_mb": 1.0, "weights_mb": 1.0, "runs_code": False, "refused": None,
             "skipped": {}}  # fmt: skip

    def look(workspace: Workspace, source: str, revision: str) -> Any:
        asked.append((source, revision))
        return found

    monkeypatch.setattr(choosing, "look", look)
    assert page.answer("look", "click", name="typed", revision="v2")["name"] == KEPT
    assert page.answer("look", "click", name="")["name"] == "big-model"
    assert asked[0] == (editing.SAMPLE, "")  # which has no revisions


def test_thresholds_are_saved_for_the_family_that_they_show(page: Page, workspace: Workspace) -> None:
    before = workspace.params.read_bytes()
    answer = page.answer("save-thresholds", "click", family="fp32", **sliders(workspace))
    assert "still the thresholds of int8_dynamic" in answer["choose_message"]
    assert workspace.params.read_bytes() == before


def test_the_first_tab_shows_the_project_as_it_is_by_now(page: Page, project: Callable[..., Path]) -> None:
    weights = {named(block): 91.0 for block in page.blocks.blocks.values() if type(block).__name__ == "Number"}
    project()  # another browser took a model away
    answer = page.answer("choose", "select", variants=["onnx"], remove_model="other", **weights)
    assert "other" not in answer["models"]
    assert (answer["remove_model"]["value"], "value" in answer["variants"]) == (None, False)
    assert answer["slider_mean_cosine"] == KEPT
    assert "torch" in page.answer("choose", "select", variants=[])["variants"]["value"]  # the page is being opened


def test_a_variant_that_has_gone_is_no_longer_chosen(page: Page, workspace: Workspace) -> None:
    """Gradio refuses every click that sends a choice which is not offered."""
    known = editing.read(workspace).variant_names
    weights = {named(block): 91.0 for block in page.blocks.blocks.values() if type(block).__name__ == "Number"}
    answer = page.answer("choose", "select", variants=["onnx", "gone"], **weights)
    assert answer["variants"]["value"] == ["onnx"]
    assert [name for _, name in answer["variants"]["choices"]] == known


def test_what_this_version_does_not_know_is_taken_out(page: Page, workspace: Workspace) -> None:
    """As a shared host's new code leaves a user's params.yaml: the page says it, and mends it."""
    known = workspace.params.read_text()
    assert "has no key" in page.answer("mend", "click")["choose_message"]
    workspace.params.write_text(f"{known}later:\n  a: 1\n")
    load = next(call for call in page.blocks.fns.values() if page.ids("choose-message")[0] in
                [block._id for block in call.outputs] and ("load" in {event for _, event in call.targets}))  # fmt: skip
    assert "later" in load.fn(None)[0]
    answer = page.answer("mend", "click")
    assert "later: taken out" in answer["choose_message"]
    assert "tiny" in answer["models"]
    assert workspace.params.read_text() == known


def test_another_column_keeps_the_name_of_the_texts(page: Page) -> None:
    [column], [name] = page.ids("column"), page.ids("texts-name")
    [call] = [call for call in page.blocks.fns.values() if (column, "input") in call.targets]
    assert name not in {block._id for block in call.outputs}


@pytest.mark.parametrize("tab", ["watch", "publish"])
def test_what_was_said_of_a_run_goes_when_it_has_ended(page: Page, workspace: Workspace, tab: str) -> None:
    record = {"command": ["foundry", "build"], "what": "build", "started": 1.0, "ended": 2.0, "exit_code": 0,
              "stopped": False}  # fmt: skip
    files.write_json(workspace.state / "jobs/20260101T000000-00000000" / jobs.RECORD, record)
    runs = {named(block): True for block in page.blocks.blocks.values() if type(block).__name__ == "Checkbox"}
    assert page.answer(tab, "select", **runs)[f"{tab}_message"] == ""
    assert page.answer(tab, "select")[f"{tab}_message"] == KEPT


def test_a_click_on_a_stage_says_that_there_is_no_log_yet(page: Page) -> None:
    chosen = {name: "download@tiny" for block in page.blocks.blocks.values() if (name := named(block)).isdigit()}
    assert "nothing was started here yet" in page.answer("watch", "select", **chosen)["log"]
    assert page.answer("watch", "select")["log"] == ""


def test_a_run_that_failed_is_said_of_its_own_model(page: Page, workspace: Workspace) -> None:
    path = workspace.state / "jobs/20260101T000000-00000000" / jobs.RECORD
    record = {"command": ["dvc", "repro", "publish@other"], "what": "publish other to a folder", "started": 1.0,
              "ended": 2.0, "exit_code": 1, "stopped": False}  # fmt: skip
    files.write_json(path, record)
    assert "it failed" in page.answer("publish_model", "input", publish_model="other")["publish_state"]
    assert "it failed" not in page.answer("publish_model", "input", publish_model="tiny")["publish_state"]
    files.write_json(path, {**record, "stopped": True})
    assert "it was stopped<" in page.answer("publish_model", "input", publish_model="other")["publish_state"]
    files.write_json(path, {**record, "stopped": True, "why_stopped": "a run may take 2 hours"})
    stopped = page.answer("publish_model", "input", publish_model="other")["publish_state"]
    assert "it was stopped: a run may take 2 hours" in stopped
