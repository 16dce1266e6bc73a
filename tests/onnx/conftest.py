"""Graphs that Sentence Transformers' own functions make, to compare bytes with."""

from pathlib import Path

import pytest

from tests.support import sentence_transformers_export
from tests.support.sessions import built_once


@pytest.fixture(scope="session")
def graphs_of_sentence_transformers(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model_O1.onnx to model_O4.onnx, and a dynamic int8 graph for each instruction set."""

    def export(folder: Path) -> None:
        sentence_transformers_export.run(real / "onnx", folder)

    return built_once(tmp_path_factory, "graphs-of-sentence-transformers", export) / "onnx"
