"""Every bound of the page stands in foundry/ui/limits.py alone, and docs/ui.md says the same of it."""

import ast
import re
from pathlib import Path

import pytest

from foundry.ui import limits
from tests.support.projects import ROOT

SCALES = {
    "BYTES": {"kB": 1e3, "MB": 1e6, "GB": 1e9}, "SECONDS": {"s": 1, "min": 60, "hours": 3600, "days": 86_400},
}  # fmt: skip
BOUND = re.compile(r"(\d[\d,.]*)([^`|;(]*) \(`([A-Z_]+)`\)")
NO_BOUNDS = {"BASE_MB", "LIBRARIES_MB", "NEIGHBOURS"}  # of estimates, and how many neighbours are compared
MODULES = sorted(path for path in (ROOT / "foundry/ui").glob("*.py") if path.name != "limits.py")


def bounds() -> dict[str, float]:
    return {name: value for name, value in vars(limits).items() if name.isupper()}


def scale(name: str, unit: str) -> float:
    """How many bytes or seconds a unit is, where the name says that it counts these."""
    scales = next((scales for word, scales in SCALES.items() if word in name), None)
    return 1 if scales is None else scales[unit.split()[0]]


def test_the_documents_say_what_holds() -> None:
    section = (ROOT / "docs/ui.md").read_text(encoding="utf-8").partition("\n## Limits\n")[2].partition("\n## ")[0]
    said = [(name, float(number.replace(",", "")) * scale(name, unit)) for number, unit, name in BOUND.findall(section)]
    assert len({name for name, _ in said}) == len(said)
    assert dict(said) == bounds()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_other_module_has_a_bound_of_its_own(path: Path) -> None:
    assigned = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)]
    numbers = [node for node in assigned if is_of_numbers(node.value)]
    names = {name.id for node in numbers for name in ast.walk(node) if isinstance(name, ast.Name)}
    assert names - NO_BOUNDS == set()


def is_of_numbers(value: ast.expr) -> bool:
    """Whether a value is a number, several, or computed of numbers alone."""
    leaves = [node for node in ast.walk(value) if isinstance(node, ast.Constant | ast.Name | ast.Call | ast.Attribute)]
    return all(isinstance(node, ast.Constant) and isinstance(node.value, int | float) for node in leaves)


def test_every_bound_is_used() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in [*MODULES, ROOT / "foundry/commands/ui.py"])
    assert {name for name in bounds() if f"limits.{name}" not in code} == set()
