"""embed.py as it is published: onnxruntime, tokenizers and numpy alone give Sentence Transformers' embeddings."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundry_runtime.pooling import MODES

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.head import adding, onnx_graph
from foundry.loading import loader
from foundry.publishing import standalone
from foundry.reference import reference as frozen_reference
from foundry.reference.hard_texts import HARD_TEXTS
from foundry.reference.tokenizer_files import TokenizerRecord
from tests.support.texts import documents

TEXTS = ["one text", *documents()[:5], *(text for text in HARD_TEXTS.values() if "\n" not in text)]
ALIKE: TokenizerRecord = {"max_length": 64, "texts": 3, "same_by_file": 3, "transformers": "4.57.6"}
# Whose import is an error then.
FORBIDDEN = ("torch", "transformers", "sentence_transformers", "foundry", "foundry_runtime", "optimum")


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "published"))


def test_it_is_one_file_of_at_most_eighty_lines(published: Path) -> None:
    assert len((published / standalone.NAME).read_text().splitlines()) <= 80
    record = files.read_json(published / "foundry.json")
    assert record["embed_left_out"] is record["runtime_refuses"] is None
    assert standalone.NAME in record["files"]
    assert not (published / "__pycache__").exists()


@pytest.mark.parametrize("variant", ["onnx", "onnx_O2"])
def test_a_line_of_text_is_an_embedding(published: Path, variant: str) -> None:
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in FORBIDDEN)
    program = f"import runpy, sys\n{blocked}runpy.run_path('embed.py', run_name='__main__')\n"
    graph = [] if variant == "onnx" else ["model_O2.onnx"]
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, *graph], input="\n".join(TEXTS), capture_output=True, text=True,
        cwd=published, check=True, timeout=120,
    )  # fmt: skip
    rows = np.array([json.loads(line) for line in done.stdout.splitlines()])
    assert abs(rows - loader.load(published, variant).encode(TEXTS)).max() < 1e-5


def test_it_is_imported_as_a_function(published: Path) -> None:
    embed = runpy.run_path(str(published / standalone.NAME))["embed"]
    expected = loader.load(published, "onnx").encode([f"a prompt: {text}" for text in TEXTS])
    for batch_size in (1, 3, 32):
        assert abs(embed(TEXTS, prompt="a prompt: ", batch_size=batch_size) - expected).max() < 1e-5
    assert embed([]).shape == (0,)


def with_head_of(folder: Path, scratch: Path) -> None:
    """Write the head that the folder's modules say into its graph, in the place of the one that it has."""
    graph = folder / "onnx/model.onnx"
    scratch.mkdir()
    graph.write_bytes(onnx_graph.without_head(graph, scratch).read_bytes())
    assert adding.add(folder, "onnx")["output"] == "sentence_embedding"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("side", ["right", "left"])
def test_every_pooling_and_what_stands_behind_it(folder: Path, mode: str, side: str) -> None:
    from sentence_transformers.base.modules import Dense

    files.write_json(folder / "1_Pooling/config.json", {"embedding_dimension": 32, "pooling_mode": mode})
    if side == "left":
        config, tokenizer = (files.read_json(folder / name) for name in ("tokenizer_config.json", "tokenizer.json"))
        files.write_json(folder / "tokenizer_config.json", {**config, "padding_side": "left"})
        tokenizer["padding"]["direction"] = "Left"
        files.write_json(folder / "tokenizer.json", tokenizer)
    with_head_of(folder, folder.parent / "plain")
    embed = runpy.run_path(str(folder / standalone.NAME))["embed"]
    size = len(TEXTS)  # in one batch, because with padding on the left positions change with the batch
    expected = loader.load(folder, "onnx").encode(TEXTS, batch_size=size)
    if not (side == "left" and mode == "weightedmean"):  # version 5 of Sentence Transformers counts the padding, too
        assert abs(embed(TEXTS, batch_size=size) - expected).max() < 1e-5
    (folder / "2_Dense").mkdir()
    Dense(32, 8).save(str(folder / "2_Dense"))
    modules = files.read_json(folder / "modules.json")
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    files.write_json(folder / "modules.json", [*modules[:2], dense])
    with_head_of(folder, folder.parent / "dense")
    embed = runpy.run_path(str(folder / standalone.NAME))["embed"]
    alone = loader.load(folder, "onnx").encode(TEXTS[:1])
    assert alone.shape == (1, 8)
    assert abs(embed(TEXTS[:1]) - alone).max() < 1e-5


def test_it_is_left_out_where_it_cannot_compute_the_model(folder: Path) -> None:
    def reason(outputs: dict[str, str | None] | None = None, tokenizer: TokenizerRecord | None = ALIKE) -> str | None:
        return standalone.why_not(folder, outputs or {"torch": None, "onnx": "sentence_embedding"}, tokenizer)

    def with_json(name: str, value: Any) -> str | None:
        path = folder / name
        before = path.read_text()
        files.write_json(path, value)
        said = reason()
        path.write_text(before)
        return said

    assert reason() == "the checkpoint has an embed.py of its own"
    (folder / standalone.NAME).unlink()
    assert reason() is None
    assert reason({"torch": None, "openvino": "sentence_embedding"}) == "no ONNX variant passed"
    assert reason(tokenizer=None) == "tokenizer.json alone does not give the model's tokens"
    assert reason(tokenizer={**ALIKE, "same_by_file": 2}) == "tokenizer.json alone does not give the model's tokens"
    tokenizer = files.read_json(folder / "tokenizer.json")
    assert "how a batch is padded" in str(with_json("tokenizer.json", {**tokenizer, "padding": None}))
    assert reason({"onnx": None}) == "the graph of onnx has no output sentence_embedding"
    assert reason({"onnx": "sentence_embedding", "onnx_O2": None}) == (
        "the graph of onnx_O2 has no output sentence_embedding"
    )


def test_one_that_gives_other_embeddings_is_an_error(folder: Path, tiny: Path) -> None:
    from foundry.data import texts as frozen_texts

    expected = frozen_reference.read(tiny.parents[1] / "reference/tiny")
    texts = [row["text"] for row in frozen_texts.read(tiny.parents[1] / "texts/tiny/validation.jsonl")]
    standalone.add(folder, "onnx", expected, texts, 0.9999)
    with pytest.raises(FoundryError, match=r"embed.py gives a cosine of [-\d.]+ to torch, must be >= 0.9999"):
        standalone.add(folder, "onnx", expected, texts[::-1], 0.9999)
    shutil.rmtree(folder / "onnx")
    with pytest.raises(FoundryError, match=r"embed.py fails on the folder that is to be published"):
        standalone.add(folder, "onnx", expected, texts, 0.9999)


def test_without_an_exported_graph_it_takes_the_file_that_it_was_tried_with(folder: Path, tiny: Path) -> None:
    from foundry.data import texts as frozen_texts

    expected = frozen_reference.read(tiny.parents[1] / "reference/tiny")
    texts = [row["text"] for row in frozen_texts.read(tiny.parents[1] / "texts/tiny/validation.jsonl")]
    (folder / "onnx/model.onnx").unlink()
    (folder / "onnx/model_q4.onnx").write_bytes(b"a shorter name, of another file")
    standalone.add(folder, "onnx_O2", expected, texts, 0.9999)
    embed = runpy.run_path(str(folder / standalone.NAME))["embed"]
    assert abs(embed(TEXTS) - loader.load(folder, "onnx_O2").encode(TEXTS)).max() < 1e-5
