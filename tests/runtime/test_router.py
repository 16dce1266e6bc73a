"""Which side of a Router a text goes through: as Sentence Transformers finds it."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundry_runtime.errors import UnusableModel
from foundry_runtime.folder import open_folder
from foundry_runtime.layout import read_layout
from foundry_runtime.query_table import QueryTable
from foundry_runtime.router import read_sides

from foundry.base import files
from tests.support import routers
from tests.support.texts import documents

ROUTER = {"path": "", "type": "sentence_transformers.base.modules.router.Router"}
LAST = {"path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}
ROUTES = (("query", "document"), ("document", "query"), ("query", "document", "text"), ("text",), ("a", "b"))
MAPPINGS: tuple[dict[tuple[str | None, Any], str], ...] = (
    {},
    {("query", "text"): "b", ("document", None): "a"},
    {(None, "text"): "document"},
    {(None, None): "a"},
    {("query", "image"): "document", ("query", ("image", "text")): "document"},
    {(None, "text"): "text", ("query", None): "query"},
)


def expected_route(router: Any, task: str | None) -> str | None:
    """What Sentence Transformers says; None where it raises an error."""
    try:
        route: str = router._resolve_route(task=task, modality="text")
    except ValueError:
        return None
    return route


@pytest.mark.parametrize("mappings", MAPPINGS)
def test_a_route_is_that_of_sentence_transformers(mappings: dict[tuple[str | None, Any], str], tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Normalize, Router

    tried = 0
    for number, (names, is_empty_allowed) in enumerate(itertools.product(ROUTES, (True, False))):
        if not {*mappings.values()} <= {*names}:
            continue
        for default in (None, names[-1]):
            router = Router({name: [Normalize()] for name in names}, default, is_empty_allowed, mappings)
            folder = tmp_path / f"{number}_{default}"
            folder.mkdir()
            router.save(str(folder))
            paths = [expected_route(router, task) for task in ("query", "document", None)]

            def read(name: str, folder: Path = folder) -> dict[str, Any]:
                return dict(files.read_json(folder / name)) if (folder / name).is_file() else {}

            tried += 1
            if None in paths[:2]:
                with pytest.raises(UnusableModel, match="no route for queries, or none for documents"):
                    read_sides([ROUTER, LAST], read)
                continue
            if paths[2] not in (None, *paths[:2]):
                with pytest.raises(UnusableModel, match="a route of its own for texts that are neither"):
                    read_sides([ROUTER, LAST], read)
                continue
            sides = read_sides([ROUTER, LAST], read)
            assert sides is not None
            assert sides.query == [{"path": f"{paths[0]}_0_Normalize", "type": sides.query[0]["type"]}, LAST]
            assert sides.document[0]["path"] == f"{paths[1]}_0_Normalize"
            assert {"query": paths[0], "document": paths[1], None: None}[sides.default] == paths[2]
    assert tried


def test_without_a_router_there_are_no_sides() -> None:
    assert read_sides([LAST], lambda _name: {}) is None


TYPES = {"a": "sentence_transformers.models.Normalize", "r": "sentence_transformers.models.Router"}
BOTH = {"query": ["a"], "document": ["a"]}
BROKEN: dict[str, tuple[Any, str]] = {
    "no settings": ({}, "has no types, structure and parameters"),
    "no module": ({"types": TYPES, "structure": {**BOTH, "query": ["b"]}, "parameters": {}}, "does not have"),
    "an empty route": ({"types": TYPES, "structure": {**BOTH, "query": []}, "parameters": {}}, "does not have"),
    "a router inside": (
        {"types": TYPES, "structure": {**BOTH, "query": ["r"]}, "parameters": {}},
        "inside of a Router",
    ),
    "a folder outside": (
        {"types": {"../a": TYPES["a"]}, "structure": {"query": ["../a"], "document": ["../a"]}, "parameters": {}},
        "leaves its folder",
    ),
    "a list for a modality": (
        {"types": TYPES, "structure": BOTH, "parameters": {"route_mappings": {"('query', ['text'])": "query"}}},
        "is no task with a modality",
    ),
    "a call for a task": (
        {"types": TYPES, "structure": BOTH, "parameters": {"route_mappings": {"(open('x'), 'text')": "query"}}},
        "is no task with a modality",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_router_is_refused(name: str) -> None:
    settings, message = BROKEN[name]
    with pytest.raises(UnusableModel, match=message):
        read_sides([ROUTER, LAST], lambda file: settings if file == "router_config.json" else {})


# --- The table ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return routers.make_inference_free(tmp_path_factory.mktemp("free"), prompts={"query": "find: ", "document": ""})


def read_table(model: Path) -> QueryTable:
    folder = open_folder(model, verify=False)
    layout = read_layout(folder)
    assert layout.sides is not None
    return QueryTable(folder, layout, str(layout.sides.query_table))


def test_queries_are_torchs_to_the_last_bit(free: Path) -> None:
    from sentence_transformers import SparseEncoder

    texts = [*documents()[:5], "", "the the the", "word " * 300, "x" * 5000, "Ünï 日本 [MASK]", "\u200b"]
    expected = SparseEncoder(str(free), device="cpu").encode_query(texts, prompt="", batch_size=1)
    table = read_table(free)
    for row, (indices, values) in zip(expected.to_dense().numpy(), table.embed(texts), strict=True):
        assert np.array_equal(indices, np.flatnonzero(row))
        assert np.array_equal(values, row[indices])
        assert (indices.dtype, values.dtype) == ("int64", "float32")
    assert any((values < 0).any() for _, values in table.embed(texts))


@pytest.mark.parametrize(
    ("file", "value", "message"),
    [
        ("config.json", {"frozen": True, "path": "idf.json"}, "has the setting path, which is not known here"),
        ("tokenizer_config.json", {"tokenizer_class": "T5Tokenizer"}, "its tokenizer is a T5Tokenizer"),
    ],
)
def test_a_table_that_is_not_known_is_refused(
    free: Path, tmp_path: Path, file: str, value: dict[str, Any], message: str
) -> None:
    copy = shutil.copytree(free, tmp_path / "copy")
    files.write_json(copy / "query_0_SparseStaticEmbedding" / file, value)
    with pytest.raises(UnusableModel, match=message):
        read_table(copy)


def test_two_transformers_are_refused(tmp_path: Path) -> None:
    model = routers.make_two_transformers(tmp_path)
    with pytest.raises(UnusableModel, match="a Transformer for queries and another Transformer for documents"):
        read_layout(open_folder(model, verify=False))
