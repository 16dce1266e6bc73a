"""Int8 within a budget: a row of params.yaml, of which a search finds the fastest graph that keeps so near to torch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ruamel.yaml.error import YAMLError

from foundry.base import yaml_editing
from foundry.base.errors import FoundryError
from foundry.params import resolving
from foundry.ui import editing, jobs, limits
from foundry.ui.workspaces import Workspace

# What a search may make: the section of params.yaml, and how names of its variants begin.
KINDS = {
    "OpenVINO, static int8": ("calibrate", "openvino_qint8_"),
    "ONNX Runtime, static int8": ("calibrate_onnx", "onnx_qint8_static_"),
}
# What a budget may ask for: the least, the most, and what is proposed. A budget of 0 asks for nothing.
MEASURES = {
    "mean_cosine": (0.9, 1.0, 0.999, "how close a text's embedding is to the original's, on average"),
    "min_cosine": (0.0, 1.0, 0.99, "the same for the worst text; 0: not asked for"),
}
MINUTES = (1, limits.SEARCH_MINUTES, 60)


class Asked(NamedTuple):
    """A row within a budget."""

    section: str
    name: str
    row: dict[str, Any]


def asked(kind: Any, ending: Any, values: Mapping[str, Any], minutes: Any) -> Asked:
    """The row that a browser asks for.

    Raises:
        FoundryError: when a value is none that the page offers.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise FoundryError(f"{str(kind)[:80]!r} is no kind of int8; there are {', '.join(KINDS)}")
    section, start = KINDS[kind]
    budget = {}
    for key, (low, high, _, _) in MEASURES.items():
        budget[key] = number(key, values[key], low, high)
    search = {"minutes": number("minutes", minutes, *MINUTES[:2])}
    row = {"budget": {key: value for key, value in budget.items() if value > 0}, "search": search}
    return Asked(section, editing.require_slug(f"{start}{ending}"), row)


def number(what: str, value: Any, low: float, high: float) -> float:
    """A number that a browser sent.

    Raises:
        FoundryError: when it is none, or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise FoundryError(f"{what} is {str(value)[:80]}; {low:g} to {high:g} is expected")
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() else rounded


def add(workspace: Workspace, kind: Any, ending: Any, values: Mapping[str, Any], minutes: Any) -> str:
    """Add a variant within a budget to params.yaml; its name.

    Raises:
        FoundryError: when there is one of this name, or params.yaml would be wrong.
    """
    row = asked(kind, ending, values, minutes)
    if workspace.shared and row.row["search"]["minutes"] > limits.SHARED_SEARCH_MINUTES:
        raise FoundryError(f"a search may take {limits.SHARED_SEARCH_MINUTES} minutes here")
    with jobs.idle(workspace):
        params = editing.read(workspace)
        count = sum(resolving.budget(params, name) is not None for name in params.variant_names)
        if workspace.shared and count >= limits.BUDGETS:
            raise FoundryError(f"{limits.BUDGETS} variants within a budget are allowed in a project here")
        if row.name in params.variant_names:
            raise FoundryError(f"there is a variant called {row.name} already: take another ending")
        editing.write(workspace, with_row(editing.shown(workspace), row))
    return row.name


def with_row(text: str, row: Asked) -> str:
    """The text of params.yaml with one more variant in its section, and so in `variants`, which merges all sections.

    Raises:
        FoundryError: when it is written in a way that cannot be edited.
    """
    mapping = yaml_editing.find(text, [row.section])
    if mapping is None:
        raise FoundryError(f"params.yaml has no section {row.section}")
    put = yaml_editing.in_flow if mapping.flow_style else yaml_editing.in_block
    edited = put(text, mapping, row.name, row.row)
    expected = yaml_editing.load(text)
    for section in (row.section, "variants"):
        expected[section][row.name] = row.row
    try:
        is_right = yaml_editing.load(edited) == expected
    except YAMLError:
        is_right = False
    if not is_right:
        raise FoundryError(f"{row.section} is written in a way that cannot be edited; add {row.name} there by hand")
    return edited
