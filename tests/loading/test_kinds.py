"""SparseEncoder and CrossEncoder: every variant is built, checked and measured as an embedder's is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.benchmarking import planning, session
from foundry.benchmarking.settings import Effort
from foundry.checkpoints import fetching
from foundry.loading import items, loader
from foundry.reporting.rendering import loading_lines
from foundry.validation import parity, settings
from foundry.variants import checkpoint_folder
from stages import download
from tests.support import architectures, damage
from tests.support.checkpoints import make_kind
from tests.support.projects import LOOSE, TINY_VARIANTS, kind_params
from tests.support.stages import build, settings_file, validate_in
from tests.support.texts import documents

pytestmark = pytest.mark.slow

KINDS = {"sparse": ("SparseEncoder", 1), "reranker": ("CrossEncoder", 1), "classifier": ("CrossEncoder", 3)}
# Random weights leave little room: what matters here is that nothing is systematically wrong.


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_params: dict[str, Any]) -> Path:
    """artifacts/models/<name> of one kind, every variant built."""
    root = tmp_path_factory.mktemp(request.param)
    checkpoint = make_kind(root / "checkpoint", *KINDS[request.param])
    (root / "params.yaml").write_text(yaml.safe_dump(kind_params(tiny_params, request.param, checkpoint)))
    return build(root, request.param)


def test_the_kind_and_its_task_are_found(kind: Path) -> None:
    name, _ = KINDS[kind.name]
    task = "fill-mask" if name == "SparseEncoder" else "sequence-classification"
    for variant in TINY_VARIANTS:
        assert (checkpoint_folder.kind(kind / variant), checkpoint_folder.task(kind / variant)) == (name, task)


@pytest.mark.parametrize("variant", ["onnx", "onnx_O2", "openvino"])
def test_a_variant_gives_torchs_numbers(kind: Path, variant: str) -> None:
    torch, loaded = loader.load(kind / "torch", "torch"), loader.load(kind / variant, variant)
    assert torch.kind == loaded.kind == KINDS[kind.name][0]
    expected = torch.encode(torch.items(documents()[:6]))
    assert (expected.shape[0], expected.dtype) == (6, "float32")
    assert np.ptp(expected) > 0.01  # numbers that could differ
    assert abs(loaded.encode(loaded.items(documents()[:6])) - expected).max() < 1e-4


@pytest.mark.parametrize("variant", TINY_VARIANTS)
def test_every_variant_is_validated(kind: Path, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kind.parent.parent.parent)
    result = validate_in(tmp_path, kind, variant, kind / variant)
    failed = {row["check"]: row["value"] for row in result["checks"] if not row["passed"]}
    if (kind.name, variant) == ("reranker", "onnx_qint8_avx512"):
        # With random weights all pairs score nearly alike, and dynamic int8 moves scores by as much as they differ.
        assert failed.keys() <= {*LOOSE, "lengths_min_cosine", "sequences_min_cosine"}
    else:
        assert result["verdict"] == "passed", failed
    names = {row["check"] for row in result["checks"]}
    assert ("active_dimensions" in names) == (kind.name == "sparse")
    assert ("passage_order" in names) == (kind.name != "sparse")
    assert result["facts"]["kind"] == KINDS[kind.name][0]


INPUT_DAMAGES = {
    "a constant for medium lengths": (damage.constant(tokens=(40, 60)), "lengths_min_cosine"),
    "rows swapped in batches of 64 and more": (damage.rows_reversed((64, 10**6)), "consistency_min_cosine"),
    "nothing beyond 32 rows": (damage.only_first_rows(32), "consistency_min_cosine"),
    "a single word zeroed": (damage.in_rows("word", damage.zeroed(117)), "wrong_rows"),
    "the second token type zeroed": (damage.in_rows("token_type", damage.zeroed(1)), "wrong_rows"),
}


@pytest.mark.parametrize("name", INPUT_DAMAGES)
def test_damage_for_some_inputs_is_seen(kind: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kind.parent.parent.parent)
    change, check = INPUT_DAMAGES[name]
    folder = shutil.copytree(kind / "onnx", tmp_path / "onnx")
    damage.in_graph(folder, "onnx", change)
    result = validate_in(tmp_path, kind, "onnx", folder)
    assert result["verdict"] == "failed"
    assert check in [row["check"] for row in result["checks"] if not row["passed"]]


@pytest.mark.parametrize("kind", ["sparse"], indirect=True)  # No other kind's output has a column for each word.
def test_words_that_a_sparse_encoder_lost_are_seen(kind: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kind.parent.parent.parent)
    folder = shutil.copytree(kind / "onnx", tmp_path / "onnx")
    size = checkpoint_folder.config(folder)["vocab_size"]
    damage.in_graph(folder, "onnx", damage.columns_zeroed(size - 3, size))
    result = validate_in(tmp_path, kind, "onnx", folder)
    assert next(row["value"] for row in result["checks"] if row["check"] == "wrong_columns") == 3


@pytest.mark.usefixtures("graphs_load")
def test_the_lines_that_are_shown_load_it(kind: Path) -> None:
    scope: dict[str, Any] = {}
    facts = files.read_json(kind.parent.parent / "reference" / kind.name / "reference.json")["facts"]
    exec(loading_lines(str(kind / "onnx_O2"), "onnx_O2", facts), scope)
    assert type(scope["model"]).__name__ == KINDS[kind.name][0]


def damaged(kind: Path, target: Path, change: Callable[[dict[str, Any]], None], name: str) -> Path:
    shutil.copytree(kind / "onnx", target)
    settings = files.read_json(target / name)
    change(settings)
    (target / name).write_text(json.dumps(settings))
    return target


def test_another_pooling_or_activation_is_found(kind: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kind.parent.parent.parent)
    if kind.name == "sparse":
        path, expected = "1_SpladePooling/config.json", "different_modules"
        changed = damaged(kind, tmp_path / "onnx", lambda raw: raw.update(pooling_strategy="sum"), path)
    else:
        path, expected = "config_sentence_transformers.json", "different_settings"
        changed = damaged(kind, tmp_path / "onnx", lambda raw: raw.update(activation_fn="torch.nn.Tanh"), path)
    result = validate_in(tmp_path, kind, "onnx", changed)
    assert result["verdict"] == "failed"
    assert expected in [row["check"] for row in result["checks"] if not row["passed"]]


def test_it_is_measured(kind: Path, tmp_path: Path) -> None:
    effort = Effort(minutes=0.01, rounds=3, interval=0.9, batch_sizes=[2], seconds=0.02)
    rows = planning.rows_to_measure(kind, {"torch": "fp32", "onnx": "fp32"}, {})
    machine = {"host": "here", "instruction_sets": []}
    result = session.benchmark(kind.name, kind, rows, {"short": documents()[:4]}, machine, "tiny", effort)
    assert all(record["error"] is None for record in result["variants"].values())
    assert result["variants"]["onnx"]["latency"]["short"]["median_ms"] > 0


def test_passages_in_another_order_are_found() -> None:
    limits = settings.Thresholds.model_construct(passage_order=0.9)
    expected = np.array([[3.0, 2.0, 1.0, 0.99], [0.0, 1.0, 2.0, 5.0]])[..., None]
    assert parity.passage_order(expected * 2 + 1, expected, limits)["value"] == 1.0
    nearly = expected.copy()
    nearly[0, 2:] = nearly[0, :1:-1]  # the two that torch hardly tells apart
    assert 0.99 < parity.passage_order(nearly, expected, limits)["value"] < 1.0  # type: ignore[operator]
    swapped = expected.copy()
    swapped[1, [0, 3]] = swapped[1, [3, 0]]
    assert not parity.passage_order(swapped, expected, limits)["passed"]
    assert not parity.passage_order(np.zeros_like(expected), expected, limits)["passed"]


# --- Without a build -------------------------------------------------------------------------------------


def test_a_crossencoder_of_transformers_alone_is_one(tmp_path: Path) -> None:
    make_kind(tmp_path, "CrossEncoder")
    assert checkpoint_folder.kind(tmp_path / "bare") == "CrossEncoder"
    assert checkpoint_folder.transformer_path(tmp_path / "bare") == ""
    fetching.check_loadable(tmp_path / "bare")


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("config_sentence_transformers.json", {"model_type": "Reranker"}, "model_type 'Reranker'; known are Sentence"),
        ("sentence_bert_config.json", {"transformer_task": "question-answering"}, "'question-answering'; what can be"),
    ],
)
def test_what_is_not_known_is_an_error(tmp_path: Path, name: str, setting: dict[str, str], message: str) -> None:
    folder = make_kind(tmp_path, "CrossEncoder")
    (folder / name).write_text(json.dumps(setting))
    with pytest.raises(FoundryError, match=message):
        _ = checkpoint_folder.kind(folder), checkpoint_folder.task(folder)


@pytest.mark.parametrize(
    ("kind", "head"), [("SparseEncoder", "AutoModelForMaskedLM"), ("SentenceTransformer", "AutoModel")]
)
def test_a_bare_model_becomes_the_kind_that_params_say(
    project: Callable[..., Path], tmp_path: Path, kind: str, head: str
) -> None:
    import sentence_transformers

    bare = architectures.make(tmp_path / "bare", "bert", head)
    root = project(lambda raw: raw["models"].update(tiny={"source": {"path": str(bare)}}))
    with pytest.raises(FoundryError, match=r"no modules\.json"):
        download.main("tiny", settings_file("download"), root / "torch")
    project(lambda raw: raw["models"].update(tiny={"source": {"path": str(bare)}, "kind": kind}))
    download.main("tiny", settings_file("download"), root / "torch")
    assert checkpoint_folder.kind(root / "torch") == kind
    expected = getattr(sentence_transformers, kind)(str(bare), device="cpu").encode(["one", "two"])
    got = loader.load(root / "torch", "torch").encode(["one", "two"])
    assert np.abs(got - (expected.to_dense().numpy() if kind == "SparseEncoder" else expected)).max() == 0


def test_what_is_not_the_kind_that_params_say_is_an_error(project: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    root = project(lambda raw: raw["models"].update(tiny={"source": {"path": str(folder)}, "kind": "SparseEncoder"}))
    with pytest.raises(FoundryError, match="does not load as the SparseEncoder"):
        download.main("tiny", settings_file("download"), root / "torch")
    assert not (root / "torch").exists()


def test_items_are_texts_or_queries_with_passages() -> None:
    texts = ["one two three four", "five six", "seven"]
    assert items.make_items(texts, "SentenceTransformer") == items.make_items(texts, "SparseEncoder") == texts
    first, second, last = items.make_queries(texts, passages_per_query=2)
    assert items.make_items(texts, "CrossEncoder", passages_per_query=2) == [first, second, last]
    assert first.pairs == [("one two", "one two three four"), ("one two", "five six")]
    assert last.pairs == [("seven", "seven"), ("seven", "one two three four")]
    assert items.tokenizer_inputs(["a text", last]) == ["a text", *last.pairs]
    assert [items.first_tokenizer_input(item) for item in ("a text", last)] == ["a text", last.pairs[0]]
