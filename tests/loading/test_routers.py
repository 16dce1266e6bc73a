"""Models with a Router: every variant is built, checked and published, and queries are torch's to the last bit."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.reference import scoring
from foundry.variants import naming, variant_folder
from tests.support import publishing, routers
from tests.support.checkpoints import write_own_task
from tests.support.projects import LOOSE, TINY_VARIANTS
from tests.support.stages import build, validate_in
from tests.support.texts import documents

pytestmark = pytest.mark.slow

PROMPTS = {"query": "query: ", "document": "text: "}
MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "free": routers.make_inference_free,
    "prompted": lambda folder: routers.make_inference_free(folder, default=None, prompts=PROMPTS),
    "hub": routers.make_as_on_the_hub,
    "heads": routers.make_with_heads,
    "sides": lambda folder: routers.make_with_heads(folder, router_first=True, default=None),
}
TEXTS = [*documents()[:6], "a short query", "", "the the the"]


@pytest.fixture(scope="module", params=MAKERS)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_params: dict[str, Any]
) -> Path:
    """artifacts/models/<name> of a model with a Router, every variant built."""
    root = tmp_path_factory.mktemp(request.param)
    checkpoint = MAKERS[request.param](root / "checkpoint")
    raw: dict[str, Any] = json.loads(json.dumps(tiny_params))
    raw["models"] = {request.param: {"source": {"path": str(checkpoint)}}}
    raw["sample"]["tasks"] = {"own": {"pairs": {"path": str(write_own_task(checkpoint))}}}
    raw["publish"] = {"to": "folder", "licences": ["mit"]}
    raw["validate"]["overrides"] = {name: LOOSE for name in TINY_VARIANTS if "qint8" in name or "fp16" in name}
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    return build(root, request.param)


def has_table(model: Path) -> bool:
    return model.name in ("free", "prompted", "hub")


@pytest.fixture(scope="module")
def published(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `publish` makes of it, as a folder, every variant validated."""
    root = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(model.parents[2])
        publishing.prepare(root, model, model.name)
        publishing.run(root, model.name, model)
    return root / "hub" / model.name


def test_every_variant_is_validated_and_published(model: Path, published: Path) -> None:
    for variant in TINY_VARIANTS:
        result = files.read_json(published.parents[1] / "validation" / model.name / f"{variant}.json")
        assert result["verdict"] == "passed", [row for row in result["checks"] if not row["passed"]]
        names = {row["check"] for row in result["checks"]}
        assert ({"different_queries", "different_query_weights"} <= names) == has_table(model)
        if variant != "torch":
            assert result["runtime"]["refuses"] is None
            assert ("runtime_different_queries" in names) == has_table(model)
            # With two heads, nobody but who knows the task can finish an embedding.
            assert ("head_error" in names) == has_table(model)
    assert set(files.read_json(published / "foundry.json")["variants"]) == set(TINY_VARIANTS)


def rows_of(model: Any, method: str, texts: list[str] = TEXTS) -> np.ndarray:
    """Embeddings (texts, dimensions) by a model of Sentence Transformers or of foundry_runtime."""
    rows = getattr(model, method)(texts)
    if hasattr(rows, "to_dense"):
        rows = rows.to_dense()
    return np.asarray(rows)


@pytest.mark.usefixtures("graphs_load")
@pytest.mark.parametrize("variant", ["onnx", "onnx_O2", "openvino"])
def test_sentence_transformers_loads_what_is_published(model: Path, published: Path, variant: str) -> None:
    import sentence_transformers

    torch = loader.load(model / "torch", "torch")
    options: dict[str, Any] = {"file_name": naming.file_name(variant)}
    if variant == "openvino":
        options["ov_config"] = naming.EXACT
    loaded = getattr(sentence_transformers, torch.kind)(
        str(published), backend=naming.backend(variant), model_kwargs=options, device="cpu"
    )
    for method in ("encode_query", "encode_document"):
        expected, rows = rows_of(torch.model, method), rows_of(loaded, method)
        assert np.ptp(expected) > 0.01  # numbers that could differ
        assert abs(rows - expected).max() < 1e-4
        assert np.array_equal(rows, expected) or not (has_table(model) and method == "encode_query")


@pytest.mark.parametrize("variant", ["onnx", "onnx_O2", "openvino"])
def test_foundry_runtime_gives_torchs_numbers(model: Path, published: Path, variant: str) -> None:
    import foundry_runtime
    from foundry_runtime.model import CLASSES

    torch = loader.load(model / "torch", "torch")
    loaded = getattr(foundry_runtime, CLASSES[torch.kind])(published, variant)
    for method in ("encode_query", "encode_document"):
        expected, rows = rows_of(torch.model, method), rows_of(loaded, method)
        assert abs(rows - expected).max() < 1e-4
        assert np.array_equal(rows, expected) or not (has_table(model) and method == "encode_query")
        alone = rows_of(loaded, method, TEXTS[6:7])
        assert abs(alone - expected[6:7]).max() < 1e-4
        assert rows_of(loaded, method, []).shape == (0, expected.shape[1])
    if loaded.default_task is None:
        with pytest.raises(ValueError, match="Router has no default: use encode_query or encode_document"):
            loaded.encode(TEXTS)
    else:
        assert loaded.default_task == "document"
        assert abs(rows_of(loaded, "encode") - rows_of(torch.model, "encode")).max() < 1e-4
    with pytest.raises(ValueError, match="no route for the task 'passage'; it has query and document"):
        loaded.encode(TEXTS, task="passage")


def test_the_lines_of_the_card_run(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published.parent)
    card = (published / "README.md").read_text()
    blocks = [block.partition("```")[0] for block in card.split("```python\n")[1:]]
    [lines] = [block for block in blocks if block.startswith("from foundry_runtime import")]
    scope: dict[str, Any] = {}
    exec(lines, scope)
    assert (len(scope["queries"]), len(scope["documents"])) == (1, 2)


def test_the_finished_embedding_is_in_the_graph_where_one_head_serves_both(model: Path) -> None:
    head = variant_folder.built(model / "onnx")[variant_folder.HEAD]
    assert (head["output"] == "sparse_embedding") == has_table(model)
    assert has_table(model) or "a head for queries and another for documents" in head["left_out"]


def test_a_labelled_search_looks_queries_up(model: Path) -> None:
    corpus = {str(number): text for number, text in enumerate(documents()[:12])}
    queries = {name: " ".join(text.split()[:5]) for name, text in list(corpus.items())[:6]}
    relevant = {name: [name] for name in queries}
    task: Task = {"kind": "retrieval", "queries": queries, "corpus": corpus, "relevant": relevant}
    torch, onnx = (
        scoring.score_tasks(loader.load(model / variant, variant), 8, {"search": task}, [], np.empty((0, 1)))
        for variant in ("torch", "onnx")
    )
    assert torch == pytest.approx(onnx)
    assert torch["search"] > 0


# --- A table is compared bit by bit ---------------------------------------------------------------------------


def change_weight(folder: Path, index: int, factor: float) -> None:
    """Multiply one weight of a model's table for queries."""
    from safetensors.numpy import load_file, save_file

    path = folder / "query_0_SparseStaticEmbedding/model.safetensors"
    tensors = load_file(path)
    tensors["weight"] = tensors["weight"].copy()
    tensors["weight"][index] *= factor
    path.unlink()
    save_file(tensors, path)


@pytest.mark.parametrize("model", ["free"], indirect=True)
@pytest.mark.parametrize("variant", ["torch", "onnx"])
def test_a_single_changed_weight_is_seen(
    model: Path, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parents[2])
    folder = shutil.copytree(model / variant, tmp_path / variant)
    change_weight(folder, 502, 1.000001)  # of a word that is in none of the texts, perhaps
    result = validate_in(tmp_path, model, variant, folder)
    assert result["verdict"] == "failed"
    assert next(row["value"] for row in result["checks"] if row["check"] == "different_query_weights") == 1


@pytest.mark.parametrize("model", ["free"], indirect=True)
def test_a_tokenizer_of_queries_that_cuts_earlier_is_seen(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parents[2])
    folder = shutil.copytree(model / "onnx", tmp_path / "onnx")
    path = folder / "query_0_SparseStaticEmbedding/tokenizer_config.json"
    settings = files.read_json(path)
    path.unlink()
    files.write_json(path, {**settings, "model_max_length": 16})
    result = validate_in(tmp_path, model, "onnx", folder)
    failed = {row["check"] for row in result["checks"] if not row["passed"]}
    assert failed >= {"different_queries", "runtime_different_queries"}


@pytest.mark.parametrize("model", ["free"], indirect=True)
def test_a_table_changed_after_it_was_validated_is_published_by_nobody(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(model.parents[2], tmp_path / "root")
    folder = root / "artifacts/models" / model.name
    monkeypatch.chdir(root)
    publishing.prepare(root, folder, model.name)
    change_weight(folder / "onnx", 7, 2.0)
    with pytest.raises(FoundryError, match=r"its files are not those that were checked \(query_0_SparseStatic"):
        publishing.run(root, model.name, folder)


@pytest.mark.parametrize("model", ["free"], indirect=True)
def test_a_table_changed_after_it_was_published_is_not_loaded(model: Path, published: Path, tmp_path: Path) -> None:
    from foundry_runtime import SparseEmbedder
    from foundry_runtime.errors import FileChanged

    folder = shutil.copytree(published, tmp_path / "published")
    change_weight(folder, 7, 2.0)
    with pytest.raises(FileChanged, match=r"query_0_SparseStaticEmbedding/model\.safetensors is not the file"):
        SparseEmbedder(folder)


@pytest.mark.parametrize("model", ["heads", "sides"], indirect=True)
def test_a_head_of_queries_that_differs_is_seen(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.numpy import load_file, save_file

    monkeypatch.chdir(model.parents[2])
    folder = shutil.copytree(model / "onnx", tmp_path / "onnx")
    [path] = folder.rglob("query_*_Dense/model.safetensors")
    tensors = {name: -value for name, value in load_file(path).items()}
    path.unlink()
    save_file(tensors, path)
    result = validate_in(tmp_path, model, "onnx", folder)
    assert result["verdict"] == "failed"
