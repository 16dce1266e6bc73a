"""`dvc repro` on both sides of a Router with a transformer for queries and another one for documents."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from foundry_runtime import Embedder, RoutedEmbedder
from foundry_runtime.errors import UnusableModel

from benchmarks import projects
from foundry.base import files
from foundry.variants import naming
from tests.support import routers
from tests.support.pipeline import dvc, foundry, ran
from tests.support.projects import LOOSE
from tests.support.texts import documents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KEPT = ["torch", "onnx", "onnx_O2", "onnx_qint8_static", "openvino"]
EXACT = ["onnx", "onnx_O2", "openvino"]
ROLES = ("query", "document")
PROMPTS = {"query": "query: ", "document": "text: "}
TEXTS = [*documents()[:6], "a short one", "", " ".join(["the"] * 80)]
BETWEEN = {"between_sides_recall_at_10", "between_sides_order"}


def search(folder: Path) -> Path:
    """A labelled search on which random weights score: the first words of a document ask for it."""
    corpus = {f"d{number}": text for number, text in enumerate(documents()[:20])}
    queries = {f"q{key}": " ".join(text.split()[:6]) for key, text in corpus.items()}
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", corpus), ("queries", queries)):
        lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    lines = ["query-id\tcorpus-id\tscore", *(f"q{key}\t{key}\t1" for key in corpus)]
    (folder / "qrels/test.tsv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole checkpoint, with its Router."""
    return routers.make_two_sides(tmp_path_factory.mktemp("sides"), PROMPTS)


@pytest.fixture(scope="module")
def clone(
    source: Path, tmp_path_factory: pytest.TempPathFactory, tiny_params: dict[str, Any], forks_in_module: None
) -> Path:
    """A project that was built: both sides beside a model that is none."""
    root = tmp_path_factory.mktemp("pipeline")
    clone = projects.copy_working_tree(root / "project")
    raw: dict[str, Any] = json.loads(json.dumps(tiny_params))
    raw["models"] |= {role: {"source": {"path": str(source)}, "side": role} for role in ROLES}
    raw |= {"quantize": {}, "calibrate": {}, "compress": {}}
    raw["variants"] = {name: {} for name in KEPT}
    raw["sample"]["tasks"] = {"search": {"beir": {"path": str(search(root / "search"))}}}
    raw["validate"]["overrides"] = {"onnx_qint8_static": {**LOOSE, "task_ratio": 0.01}}
    (clone / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    dvc(clone, "repro")
    return clone


@pytest.fixture(scope="module")
def expected(source: Path) -> dict[str, np.ndarray]:
    """What torch gives by the whole checkpoint, (texts, dimensions) by role."""
    from sentence_transformers import SentenceTransformer

    whole = SentenceTransformer(str(source), device="cpu")
    return {role: getattr(whole, f"encode_{role}")(TEXTS) for role in ROLES}


def test_every_variant_is_compared_with_the_other_side(clone: Path) -> None:
    for model in ("tiny", *ROLES):
        assert list(files.read_json(clone / f"artifacts/published/{model}.json")["published"]) == KEPT
        for variant in KEPT:
            result = files.read_json(clone / f"artifacts/validation/{model}/{variant}.json")
            checks = {row["check"]: row for row in result["checks"]}
            assert result["verdict"] == "passed", [row for row in checks.values() if not row["passed"]]
            assert (checks.keys() & BETWEEN == BETWEEN) == (model != "tiny")
            if variant in EXACT:
                assert checks["task_ratio_search"]["value"] == pytest.approx(1, abs=1e-3)
    page = (clone / "artifacts/report/report.md").read_text()
    assert all(role in page for role in ROLES)


def test_a_search_is_scored_between_the_sides(clone: Path, source: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    task = files.read_json(clone / "artifacts/texts/query/tasks.json")["search"]
    relevant = {query: set(found) for query, found in task["relevant"].items()}
    evaluator = InformationRetrievalEvaluator(task["queries"], task["corpus"], relevant, write_csv=False)
    torch = float(evaluator(SentenceTransformer(str(source), device="cpu"))[evaluator.primary_metric])
    for role in ROLES:
        scores = files.read_json(clone / f"artifacts/reference/{role}/reference.json")["scores"]
        assert scores["search"] == pytest.approx(torch)


@pytest.mark.usefixtures("graphs_load")
@pytest.mark.parametrize("variant", EXACT)
def test_sentence_transformers_gives_torchs_numbers(clone: Path, expected: dict[str, np.ndarray], variant: str) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Router

    options: dict[str, Any] = {"file_name": naming.file_name(variant)}
    if variant == "openvino":
        options["ov_config"] = naming.EXACT
    queries, corpus = (
        SentenceTransformer(
            str(clone / "artifacts/hub" / role), backend=naming.backend(variant), model_kwargs=options, device="cpu"
        )
        for role in ROLES
    )
    assert abs(queries.encode_query(TEXTS) - expected["query"]).max() < 1e-4
    assert abs(corpus.encode_document(TEXTS) - expected["document"]).max() < 1e-4
    # As one model again, as docs/models.md has it.
    whole = SentenceTransformer(
        modules=[Router.for_query_document([*queries], [*corpus])],
        prompts={"query": queries.prompts["query"], "document": corpus.prompts["document"]},
        similarity_fn_name=corpus.similarity_fn_name,
    )
    for role in ROLES:
        assert abs(getattr(whole, f"encode_{role}")(TEXTS) - expected[role]).max() < 1e-4


@pytest.fixture(scope="module")
def joined(clone: Path) -> Path:
    """Both published sides in one folder."""
    folder = clone.parent / "joined"
    foundry(clone, "join", "artifacts/hub/query", "artifacts/hub/document", str(folder))
    return folder


@pytest.mark.usefixtures("graphs_load")
@pytest.mark.parametrize("variant", ["torch", *EXACT])
def test_joined_they_are_one_model(joined: Path, expected: dict[str, np.ndarray], variant: str) -> None:
    from sentence_transformers import SentenceTransformer

    options: dict[str, Any] = {}
    if variant != "torch":
        options = {"backend": naming.backend(variant), "model_kwargs": naming.model_kwargs(variant)}
    model = SentenceTransformer(str(joined), device="cpu", **options)
    for role in ROLES:
        assert abs(getattr(model, f"encode_{role}")(TEXTS) - expected[role]).max() < 1e-4
    runtime = RoutedEmbedder(Embedder(joined / "query"), Embedder(joined / "document"))
    for role in ROLES:
        assert abs(getattr(runtime, f"encode_{role}")(TEXTS) - expected[role]).max() < 1e-4


@pytest.mark.usefixtures("graphs_load")
def test_the_lines_of_the_joined_card_run(joined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(joined.parent)
    [lines] = [block.partition("```")[0] for block in (joined / "README.md").read_text().split("```python\n")[1:]]
    scope: dict[str, Any] = {}
    exec(lines, scope)
    assert (len(scope["queries"]), len(scope["documents"])) == (1, 2)


@pytest.mark.parametrize("variant", EXACT)
def test_foundry_runtime_gives_torchs_numbers(clone: Path, expected: dict[str, np.ndarray], variant: str) -> None:
    hub = clone / "artifacts/hub"
    model = RoutedEmbedder(queries=Embedder(hub / "query", variant), documents=Embedder(hub / "document", "onnx"))
    queries, corpus = model.encode_query(TEXTS), model.encode_document(TEXTS)
    assert abs(queries - expected["query"]).max() < 1e-4
    assert abs(corpus - expected["document"]).max() < 1e-4
    similarity = expected["query"] @ expected["document"].T
    assert abs(model.similarity(queries, corpus) - similarity).max() < 1e-4


def test_what_are_no_two_sides_of_one_checkpoint_is_refused(clone: Path) -> None:
    hub = clone / "artifacts/hub"
    query, document, tiny = (Embedder(hub / name, "onnx") for name in (*ROLES, "tiny"))
    with pytest.raises(UnusableModel, match="document is the side for the role 'document', and not for 'query'"):
        RoutedEmbedder(document, query)
    with pytest.raises(UnusableModel, match="tiny is no side of a Router"):
        RoutedEmbedder(query, tiny)
    assert document.side is not None
    document.side = {**document.side, "router": "0" * 64}
    with pytest.raises(UnusableModel, match="are sides of two checkpoints, or of two states of one"):
        RoutedEmbedder(query, document)


@pytest.mark.parametrize("role", ROLES)
def test_the_card_names_the_side_and_its_lines_run(clone: Path, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)
    card = (clone / f"artifacts/hub/{role}/README.md").read_text()
    assert f"for {'queries' if role == 'query' else 'documents'}" in card
    blocks = [block.partition("```")[0] for block in card.split("```python\n")[1:]]
    [lines] = [block for block in blocks if block.startswith("from foundry_runtime import")]
    scope: dict[str, Any] = {}
    exec(lines, scope)
    assert len(scope["embeddings"]) == 2


def test_nothing_runs_again(clone: Path) -> None:
    assert ran(dvc(clone, "repro")) <= {"host"}
