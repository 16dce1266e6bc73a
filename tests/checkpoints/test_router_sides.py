"""One side of a Router as a model of its own: it is torch's side, and what cannot be taken apart is refused."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.checkpoints import router_sides
from foundry.loading import loader
from foundry.params import reading
from foundry.variants import other_side
from stages import download
from tests.support import odd_checkpoints as odd
from tests.support import routers
from tests.support.downloads import Change, Fetch, refused
from tests.support.stages import settings_file
from tests.support.texts import documents

PROMPTS = {"query": "query: ", "document": "text: ", "topic": "topic: "}
TEXTS = [*documents()[:4], "a short one"]
MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "two": lambda folder: routers.make_two_sides(folder, PROMPTS),
    "sparse": routers.make_two_sparse,
    "static": routers.make_static_queries,
    "free": routers.make_inference_free,
    "hub": routers.make_as_on_the_hub,
    "heads": routers.make_with_heads,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each kind with a Router."""
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in MAKERS.items()}


def rows_of(model: Any, method: str) -> np.ndarray:
    rows = getattr(model, method)(TEXTS)
    return np.asarray(rows.to_dense() if hasattr(rows, "to_dense") else rows)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *((name, role) for name in ("two", "sparse", "heads") for role in ("query", "document")),
        ("static", "document"), ("free", "document"), ("hub", "document"),
    ],
)  # fmt: skip
def test_a_side_gives_what_torch_gives_by_that_side(
    fetch: Fetch, saved: dict[str, Path], changed: Callable[..., Change], name: str, role: str
) -> None:
    whole = loader.load(saved[name], "torch")
    out = fetch(changed(name), side=role)
    expected = rows_of(whole.model, f"encode_{role}")
    side = loader.load(out, "torch")
    assert type(side) is type(whole)
    for method in ("encode", "encode_query", "encode_document"):
        assert np.array_equal(rows_of(side.model, method), expected)
    source = files.read_json(out / "source.json")
    assert source["source"]["side"]["role"] == role
    assert files.read_json(out / "modules.json")[0]["path"] == ""
    assert "Router" not in source["loaded"]["modules"]


def test_both_sides_name_the_same_checkpoint_and_have_each_other_beside_them(
    project: Callable[..., Path], saved: dict[str, Path], tmp_path: Path
) -> None:
    whole = loader.load(saved["two"], "torch")
    names = []
    for role, opposite in (("query", "document"), ("document", "query")):
        project(lambda raw, role=role: raw["models"].update(tiny={"source": {"path": str(saved["two"])}, "side": role}))
        out, other = tmp_path / role, tmp_path / f"beside {role}"
        download.main("tiny", settings_file("download"), out, other)
        names.append(files.read_json(out / "source.json")["source"]["side"]["router"])
        assert other_side.read(other) == (opposite, "SentenceTransformer", False)
        rows = rows_of(loader.load(other, "torch").model, "encode")
        assert np.array_equal(rows, rows_of(whole.model, f"encode_{opposite}"))
    assert names[0] == names[1]
    lengths = [
        files.read_json(tmp_path / role / "source.json")["loaded"]["max_seq_length"] for role in ("query", "document")
    ]
    assert lengths == [24, 48]


def test_a_model_that_is_no_side_has_no_other_side(project: Callable[..., Path], tmp_path: Path) -> None:
    project()
    download.main("tiny", settings_file("download"), tmp_path / "torch", tmp_path / "other")
    assert other_side.read(tmp_path / "other") is None
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["source.json"]
    assert "side" not in files.read_json(tmp_path / "torch/source.json")["source"]


def narrower(folder: Path) -> None:
    """Documents without their Dense: 48 dimensions for queries of 32."""
    config = next(folder.rglob("router_config.json"))
    value = json.loads(config.read_text())
    dense = next(name for name in value["types"] if name.endswith("Dense"))
    del value["types"][dense]
    value["structure"]["document"].remove(dense)
    config.write_text(json.dumps(value))


def lose_a_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "document_0_Transformer/model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if "layer.1.attention" not in name}, path)


def own_code(folder: Path) -> None:
    (folder / "own.py").write_text("open('code_ran', 'w')\n")
    config = next(folder.rglob("router_config.json"))
    types = json.loads(config.read_text())["types"]
    odd.change(config, types={**types, "document_0_Transformer": "own.Documents"})


REFUSALS: dict[str, tuple[str, Change, str, str]] = {
    "a table of vectors": ("static", lambda _: None, "query", "StaticEmbedding as its first module.*no graph"),
    "a table of weights": ("free", lambda _: None, "query", "SparseStaticEmbedding as its first module"),
    "other dimensions": ("two", narrower, "query", "gives 32 dimensions, and the other 48: no query has a similarity"),
    "weights that the other side lacks": (
        "two", lose_a_layer, "query", "side for documents.*does not hold .* of the weights|does not hold",
    ),
    "weights that it lacks": ("two", lose_a_layer, "document", "does not hold"),
    "code on the other side": ("two", own_code, "query", r"own\.Documents"),
    "code": ("two", own_code, "document", r"own\.Documents"),
    "an adapter on the other side": (
        "two",
        lambda folder: files.write_json(folder / "document_0_Transformer/adapter_config.json", {"peft_type": "LORA"}),
        "query",
        "side for documents has an adapter",
    ),
    "a folder that is not there": (
        "two", lambda folder: shutil.rmtree(folder / "document_1_Pooling"), "query", "its folder is not there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused(fetch: Fetch, changed: Callable[..., Change], name: str) -> None:
    model, change, role, message = REFUSALS[name]
    refused(fetch, changed(model, change), message, side=role)


def test_a_model_without_a_router_has_no_side(fetch: Fetch) -> None:
    refused(fetch, lambda _: None, "side: 'query' is of a Router, and .* has none among its modules", side="query")


def test_a_reranker_has_no_side(fetch: Fetch, changed: Callable[..., Change]) -> None:
    refused(fetch, changed("two"), "is a CrossEncoder with a Router", side="query", kind="CrossEncoder")


def test_params_name_what_a_side_can_be(project: Callable[..., Path]) -> None:
    with pytest.raises(FoundryError, match=r"models\.tiny\.side: got 'passage'; input should be 'query' or 'document'"):
        project(lambda raw: raw["models"]["tiny"].update(side="passage"))
        reading.read()
    with pytest.raises(FoundryError, match=r"models\.tiny\.side: query does not go with adapter"):
        project(lambda raw: raw["models"]["tiny"].update(side="query", adapter="retrieval"))
        reading.read()


@pytest.mark.parametrize(
    ("prompts", "role", "prompt"),
    [
        ({"query": "q: ", "document": "d: "}, "query", "q: "),
        ({"query": "q: ", "document": "d: "}, "document", "d: "),
        ({"query": "", "document": "d: "}, "query", ""),
        # Sentence Transformers has an empty prompt of documents where the model has none, and takes that.
        ({"passage": "p: "}, "document", ""),
        ({}, "query", ""),
    ],
)
def test_the_prompt_of_a_side_is_that_of_all_its_texts(prompts: dict[str, str], role: Any, prompt: str) -> None:
    settings = {"prompts": {**prompts, "topic": "t: "}, "default_prompt_name": "topic", "similarity_fn_name": "dot"}
    result = router_sides.with_one_prompt(settings, role)
    of_roles = {"query": prompt, "document": prompt} if prompt else {}
    assert result["prompts"] == {"topic": "t: ", **of_roles}
    assert result["default_prompt_name"] == (role if prompt else None)
    assert result["similarity_fn_name"] == "dot"
