"""Routers: what can be built of a model whose queries and documents go through different modules.

A variant is one graph. So queries and documents share a transformer, or queries are looked up in a table of weights
(SparseStaticEmbedding: an inference-free sparse encoder) and need none.
"""

from pathlib import Path
from typing import Any

from foundry_runtime.router import ROUTERS, TABLE, Sides, class_name

from foundry.base.errors import FoundryError
from foundry.checkpoints import integrity, structure
from foundry.variants import checkpoint_folder

OURS = "sentence_transformers."
KNOWN_TABLE_SETTINGS = {"frozen"}
SAVED_APART = (
    "Build each side as a model of its own: two rows of the same source, one with `side: query` and one with "
    "`side: document`"
)


def has_router(folder: Path) -> bool:
    """Whether one of a checkpoint's modules is a Router."""
    return any(class_name(row) in ROUTERS for row in structure.module_rows(folder))


def check(folder: Path, kind: str | None) -> None:
    """Check that a checkpoint's Router, where it has one, is one that can be built, by its settings alone.

    Types of modules that are not Sentence Transformers' own are left to `code.check`, which says what they would run.

    Raises:
        FoundryError: saying what the Router does, and what can be done instead.
    """
    types = structure.module_types(folder)
    if not has_router(folder) or not all(name.startswith(OURS) for name in types.values()):
        return
    sides = checkpoint_folder.sides(folder)
    if sides is None:
        return
    if (kind or checkpoint_folder.kind(folder)) == "CrossEncoder":
        raise FoundryError(f"{folder} is a CrossEncoder with a Router, and reads a query and a document at once")
    if (kind or checkpoint_folder.kind(folder)) == "MultiVectorEncoder":
        raise FoundryError(f"{folder} is a MultiVectorEncoder with a Router, which is not built here")
    used = {str(row["path"]) for row in (*sides.query, *sides.document)}
    inside = list(types)[len(structure.module_rows(folder)) :]
    if unused := [key.partition(":")[2] for key in inside if key.partition(":")[2] not in used]:
        raise FoundryError(
            f"{folder} has a Router with {unused[0]}, which neither queries nor documents go through. What is built is "
            "a route for each of these two"
        )
    if sides.query_table is not None:
        _check_table(folder, sides, sides.query_table)
    elif sides.query[0] != sides.document[0]:
        raise FoundryError(f"{folder} has a Router. {_two_graphs(sides)}")


def _check_table(folder: Path, sides: Sides, path: str) -> None:
    """Check that queries are looked up in a table of the checkpoint's own, and nothing else is done to them."""
    if len(sides.query) > 1:
        raise FoundryError(
            f"{folder} has a Router that looks queries up in a table, and sends them through "
            f"{class_name(sides.query[1])} then; what is built is the table alone"
        )
    if not any(class_name(row) == "SpladePooling" for row in sides.document):
        raise FoundryError(
            f"{folder} has a Router that looks queries up in a table of sparse weights, and its documents go through "
            "no SpladePooling: they have nothing to be compared by"
        )
    check_table_settings(folder, path)


def check_table_settings(folder: Path, path: str) -> None:
    """Check that a table of weights in the folder `path` of a checkpoint loads nothing from elsewhere.

    Raises:
        FoundryError: naming the setting.
    """
    config = folder / path / "config.json"
    settings: dict[str, Any] = integrity.read_json(config) if config.is_file() else {}
    # `path` would load a file from anywhere, or from the Hub.
    if unknown := sorted(settings.keys() - KNOWN_TABLE_SETTINGS):
        raise FoundryError(
            f"{path}/config.json of {folder} has {unknown[0]}: {str(settings[unknown[0]])[:60]!r}, and the table's "
            "weights are to be in its folder. Load the model and save it again, which writes them there"
        )


def _two_graphs(sides: Sides) -> str:
    """Why a Router's two sides are not built, and what can be done instead."""
    query, document = class_name(sides.query[0]), class_name(sides.document[0])
    if query == document:
        return (
            f"It has a {query} for queries and another for documents, each with a graph of its own, and a variant is "
            f"one graph. {SAVED_APART}"
        )
    return (
        f"Queries go through a {query} and documents through a {document}, and what is built is one transformer for "
        f"both, or a {TABLE} for queries. A row with `side: document` builds the {document} as a model of its own"
    )
