"""Damage between validation and publishing: an error that names it, for a folder and the Hub, and never a deletion."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.publishing import bundle, card, provenance
from foundry.tracking import chain, lock
from foundry.variants import variant_folder
from tests.support.hub_server import Hub
from tests.support.projects import ROOT
from tests.support.publishing import PULL, REPO, THEIRS, Project, accept, fail

Damage = Callable[[Project], object]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def edit(project: Project, variant: str, /, **changes: object) -> None:
    path = project.validation / f"{variant}.json"
    files.write_json(path, {**files.read_json(path), **changes})


def link_folder(project: Project) -> None:
    folder = project.folder / "onnx/onnx"
    shutil.move(folder, project.root / "elsewhere")
    folder.symlink_to(project.root / "elsewhere")


def another_tokenizer(project: Project) -> None:
    flip(project.folder / "onnx/tokenizer.json")
    accept(project.root, "onnx")


def other_settings(project: Project) -> None:
    name = "sentence_bert_config.json"
    settings = {**files.read_json(project.folder / "onnx" / name), "do_lower_case": True}
    files.write_json(project.folder / "onnx" / name, settings)
    accept(project.root, "onnx")


def extra_file(project: Project) -> None:
    (project.folder / "onnx/onnx/weights_0").write_bytes(b"1")
    accept(project.root, "onnx")


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a flipped byte of a graph": (
        lambda project: flip(project.folder / "onnx_O2/onnx/model_O2.onnx"),
        r"onnx_O2: its files are not those that were checked \(onnx/model_O2\.onnx\)",
    ),
    "a flipped byte of torch's weights": (
        lambda project: flip(project.folder / "torch/model.safetensors"), "torch: its files are not",
    ),
    "another tokenizer": (lambda project: flip(project.folder / "torch/tokenizer.json"), r"\(tokenizer\.json\)"),
    "no graph": (
        lambda project: (project.folder / "openvino/openvino/openvino_model.bin").unlink(), r"openvino_model\.bin",
    ),
    "no folder": (lambda project: shutil.rmtree(project.folder / "onnx"), "onnx: .* is not there"),
    "no verdict": (lambda project: (project.validation / "onnx.json").unlink(), "onnx: was never checked"),
    "half a verdict": (
        lambda project: (project.validation / "onnx.json").write_text("{"), r"onnx\.json is damaged",
    ),
    "an empty verdict": (lambda project: (project.validation / "onnx.json").write_text("{}"), "is damaged"),
    "a verdict of another kind": (lambda project: (project.validation / "onnx.json").write_text("[]"), "is damaged"),
    "the verdict on another variant": (lambda project: edit(project, "onnx", variant="torch"), "the verdict on torch"),
    "no verdict in the verdict": (lambda project: edit(project, "onnx", verdict="fine"), "has no verdict"),
    "passed without checks": (lambda project: edit(project, "onnx", checks=[]), "says passed, and its checks do not"),
    "passed with a check that does not hold": (
        lambda project: edit(project, "onnx", checks=[
            {"check": "a", "value": 0.5, "threshold": 0.9, "relation": ">=", "passed": True, "interval": None}
        ]), "says passed, and its checks do not",
    ),
    "passed on processors with a check that does not hold there": (
        lambda project: edit(project, "onnx", processors={
            "vnni": {"verdict": "failed", "how": "measured", "checks": []},
            "avx2": {"verdict": "passed", "how": "simulated", "checks": [
                {"check": "mean_cosine", "value": 0.5, "threshold": 0.9, "relation": ">=", "passed": True,
                 "interval": None}
            ]},
        }), "says passed, and its checks do not",
    ),
    "passed, and on no processors": (
        lambda project: edit(project, "onnx", processors={
            family: {"verdict": "failed", "how": "measured", "checks": []} for family in ("vnni", "avx2")
        }), "says passed, and its checks do not",
    ),
    "failed, and nothing says why": (
        lambda project: edit(project, "onnx", verdict="failed"), "says failed, and neither a check nor a reason does",
    ),
    "a planted skip": (
        lambda project: files.write_json(project.folder / "onnx/skipped.json", {"reason": "so"}), "says passed, and",
    ),
    "a verdict that it was skipped": (lambda project: edit(project, "onnx", verdict="skipped"), "says skipped, and"),
    "failed, on other bytes": (
        lambda project: (fail(project.root, "onnx"), flip(project.folder / "onnx/onnx/model.onnx")),
        "onnx: its files are not those",
    ),
    "a folder that is a link": (link_folder, "is a link to a folder"),
    "a tokenizer that torch does not have": (another_tokenizer, r"another tokenizer\.json than torch's"),
    "settings that torch does not have": (other_settings, r"another sentence_bert_config\.json than torch's"),
    "a file beside the graph that nothing publishes": (extra_file, "it has onnx/weights_0"),
    "a signature that came with the checkpoint": (
        lambda project: project.add("foundry.json.sig", b"1"), r"the checkpoint has a foundry\.json\.sig",
    ),
    "no row in the report": (
        lambda project: files.write_json(project.root / "report/report.json", {
            **files.read_json(project.root / "report/report.json"), "rows": [],
        }), "the report is not of the verdict on tiny, torch",
    ),
}  # fmt: skip


def relock(project: Project) -> None:
    """Let dvc.lock be of what there is, so that it is not what finds the damage."""
    recorded = yaml.safe_load(Path("dvc.lock").read_text())
    for out in recorded["stages"]["all"]["outs"]:
        out["md5"] = lock.digest(Path(out["path"])) if Path(out["path"]).exists() else out["md5"]
    Path("dvc.lock").write_text(yaml.safe_dump(recorded))


def test_damage_is_an_error_and_deletes_nothing(prepared: Project, server: Hub) -> None:
    """All in one test, because what was published before is the same for each."""
    prepared.publish()
    before = server.files(REPO, PULL)
    folder = dict(variant_folder.hashes(prepared.root / "hub/tiny"))
    for name in ("models", "validation", "report"):
        shutil.copytree(prepared.root / name, prepared.root / "good" / name)
    for name, (damage, message) in DAMAGES.items():
        damage(prepared)
        for strict in (True, False):  # by dvc.lock as it was, and by what is checked here alone
            if not strict:
                relock(prepared)
            missing = [str(path) for path in (prepared.folder / "onnx",) if not path.exists()]
            with pytest.raises(FoundryError) as error:
                prepared.publish()
            if not strict and not missing and name != "no verdict":
                assert re.search(message, str(error.value)), (name, str(error.value))
            assert "\n" not in str(error.value)
        assert not prepared.receipt.exists()
        for part in ("models", "validation", "report"):
            shutil.rmtree(prepared.root / part)
            shutil.copytree(prepared.root / "good" / part, prepared.root / part)
        relock(prepared)
    assert server.files(REPO, PULL) == before
    assert len(server.repos[REPO].commits) == 2
    assert dict(variant_folder.hashes(prepared.root / "hub/tiny")) == folder


@pytest.mark.parametrize("name", ["a flipped byte of a graph", "no verdict", "another tokenizer", "a planted skip"])
def test_damage_is_an_error_of_a_folder(prepared: Project, name: str) -> None:
    damage, message = DAMAGES[name]
    prepared.settings = {"to": "folder"}
    prepared.build()
    Path("dvc.lock").unlink()
    damage(prepared)
    with pytest.raises(FoundryError, match=message):
        prepared.publish()
    assert not (prepared.root / "hub/tiny").exists()


# --- Between the check and the Hub ----------------------------------------------------------------------------


def after(monkeypatch: pytest.MonkeyPatch, module: object, name: str, then: Callable[..., object]) -> None:
    """Let something happen each time that a function has done its work."""
    function = getattr(module, name)

    def both(*arguments: object, **options: object) -> object:
        result = function(*arguments, **options)
        then(*arguments)
        return result

    monkeypatch.setattr(module, name, both)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "1_Pooling/config.json", "onnx/model_O2.onnx"])
def test_what_is_swapped_while_it_is_copied(
    prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def swap(source: Path, target: Path) -> None:
        if target.as_posix().endswith(f"/{name}"):
            flip(target)

    after(monkeypatch, files, "copy", swap)
    with pytest.raises(FoundryError, match=f"{name} changed while it was copied: nothing is published"):
        prepared.publish()
    assert server.requests == []


def test_what_is_swapped_after_it_was_copied(prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    after(monkeypatch, card, "write", lambda path, *_: flip(path.parent / "tokenizer.json"))
    with pytest.raises(FoundryError, match=r"tokenizer\.json changed while it was copied"):
        prepared.publish()
    assert server.files(REPO) == THEIRS
    assert server.repos[REPO].discussions == {}


def test_what_is_swapped_just_before_it_is_sent(
    prepared: Project, server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        bundle.Bundle, "title", lambda bundled, *_: flip(bundled.folder / "tokenizer.json") or "a title"
    )
    with pytest.raises(FoundryError, match=r"tokenizer\.json changed while it was published: nothing was sent"):
        prepared.publish()
    assert server.repos[REPO].discussions == {}


# --- What only dvc.lock and the repository know ---------------------------------------------------------------


def test_outputs_that_were_not_made_from_one_another(project: Callable[..., Path]) -> None:
    root = project()
    settings = {"path": "params.yaml", "md5": lock.digest(root / "params.yaml")}
    stages = {
        "configure": {"deps": [settings], "outs": [{"path": "settings", "md5": "s1"}]},
        "embed": {"deps": [{"path": "settings", "md5": "s1"}], "outs": [{"path": "reference", "md5": "r1"}]},
        "validate": {"deps": [{"path": "reference", "md5": "r1"}, {"path": "foundry/base", "md5": "c1"}],
                     "outs": [{"path": "validation/onnx.json", "md5": "v1"}]},
        "report": {"deps": [{"path": "validation", "md5": "x"}], "outs": [{"path": "report", "md5": "o1"}]},
        "other": {"deps": [{"path": "reference", "md5": "r0"}], "outs": [{"path": "elsewhere", "md5": "e1"}]},
    }  # fmt: skip

    def broken() -> list[str]:
        Path("dvc.lock").write_text(yaml.safe_dump({"stages": stages}))
        return chain.broken_links([Path("report")])

    assert broken() == []
    stages["embed"]["outs"][0]["md5"] = "r2"  # another reference since the verdict
    assert broken() == ["validate was run with another reference"]
    settings["md5"] = "another"
    assert broken() == ["configure was run with another params.yaml", "validate was run with another reference"]


def test_a_verdict_by_another_reference_is_not_published(prepared: Project, server: Hub) -> None:
    recorded = yaml.safe_load(Path("dvc.lock").read_text())
    reference = (prepared.root / "reference/tiny").as_posix()
    recorded["stages"]["all"]["deps"] = [{"path": reference, "md5": "another"}]
    Path("dvc.lock").write_text(yaml.safe_dump(recorded))
    with pytest.raises(FoundryError, match=r"all was run with another .*reference/tiny\. Run `dvc repro`"):
        prepared.publish()
    assert server.requests == []


def test_settings_that_dvc_lock_does_not_have(prepared: Project, server: Hub) -> None:
    prepared.write(lambda raw: raw["publish"].update(prepared.settings, private=False))
    with pytest.raises(FoundryError, match=r"not as dvc\.lock has it: .*settings \(altered\)"):
        prepared.publish()
    assert server.requests == []


def test_the_repository_of_another_model(prepared: Project, server: Hub) -> None:
    prepared.publish()
    record = provenance.read(prepared.root / "hub/tiny")
    server.merge(REPO, 1)
    files.write_json(prepared.root / "record.json", {**record, "model": "other"})
    server.push(REPO, {"foundry.json": (prepared.root / "record.json").read_bytes()})
    with pytest.raises(FoundryError, match=r"foundry\.json in org/tiny is of the model other, and this is tiny"):
        prepared.publish()
    assert len(server.repos[REPO].discussions) == 1


def test_publishing_is_audited_first() -> None:
    command = ["make", "-n", "-o", ".venv/installed", "publish", "TOOLCHAIN=current"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    [audit, publish] = [lines.index(line) for line in lines if "foundry audit" in line or "dvc repro" in line]
    assert lines[audit].startswith("foundry audit")
    assert audit < publish
