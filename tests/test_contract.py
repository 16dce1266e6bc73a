"""dvc.yaml, params.yaml, stages/, foundry/, tests/ and the documents agree: a dep that is missing is a stage that does
not rerun, and a folder that does not keep to its subject is a drawer."""

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from foundry.base import packages
from tests.support.order import LONGEST
from tests.support.projects import ROOT

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
KEY_ORDER = ["desc", "matrix", "cmd", "deps", "params", "always_changed", "outs", "metrics"]
CODE = sorted((ROOT / "foundry").rglob("*.py"))
SCRIPTS = sorted((ROOT / "stages").glob("[!_]*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
FOLDERS = sorted({path.relative_to(ROOT / "foundry").parts[0] for path in CODE if path.parent != ROOT / "foundry"})
COMMANDS = sorted(path.stem for path in (ROOT / "foundry/commands").glob("[!_]*.py"))
# Tested beside the stage that reads what they write.
WITHOUT_TEST_FILE = {"host", "embed"}
RUNTIME = ROOT / "runtime/foundry_runtime"
WITH_WHOLE_RUNTIME = {"validate", "benchmark", "publish"}
# Packages whose other version builds no other model.
BUILDS_NOTHING = {
    "cryptography", "detect-secrets", "dvc", "huggingface-hub", "jinja2", "matplotlib", "openvino-tokenizers",
    "packaging", "psutil", "pydantic", "pyyaml", "rich", "ruamel.yaml", "typer",
}  # fmt: skip
LINES_OF_A_SCRIPT = range(10, 61)
LINES_OF_A_FILE = 350


@cache
def imports(path: Path) -> frozenset[Path]:
    """The project's own files that a file imports itself, at its top or in a function."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # Either of the module, or of a module of the package: what exists counts.
            modules |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    candidates = {root / f"{name.replace('.', '/')}.py" for name in modules for root in (ROOT, RUNTIME.parent)}
    return frozenset(file for file in candidates if file.is_file())


def closure(path: Path) -> set[Path]:
    """A file and all that it imports, directly or through others."""
    reached: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in reached:
            reached.add(file)
            waiting += imports(file)
    return reached


def cycle(edges: dict[Any, set[Any]]) -> list[Any]:
    """A cycle in a graph, from a node back to it; empty when there is none."""
    done: set[Any] = set()

    def visit(node: Any, path: list[Any]) -> list[Any]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        done.add(node)
        return next(filter(None, (visit(other, [*path, node]) for other in sorted(edges.get(node, ())))), [])

    return next(filter(None, (visit(node, []) for node in sorted(edges))), [])


def folder(path: Path) -> str:
    """The folder of foundry/ that a file belongs to, at any depth; the empty string for any other file."""
    if not path.is_relative_to(ROOT / "foundry"):
        return ""
    first, *more = path.relative_to(ROOT / "foundry").parts
    return first if more else ""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def documents() -> str:
    """The README and the pages that it links."""
    return "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


# --- dvc.yaml ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [name for name in PIPELINE if name != "host"])  # which always runs
def test_deps_are_what_the_script_imports(stage: str) -> None:
    code = {dep for dep in PIPELINE[stage]["deps"] if dep.startswith(("foundry/", "runtime/", "stages/"))}
    script = ROOT / f"stages/{stage}.py"
    files = closure(script)
    assert [relative(path) for path in files if path.parent == ROOT / "stages" and path != script] == []
    # Of the runtime, file by file: what loads graphs and reads heads is a part of it, and seldom changes.
    of_runtime = {relative(path) for path in files if path.is_relative_to(RUNTIME)}
    runtime = {"runtime/foundry_runtime"} if stage in WITH_WHOLE_RUNTIME else of_runtime
    folders = {folder(path) for path in files - {script}} - {""}
    assert code == {f"foundry/{name}" for name in folders} | runtime | {f"stages/{stage}.py"}
    # A checkpoint with a Router is read as the runtime reads it, which foundry/variants asks.
    readers = {path for path in files if relative(path) == "foundry/variants/checkpoint_folder.py"}
    assert bool(of_runtime) == bool({"foundry/loading", "foundry/head"} & code or readers)


def test_what_builds_or_judges_depends_on_the_versions_of_its_libraries() -> None:
    deps = {stage for stage in PIPELINE if "artifacts/toolchain.json" in PIPELINE[stage].get("deps", [])}
    assert {*PIPELINE} - deps == {"configure", "host", "report", "publish"}


def test_a_package_that_the_project_asks_for_is_decisive_or_known_not_to_be() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [line for extra in ("optimum", "sample", "adapters", "gpu") for line in extras[extra]]
    asked = {Requirement(line).name for line in [*project["dependencies"], *lines]}
    assert asked | {"nncf"} == {*packages.DECISIVE} | BUILDS_NOTHING  # nncf comes with optimum's exporters
    assert [name for name in packages.DECISIVE if name in BUILDS_NOTHING] == []
    assert {"torch", "transformers", "onnxruntime"} <= {*packages.toolchain()}
    assert all("+" not in version for version in packages.toolchain().values())


def test_the_host_has_no_deps() -> None:
    assert "deps" not in PIPELINE["host"]
    assert PIPELINE["host"]["always_changed"] is True


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


@pytest.mark.parametrize("stage", [name for name in PIPELINE if name not in ("configure", "host")])
def test_a_stage_depends_on_the_settings_file_that_it_is_given(stage: str) -> None:
    settings = re.findall(r"artifacts/settings/\S+\.json", PIPELINE[stage]["cmd"])
    assert len(settings) == 1
    assert [dep for dep in PIPELINE[stage]["deps"] if dep.startswith("artifacts/settings")] == settings
    assert "params" not in PIPELINE[stage]
    assert "params.yaml" not in PIPELINE[stage]["deps"]


def test_dvc_reads_the_pipeline() -> None:
    listed = subprocess.run(
        ["dvc", "stage", "list", "--name-only"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = listed.stdout.split()
    assert "validate@minilm-onnx_qint8_avx512_vnni" in names
    assert sum(name.startswith("validate@minilm-") for name in names) == 16


def test_compiled_modules_are_in_no_dep() -> None:
    assert "__pycache__" in (ROOT / ".dvcignore").read_text().splitlines()


# --- params.yaml ------------------------------------------------------------------------------------------


def test_every_model_is_an_artifact_that_versions_can_be_registered_of() -> None:
    artifacts = yaml.safe_load((ROOT / "dvc.yaml").read_text())["artifacts"]
    assert {name: row["path"] for name, row in artifacts.items()} == {
        name: f"artifacts/hub/{name}" for name in PARAMS["models"]
    }


def test_every_section_of_params_belongs_to_a_stage_or_a_command() -> None:
    assert set(PARAMS) - {"models", "variants"} <= {*PIPELINE, *COMMANDS}


# --- stages/ ----------------------------------------------------------------------------------------------


def test_every_script_is_a_stage() -> None:
    assert {path.stem for path in SCRIPTS} == set(PIPELINE)
    assert list((ROOT / "stages").glob("*/**/*.py")) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_thin(path: Path) -> None:
    assert len(path.read_text().splitlines()) in LINES_OF_A_SCRIPT
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.stem != "configure"], ids=lambda path: path.stem)
def test_no_stage_but_configure_reads_params(path: Path) -> None:
    """Neither params.yaml nor its schema: a new key of one stage would rerun all the others."""
    assert [relative(file) for file in closure(path) if file.is_relative_to(ROOT / "foundry/params")] == []
    assert "params.yaml" not in path.read_text()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_models_name_is_an_argument_and_read_from_no_path(path: Path) -> None:
    names = [ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
             and node.attr in ("name", "stem", "parts")]  # fmt: skip
    assert names == []


# --- foundry/ ---------------------------------------------------------------------------------------------


def test_the_library_knows_no_stage_and_no_test() -> None:
    for path in CODE:
        for file in imports(path):
            assert file.is_relative_to(ROOT / "foundry") or file.is_relative_to(RUNTIME), (
                f"{relative(path)} imports {relative(file)}"
            )


def test_no_file_imports_itself_through_others() -> None:
    assert cycle({relative(path): {relative(file) for file in imports(path)} for path in CODE}) == []


def test_no_folder_imports_itself_through_others() -> None:
    edges: dict[str, set[str]] = {name: set() for name in FOLDERS}
    for path in CODE:
        # The schema of params.yaml is made of the settings.py of every folder, which import each other alone.
        others = {folder(file) for file in imports(path) if file.name != "settings.py"}
        if folder(path):
            edges[folder(path)] |= others - {folder(path), ""}
    assert cycle(edges) == []


def test_no_file_is_long() -> None:
    lines = {relative(path): len(path.read_text().splitlines()) for path in CODE}
    assert {name: count for name, count in lines.items() if count > LINES_OF_A_FILE} == {}


def test_no_folder_holds_more_than_a_sixth() -> None:
    lines = dict.fromkeys(FOLDERS, 0)
    for path in CODE:
        if folder(path):
            lines[folder(path)] += len(path.read_text().splitlines())
    limit = sum(lines.values()) / 6
    assert {name: count for name, count in lines.items() if count > limit} == {}


# --- The documents ----------------------------------------------------------------------------------------


def test_the_readme_has_a_row_for_every_folder() -> None:
    rows = re.findall(r"^\| `foundry/(\w+)/` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == FOLDERS


def test_the_documents_name_every_stage_and_every_command() -> None:
    text = documents()
    assert [stage for stage in PIPELINE if not re.search(rf"`(stages/)?{stage}(\.py)?`", text)] == []
    names = [name.replace("_", "-") for name in COMMANDS]
    assert [name for name in names if f"foundry {name}" not in text] == []


def test_the_documents_name_every_make_target() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = documents()
    assert [target for target in targets if f"make {target}" not in text] == []


def test_constraints_pin_everything_and_hold_no_address() -> None:
    paths = sorted(ROOT.glob("constraints*.txt"))
    assert [path.stem for path in paths] == ["constraints-optimum", "constraints-peers", "constraints"]
    for path in paths:
        lines = path.read_text().splitlines()
        assert len(lines) > (20 if path.stem == "constraints-peers" else 100)
        assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)] == []


# --- tests/ -----------------------------------------------------------------------------------------------


def test_ci_skips_no_test_of_the_other_toolchain() -> None:
    """A marker that nothing has selects nothing, and without the variable a missing environment is a skip."""
    script = (ROOT / ".ci/run").read_text()
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    [expression] = re.findall(r'TOOLCHAIN=optimum TESTS="(.+)"', script)
    assert {*expression.split(" or ")} == {line.partition(":")[0] for line in markers} - {"slow"}
    assert script.index("export BOTH_TOOLCHAINS=1") < script.index("\nmake ")


def test_every_stage_has_a_test_file() -> None:
    assert set(PIPELINE) - WITHOUT_TEST_FILE - {path.stem.removeprefix("test_") for path in TESTS} == set()


def test_tests_mirror_the_folders() -> None:
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in TESTS if path.parent != ROOT / "tests"}
    assert folders <= {*FOLDERS, "benchmarks", "runtime"}


def test_the_longest_tests_exist() -> None:
    for name in LONGEST:
        path, _, test = name.partition("::")
        assert f"def {test.partition('[')[0]}" in (ROOT / path).read_text(), name


def test_no_test_file_imports_another() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        assert [relative(file) for file in imports(path) if file.name.startswith("test_")] == [], relative(path)
