"""Embeddings by the runtime, of a tiny graph written by hand: order, batches, prompts, threads, forks, hashes."""

import json
import multiprocessing
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundry_runtime import Embedder, FileChanged, UnusableModel, UsedAfterFork, model

from tests.support import graph_models
from tests.support.projects import ROOT
from tests.support.texts import documents

TEXTS = [text[:length] for text in documents()[:20] for length in (3, 40, 200)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published folder. Read only."""
    return graph_models.make_published(tmp_path_factory.mktemp("runtime") / "model", ("onnx", "onnx_O2"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_rows_are_in_the_order_of_the_texts_however_they_are_cut(folder: Path) -> None:
    embedder = Embedder(folder, threads=4)
    alone = np.stack([embedder.encode(text) for text in TEXTS])
    assert alone.shape == (len(TEXTS), graph_models.WIDTH)
    assert alone.dtype == np.float32
    assert len(np.unique(alone.round(4), axis=0)) > len(TEXTS) / 2
    for batch_size in (None, 1, 7, 1000):
        for streams in (1, 3):
            rows = Embedder(folder, threads=4, streams=streams).encode(TEXTS, batch_size=batch_size)
            assert abs(rows - alone).max() < 1e-6, (batch_size, streams)


@pytest.mark.parametrize("streams", [1, 3])
def test_more_texts_than_are_tokenized_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch, streams: int) -> None:
    embedder = Embedder(folder, threads=3, streams=streams)
    expected = embedder.encode(TEXTS)
    monkeypatch.setattr(model, "TEXTS_AT_ONCE", 7)
    assert abs(embedder.encode(TEXTS) - expected).max() < 1e-6
    assert abs(embedder.encode(TEXTS[:7]) - expected[:7]).max() < 1e-6
    assert embedder.encode(TEXTS[:1]).shape == (1, graph_models.WIDTH)


def test_a_batch_has_as_many_texts_as_are_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(folder, streams=1)
    monkeypatch.setattr(model, "TEXTS_AT_ONCE", 7)
    sizes: list[int] = []
    run = embedder._run_batch

    def counted(graph: Any, batch: model.Batch, **options: Any) -> Any:
        sizes.append(len(batch.places))
        return run(graph, batch, **options)

    monkeypatch.setattr(embedder, "_run_batch", counted)
    embedder.encode(TEXTS[:25], batch_size=12)
    assert sizes == [12, 12, 1]


def test_a_tokenizer_that_fails_on_later_texts_ends_the_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(folder, threads=2)
    expected = embedder.encode(TEXTS)
    monkeypatch.setattr(model, "TEXTS_AT_ONCE", 7)
    encode = embedder._tokens.encode

    def failing(texts: list[str]) -> Any:
        if TEXTS[-1] in texts:
            raise MemoryError("as a tokenizer may")
        return encode(texts)

    with monkeypatch.context() as patched, pytest.raises(MemoryError, match="as a tokenizer may"):
        patched.setattr(embedder._tokens, "encode", failing)
        embedder.encode(TEXTS)
    assert abs(embedder.encode(TEXTS) - expected).max() < 1e-6


def test_a_text_alone_several_and_none(folder: Path) -> None:
    embedder = Embedder(folder)
    assert embedder.encode("one text").shape == (graph_models.WIDTH,)
    assert embedder.encode(text for text in ("a", "b")).shape == (2, graph_models.WIDTH)
    assert embedder.encode(np.array(["a", "b"])).shape == (2, graph_models.WIDTH)
    assert embedder.encode([]).shape == (0, graph_models.WIDTH)
    assert embedder.encode([], truncate_dim=3).shape == (0, 3)
    assert np.isfinite(embedder.encode(["", " ", "\x00"])).all()
    with pytest.raises(TypeError, match="text 1 is of type NoneType, must be str"):
        embedder.encode(["a", None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="batch_size is 0"):
        embedder.encode(["a"], batch_size=0)


def test_texts_are_cut_where_sentence_transformers_cuts(folder: Path) -> None:
    embedder = Embedder(folder)  # tokenizer.json says 8, the tokenizer's config 512, Sentence Transformers 16
    words = ["the", "people", "of", "the", "country"] * 20
    assert embedder.max_seq_length == 16
    assert [len(ids) for ids in embedder.token_ids([" ".join(words), "the people"])] == [16, 4]
    assert len(Embedder(folder, max_seq_length=5).token_ids([" ".join(words)])[0]) == 5


def test_prompts_are_those_of_sentence_transformers(folder: Path) -> None:
    embedder = Embedder(folder)
    plain, query = embedder.encode(TEXTS[:3]), embedder.encode([f"find {text}" for text in TEXTS[:3]])
    assert abs(plain - query).max() > 0.01
    assert np.array_equal(embedder.encode_query(TEXTS[:3]), query)
    assert np.array_equal(embedder.encode(TEXTS[:3], prompt_name="query"), query)
    assert np.array_equal(embedder.encode(TEXTS[:3], prompt="find "), query)
    assert np.array_equal(embedder.encode_document(TEXTS[:3]), plain)
    assert np.array_equal(embedder.encode_query(TEXTS[:3], prompt_name="document"), plain)
    assert np.array_equal(Embedder(folder, default_prompt_name="query").encode(TEXTS[:3]), query)
    with pytest.raises(ValueError, match="no prompt 'wrong'; the model has query, document, other"):
        embedder.encode("a", prompt_name="wrong")


def test_dimensions_and_length(folder: Path) -> None:
    embedder = Embedder(folder)
    rows = embedder.encode(TEXTS[:4])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)  # a module of the model
    short = embedder.encode(TEXTS[:4], truncate_dim=3)
    assert np.array_equal(short, rows[:, :3])
    assert np.array_equal(Embedder(folder, truncate_dim=3).encode(TEXTS[:4]), short)
    assert np.allclose(np.linalg.norm(embedder.encode(TEXTS[:4], truncate_dim=3, normalize=True), axis=1), 1)
    assert embedder.similarity_fn_name == "dot"
    assert np.allclose(embedder.similarity(short, rows[0, :3]), short @ rows[:1, :3].T)


def test_a_graph_that_gives_the_embedding_itself_is_read_as_it_is(tmp_path: Path) -> None:
    with_embedding = graph_models.make_published(tmp_path / "with", with_embedding=True)
    without = graph_models.make_published(tmp_path / "without")
    rows = Embedder(with_embedding).encode(["the people of"])
    tokens = Embedder(without)._streams.single.run(Embedder(without)._tokens.pad(
        Embedder(without)._tokens.encode(["the people of"])))["last_hidden_state"]  # fmt: skip
    assert np.allclose(rows, tokens.max(axis=1))


def test_several_threads_may_use_one_model(folder: Path) -> None:
    embedder = Embedder(folder, threads=2)
    expected = embedder.encode(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: embedder.encode(TEXTS), range(40)))
    assert all(np.array_equal(rows, expected) for rows in results)


def _encode_in_child(embedder: Embedder, said: "multiprocessing.SimpleQueue[str]") -> None:
    try:
        embedder.encode("text")
        said.put("no error")
    except UsedAfterFork as error:
        said.put(str(error))


def test_a_fork_is_told_to_load_the_model_itself(folder: Path) -> None:
    fork = multiprocessing.get_context("fork")
    said = fork.SimpleQueue()
    child = fork.Process(target=_encode_in_child, args=(Embedder(folder), said))
    child.start()
    child.join(60)
    assert "load the model in each process" in said.get()


@pytest.mark.parametrize(
    "name",
    ["onnx/model.onnx", "tokenizer.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json",
     "config_sentence_transformers.json"],
)  # fmt: skip
def test_a_changed_file_is_refused(copy: Path, name: str) -> None:
    path = copy / name
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    with pytest.raises(FileChanged, match=rf"{name} is not the file that was published"):
        Embedder(copy, "onnx")
    path.unlink()
    with pytest.raises(FileChanged, match=rf"{name} is missing"):
        Embedder(copy, "onnx")


def test_a_file_that_was_not_published_is_not_read(copy: Path) -> None:
    graph_models.write_json(copy / "added_tokens.json", {"[NEW]": 9})
    with pytest.raises(FileChanged, match=r"added_tokens.json is no file that was published"):
        Embedder(copy)


def test_a_folder_without_a_record_is_loaded_if_told_to(copy: Path) -> None:
    expected = Embedder(copy, "onnx").encode(TEXTS)
    (copy / "foundry.json").unlink()
    with pytest.raises(UnusableModel, match=r"has no foundry.json.*verify=False"):
        Embedder(copy, "onnx")
    assert np.array_equal(Embedder(copy, "onnx", verify=False).encode(TEXTS), expected)
    with pytest.raises(UnusableModel, match="name one"):
        Embedder(copy, verify=False)
    with pytest.raises(UnusableModel, match=r"has no onnx/model_O3.onnx"):
        Embedder(copy, "onnx_O3", verify=False)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2, "files": {}, "variants": {}}', '{"format": 1}'])
def test_a_damaged_record_is_a_clear_error(copy: Path, content: str) -> None:
    (copy / "foundry.json").write_text(content)
    with pytest.raises(UnusableModel, match=r"is damaged|is none of format 1"):
        Embedder(copy)


@pytest.mark.parametrize("name", ["../other.json", "/etc/passwd", "a//b", "C:x", "a\\b"])
def test_a_record_that_names_files_elsewhere_is_refused(copy: Path, name: str) -> None:
    record = json.loads((copy / "foundry.json").read_text())
    record["files"][name] = "0" * 64
    graph_models.write_json(copy / "foundry.json", record)
    with pytest.raises(UnusableModel, match="which is no file in its folder"):
        Embedder(copy)


def test_what_is_not_known_is_named(copy: Path) -> None:
    def refused(name: str, value: object, reason: str) -> None:
        path = copy / name
        before = path.read_bytes() if path.exists() else None
        graph_models.write_json(path, value)
        graph_models.record(copy)
        with pytest.raises(UnusableModel, match=reason):
            Embedder(copy, "onnx")
        path.unlink() if before is None else path.write_bytes(before)

    modules = json.loads((copy / "modules.json").read_text())
    for kind in ("sentence_transformers.models.LSTM", "own_code.Pooling"):
        refused("modules.json", [*modules, {"path": "3_X", "type": kind}], rf"3_X is a {kind}, which is not computed")
    router = {"path": "3_X", "type": "sentence_transformers.models.Router"}
    refused("modules.json", [*modules, router], "3_X has no types, structure and parameters of a Router")
    refused("modules.json", [{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}], "StaticEmbedding")
    refused("modules.json", [{"path": "", "type": "own.Transformer"}], "code of the model's own")
    refused("1_Pooling/config.json", {"pooling_mode": "median"}, "pools by median")
    refused("sentence_bert_config.json", {"max_seq_length": 16, "processing_kwargs": {"text": {}}}, "processing_kwargs")
    refused("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a", None]}}, "code of the model's own")
    refused("special_tokens_map.json", {"additional_special_tokens": ["[X]"]}, r"does not have '\[X\]'")
    refused("config_sentence_transformers.json", {"model_type": "CrossEncoder"}, "load it with Reranker")


def test_progress_is_shown_when_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embedder = Embedder(folder)
    embedder.encode(TEXTS)
    assert capsys.readouterr().err == ""
    embedder.encode(TEXTS, show_progress=True)
    assert capsys.readouterr().err.startswith(f"{len(TEXTS)} of {len(TEXTS)} texts, ")


def test_nothing_of_torch_is_imported(folder: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'sentence_transformers', 'optimum', 'huggingface_hub', 'openvino'):\n"
        "    sys.modules[name] = None\n"  # importing it is then an error
        "from foundry_runtime import Embedder\n"
        f"print(Embedder({str(folder)!r}).encode(['a', 'b']).shape)\n"
        "print(sorted(name for name in sys.modules if name in ('foundry', 'scipy', 'safetensors', 'pydantic')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "runtime", check=True, timeout=120
    )
    assert done.stdout.splitlines() == ["(2, 8)", "[]"]
