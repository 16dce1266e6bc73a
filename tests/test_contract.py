"""dvc.yaml, params.yaml, stages/ and the README agree: a file that one forgets is a stage that does not rerun."""

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.projects import ROOT

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
KEY_ORDER = ["desc", "matrix", "cmd", "deps", "params", "always_changed", "outs", "metrics"]
# Scripts of stages/ that are commands for people, not stages of the pipeline.
COMMANDS = {
    "changelog", "check_outputs", "check_params", "compare", "fan_out", "outdated", "prune", "recommend", "verify",
}  # fmt: skip


def imported(path: Path) -> set[Path]:
    """The project's own files that a file imports, directly or through another."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stages"):
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("stages")]
        for name in names:
            file = ROOT / (name.replace(".", "/") + ".py")
            if file.is_file() and file not in found:
                found |= {file} | imported(file)
    return found


def templates(path: Path) -> set[Path]:
    """The templates that a file names, or that a template includes, directly or through another."""
    named = {ROOT / "stages/templates" / name for name in re.findall(r'"([\w.]+\.j2)"', path.read_text())}
    found = {one for one in named if one.is_file()}
    return found.union(*(templates(one) for one in found))


@pytest.mark.parametrize("stage", PIPELINE)
def test_deps_are_what_the_script_imports(stage: str) -> None:
    script = ROOT / f"stages/{stage}.py"
    own = {dep for dep in PIPELINE[stage].get("deps", []) if dep.startswith("stages/")}
    code = {script} | imported(script)
    expected = {str(path.relative_to(ROOT)) for path in code.union(*(templates(path) for path in code))}
    if stage == "host":
        assert not own  # always runs
    else:
        assert own == expected


@pytest.mark.parametrize("stage", PIPELINE)
def test_a_stage_is_well_formed(stage: str) -> None:
    definition = PIPELINE[stage]
    assert definition["desc"]
    assert [key for key in KEY_ORDER if key in definition] == list(definition)
    assert f"python -m stages.{stage} " in definition["cmd"]
    assert definition.get("deps", []) == sorted(definition.get("deps", []))
    for out in definition["outs"] + definition.get("metrics", []):
        path = out if isinstance(out, str) else next(iter(out))
        assert path.startswith("artifacts/")
        # What the command writes, or the folder of it, stands in the command.
        assert path in definition["cmd"] or str(Path(path).parent) in definition["cmd"]


@pytest.mark.parametrize("stage", [name for name in PIPELINE if name not in ("configure", "host", "report", "publish")])
def test_a_new_toolchain_is_a_rebuild(stage: str) -> None:
    assert "constraints.txt" in PIPELINE[stage]["deps"]


def test_every_script_is_a_stage_or_a_command() -> None:
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    scripts |= {path.parent.name for path in (ROOT / "stages").glob("*/__main__.py")}
    assert scripts == set(PIPELINE) | COMMANDS


def test_every_model_is_an_artifact_that_versions_can_be_registered_of() -> None:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    artifacts = yaml.safe_load((ROOT / "dvc.yaml").read_text())["artifacts"]
    assert {name: row["path"] for name, row in artifacts.items()} == {
        name: f"artifacts/hub/{name}" for name in raw["models"]
    }


def test_every_section_of_params_belongs_to_a_stage() -> None:
    sections = set(yaml.safe_load((ROOT / "params.yaml").read_text()))
    assert sections - {"models", "variants"} <= set(PIPELINE) | COMMANDS


def test_the_readme_names_every_stage_and_shared_file() -> None:
    readme = (ROOT / "README.md").read_text()
    for stage in (*PIPELINE, *COMMANDS):
        assert f"`stages/{stage}.py`" in readme or f"`stages/{stage}/`" in readme or f"`{stage}`" in readme
    for path in (ROOT / "stages/shared").glob("[!_]*.py"):
        assert f"`{path.name}`" in readme


def test_every_stage_has_a_test_file() -> None:
    for stage in set(PIPELINE) - {"host", "embed"}:  # tested beside the stage that reads what they write
        assert (ROOT / f"tests/test_{stage}.py").is_file()


def test_the_readme_documents_every_make_target() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    readme = (ROOT / "README.md").read_text()
    assert [target for target in targets if f"make {target}" not in readme] == []


def test_constraints_pin_everything_and_hold_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert len(lines) > 100
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)] == []


def test_dvc_reads_the_pipeline() -> None:
    listed = subprocess.run(
        ["dvc", "stage", "list", "--name-only"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = listed.stdout.split()
    assert "validate@minilm-onnx_qint8_avx512_vnni" in names
    assert sum(name.startswith("validate@minilm-") for name in names) == 16
