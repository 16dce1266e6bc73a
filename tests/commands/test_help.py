"""foundry --help is a table of contents: every command is in it, on one line, and in the documentation."""

import re
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from foundry import __main__ as program
from tests.support.projects import ROOT

COMMANDS = sorted(path.stem.replace("_", "-") for path in (ROOT / "foundry/commands").glob("[!_]*.py"))


def help_of(*arguments: str) -> str:
    result = CliRunner().invoke(program.app, [*arguments, "--help"], env={"COLUMNS": "80", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    return result.output


def test_every_file_is_a_command_on_one_line_below_a_heading() -> None:
    assert sorted(name for names in program.CONTENTS.values() for name in names) == COMMANDS
    output = help_of()
    for heading, names in program.CONTENTS.items():
        assert f" {heading} " in output
        for name in names:
            assert re.search(rf"^\W*{name} +{re.escape(program.summary(name))}", output, re.MULTILINE), name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_and_each_of_its_arguments_is_for(name: str) -> None:
    assert program.summary(name) in help_of(name)
    parameters = program.load(name).params
    assert [
        parameter.name for parameter in parameters if parameter.name != "help" and not getattr(parameter, "help", None)
    ] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_documented(name: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"foundry {name}" in page.read_text() for page in pages)


def test_the_help_imports_no_command() -> None:
    code = (
        "import sys; from foundry import __main__ as program; sys.argv = ['foundry', '--help']\n"
        "try: program.main()\n"
        "except SystemExit: pass\n"
        "heavy = ('foundry.commands', 'foundry.params', 'pydantic', 'numpy', 'dvc', 'torch', 'ray')\n"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 10  # 0.5 s on two idle cores; the imports above are what would make it slow


def test_a_command_that_there_is_not() -> None:
    result = CliRunner().invoke(program.app, ["verfy"])
    assert result.exit_code == 2
    assert "Did you mean 'verify'?" in result.output
