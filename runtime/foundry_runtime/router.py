"""Routers: which modules queries go through, and which documents, by a Router's own settings.

Sentence Transformers finds a route by the task (`query`, `document` or none) and by what the inputs are, which here is
always text; this is its rule.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from foundry_runtime.errors import UnusableModel

Row = Mapping[str, Any]  # of modules.json: `path` and `type` of a module
ReadSettings = Callable[[str], Mapping[str, Any]]  # the settings in a file of the model; empty where it has none
Role = Literal["query", "document"]

ROUTERS = ("Router", "Asym")  # the second is the name that it had before
TABLE = "SparseStaticEmbedding"
MODALITY = "text"


@dataclass(frozen=True)
class Sides:
    """The rows of all modules that a query goes through, and a document, from the first to the last."""

    query: list[dict[str, Any]]
    document: list[dict[str, Any]]
    default: Role | None  # by which of them a text goes whose role is not said; None where that is an error

    @property
    def query_table(self) -> str | None:
        """The folder of the table that queries are looked up in; None where they go through a transformer, too."""
        return str(self.query[0]["path"]) if class_name(self.query[0]) == TABLE else None


def class_name(row: Row) -> str:
    """The name of a module's class, without where it is defined."""
    return str(row["type"]).rpartition(".")[2]


def read_sides(rows: Sequence[Row], settings: ReadSettings) -> Sides | None:
    """What queries and documents go through in a model with these rows of modules.json; None where it has no Router.

    What a module computes is not looked at: `Sides` may be of modules that nothing here runs.

    Raises:
        UnusableModel: when a Router's settings are none, or it has no route for one of the two.
    """
    if not any(class_name(row) in ROUTERS for row in rows):
        return None
    query, document, default = (_through(rows, task, settings) for task in ("query", "document", None))
    if query is None or document is None:
        raise UnusableModel("its Router has no route for queries, or none for documents")
    if default is not None and default not in (query, document):
        raise UnusableModel("its Router has a route of its own for texts that are neither queries nor documents")
    role: Role = "document" if default == document else "query"
    return Sides(query, document, None if default is None else role)


def _through(rows: Sequence[Row], task: str | None, settings: ReadSettings) -> list[dict[str, Any]] | None:
    """The modules that a text of this task goes through; None where a Router has no route for it."""
    result: list[dict[str, Any]] = []
    for row in rows:
        if class_name(row) not in ROUTERS:
            result.append(dict(row))
            continue
        inside = _route(str(row["path"]), task, settings)
        if inside is None:
            return None
        result += inside
    return result


def _route(path: str, task: str | None, settings: ReadSettings) -> list[dict[str, Any]] | None:
    """The modules of the route that a Router at `path` has for a task; None where it has none."""
    # Sentence Transformers reads config.json where an older version wrote it there.
    value = settings(_join(path, "router_config.json")) or settings(_join(path, "config.json"))
    types, structure, parameters = (value.get(key) for key in ("types", "structure", "parameters"))
    if not (isinstance(types, Mapping) and isinstance(structure, Mapping) and isinstance(parameters, Mapping)):
        raise UnusableModel(f"{path or 'its Router'} has no types, structure and parameters of a Router")
    name = _name_of_route(task, structure, parameters)
    if name is None:
        return None
    modules = structure.get(name)
    if not (isinstance(modules, list) and modules and all(isinstance(types.get(key), str) for key in modules)):
        raise UnusableModel(f"{path or 'its Router'} has a route {name} of modules that it does not have")
    rows: list[dict[str, Any]] = [{"path": _inside(path, key), "type": types[key]} for key in modules]
    if nested := [row for row in rows if class_name(row) in ROUTERS]:
        raise UnusableModel(f"{nested[0]['path']} is a Router inside of a Router, which is not known here")
    return rows


def _name_of_route(task: str | None, structure: Mapping[str, Any], parameters: Mapping[str, Any]) -> str | None:
    """Sentence Transformers' rule: a mapping of the task, then the task's own name, then the modality's, then the
    default, which is the first route where nothing is said. None where a task has no route, or nothing a default."""
    mappings = {_key(key): route for key, route in (parameters.get("route_mappings") or {}).items()}
    for key in ((task, MODALITY), (task, None), (None, MODALITY), (None, None)):
        if key in mappings:
            return str(mappings[key])
    if task is not None and task in structure:
        return task
    if MODALITY in structure:
        return MODALITY
    if task is not None:
        return None
    default = parameters.get("default_route")
    if default is None and parameters.get("allow_empty_key", True):
        default = next(iter(structure), None)
    return None if default is None else str(default)


def _key(text: str) -> Any:
    """The task and the modality of a mapping, as router_config.json writes them: `('query', 'text')`."""
    try:
        key = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise UnusableModel(f"a Router's route_mappings have {text!r}, which is no task with a modality") from error
    is_pair = isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], str | None)
    if not (is_pair and (isinstance(key[1], str | None) or _is_names(key[1]))):
        raise UnusableModel(f"a Router's route_mappings have {text!r}, which is no task with a modality")
    return key


def _is_names(modality: Any) -> bool:
    """Whether a modality is several, by their names."""
    return isinstance(modality, tuple) and all(isinstance(part, str) for part in modality)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _inside(path: str, key: str) -> str:
    """The folder of a module inside a Router, which must not lead outside of it."""
    if "\\" in key or ":" in key or (key and any(part in ("", ".", "..") for part in key.split("/"))):
        raise UnusableModel(f"a Router names a module {key!r}, which leaves its folder")
    return _join(path, key) if key else path
