"""Graphs that Sentence Transformers' own functions make, to compare bytes with."""

import shutil
from pathlib import Path

import pytest

from foundry.head import onnx_graph
from tests.support import sentence_transformers_export
from tests.support.sessions import built_once


@pytest.fixture(scope="session")
def graphs_of_sentence_transformers(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model_O1.onnx to model_O4.onnx, and a dynamic int8 graph for each instruction set, made of the
    exported graph before its head was added."""

    def export(folder: Path) -> None:
        bare = folder / "bare"
        shutil.copytree(real / "onnx", bare)
        graph = bare / "onnx/model.onnx"
        graph.write_bytes(onnx_graph.without_head(graph, folder).read_bytes())
        sentence_transformers_export.run(bare, folder)

    return built_once(tmp_path_factory, "graphs-of-sentence-transformers", export) / "onnx"
