"""Checkpoints with a Router: what download accepts, and what it refuses, in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base import files
from foundry.variants import checkpoint_folder
from tests.support import odd_checkpoints as odd
from tests.support import routers
from tests.support.downloads import Change, Fetch, refused

TABLE = "query_0_SparseStaticEmbedding"
MODULES = "sentence_transformers.models."


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each kind with a Router."""
    root = tmp_path_factory.mktemp("routers")
    return {
        "free": routers.make_inference_free(root / "free"),
        "by_query": routers.make_inference_free(root / "by_query", default="query"),
        "hub": routers.make_as_on_the_hub(root / "hub"),
        "heads": routers.make_with_heads(root / "heads"),
        "sides": routers.make_with_heads(root / "sides", router_first=True),
        "two": routers.make_two_transformers(root / "two"),
    }


def router(folder: Path) -> Path:
    return next(folder.rglob("router_config.json"))


def types(**others: Any) -> Change:
    """Name other types in the Router, by their folders; None takes one out."""

    def change(folder: Path) -> None:
        before = json.loads(router(folder).read_text())["types"]
        kept = {name: value for name, value in {**before, **others}.items() if value is not None}
        odd.change(router(folder), types=kept)

    return change


def table_weights(change: Callable[[Any], dict[str, Any]]) -> Change:
    """Write other tensors into the table's file."""

    def write(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = folder / TABLE / "model.safetensors"
        save_file(change(load_file(path)["weight"]), path)

    return write


@pytest.mark.parametrize("name", ["free", "by_query"])
def test_an_inference_free_encoder(fetch: Fetch, changed: Callable[..., Change], name: str) -> None:
    out = fetch(changed(name))
    facts = files.read_json(out / "source.json")["loaded"]
    assert facts["modules"] == ["SparseStaticEmbedding", "Transformer", "SpladePooling"]
    assert (facts["kind"], facts["architecture"], facts["max_seq_length"]) == ("SparseEncoder", "BertForMaskedLM", 64)
    assert checkpoint_folder.transformer_path(out) == "document_0_Transformer"
    assert (checkpoint_folder.kind(out), checkpoint_folder.task(out)) == ("SparseEncoder", "fill-mask")
    assert checkpoint_folder.query_table(out) == TABLE


def test_a_transformer_in_the_models_own_folder(fetch: Fetch, changed: Callable[..., Change]) -> None:
    out = fetch(changed("hub"))
    assert checkpoint_folder.transformer_path(out) == ""
    assert (out / "model.safetensors").is_file()
    assert checkpoint_folder.query_table(out) == TABLE


def test_one_transformer_with_two_heads(fetch: Fetch, changed: Callable[..., Change]) -> None:
    out = fetch(changed("heads"))
    sides = checkpoint_folder.sides(out)
    assert sides is not None
    ends = [[row["path"] for row in side[1:]] for side in (sides.query, sides.document)]
    assert ends == [
        ["1_Pooling", "2_Router/query_0_Dense", "3_Normalize"],
        ["1_Pooling", "2_Router/document_0_Dense", "3_Normalize"],
    ]


def test_a_router_around_one_transformer(fetch: Fetch, changed: Callable[..., Change]) -> None:
    out = fetch(changed("sides"))
    assert checkpoint_folder.transformer_path(out) == "query_0_Transformer"
    assert checkpoint_folder.query_table(out) is None


def set_parameters(**parameters: Any) -> Change:
    return lambda folder: odd.change(router(folder), parameters=parameters)


def set_structure(**structure: list[str]) -> Change:
    return lambda folder: odd.change(router(folder), structure=structure)


REFUSALS: dict[str, tuple[str, Change, str]] = {
    "two transformers": (
        "two",
        lambda _: None,
        "each with a graph of its own, and a variant is one graph. Build each side",
    ),
    "a table of vectors": (
        "two",
        types(query_0_Transformer=f"{MODULES}StaticEmbedding"),
        "Queries go through a StaticEmbedding and documents through a Transformer.*`side: document` builds the",
    ),
    "a table and more": (
        "free",
        set_structure(query=[TABLE, "document_1_SpladePooling"], document=["document_0_Transformer"]),
        "looks queries up in a table, and sends them through SpladePooling then",
    ),
    "a file of elsewhere": (
        "free",
        lambda folder: files.write_json(folder / TABLE / "config.json", {"frozen": True, "path": "/etc/idf.json"}),
        "has path: '/etc/idf.json', and the table's weights are to be in its folder",
    ),
    "a module that nobody uses": (
        "free",
        types(third_0_Normalize=f"{MODULES}Normalize"),
        "third_0_Normalize, which neither queries nor documents go through",
    ),
    "no route for queries": (
        "free",
        set_structure(passage=[TABLE], document=["document_0_Transformer", "document_1_SpladePooling"]),
        "no route for queries",
    ),
    "a route of another kind by default": (
        "heads",
        lambda folder: odd.change(
            router(folder),
            structure={"query": ["query_0_Dense"], "document": ["document_0_Dense"], "x": ["query_0_Dense"] * 2},
            parameters={"default_route": "x"},
        ),
        "a route of its own for texts that are neither",
    ),
    "a key that is code": (
        "free",
        set_parameters(default_route=None, route_mappings={"__import__('os').system('x')": "query"}),
        "is no task with a modality",
    ),
    "code of its own": (
        "free",
        types(**{TABLE: "own.Table"}),
        r"own\.Table is of the package own .* Inside of a Router, what can be built are Sentence",
    ),
    "a function": ("heads", types(query_0_Dense="sentence_transformers.util.http_get"), "no module of Sentence Transf"),
    "another reader of texts": (
        "free",
        types(document_1_SpladePooling="sentence_transformers.models.WordEmbeddings"),
        "SpladePooling: they have nothing to be compared by|no module of Sentence|reads texts in its own way",
    ),
    "a module behind another of the same folder": (
        "free",
        types(**{f"./{TABLE}": "os.system"}),
        "has two modules in one folder",
    ),
    "a weight that is not a number": ("free", table_weights(lambda weight: {"weight": weight * float("nan")}), "NaN"),
    "a table without weights": ("free", table_weights(lambda weight: {"other": weight}), "does not load as the"),
    "a table of other words": ("free", table_weights(lambda weight: {"weight": weight[:-3]}), "does not load as the"),
}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("trusted", [False, True])
def test_what_is_refused(fetch: Fetch, changed: Callable[..., Change], name: str, trusted: bool) -> None:
    model, change, message = REFUSALS[name]

    def with_code(folder: Path) -> None:
        change(folder)
        (folder / "own.py").write_text("open('code_ran', 'w')\n")

    refused(fetch, changed(model, with_code), message, trust_remote_code=trusted)


def test_a_lost_layer_of_documents_is_seen_where_queries_are_the_default(
    fetch: Fetch, changed: Callable[..., Change]
) -> None:
    def lose(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = folder / "document_0_Transformer/model.safetensors"
        weights = {name: value for name, value in load_file(path).items() if "layer.1.attention.self.query" not in name}
        save_file(weights, path, metadata={"format": "pt"})

    refused(fetch, changed("by_query", lose), "does not hold 2 of the weights that it needs as a SparseEncoder")


def test_what_is_advised_for_two_transformers_can_be_built(
    fetch: Fetch, saved: dict[str, Path], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(saved["two"]), device="cpu")
    routes = dict(model[0].sub_modules.items())
    assert [*routes] == ["query", "document"]
    SentenceTransformer(modules=[*routes["query"], *list(model)[1:]]).save_pretrained(str(tmp_path / "query"))

    def replace(folder: Path) -> None:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "query", folder)

    out = fetch(replace)
    assert (out / "model.safetensors").read_bytes() == (
        saved["two"] / "query_0_Transformer/model.safetensors"
    ).read_bytes()
