"""What `download` takes as a MultiVectorEncoder: Sentence Transformers' own, PyLate's and Stanford's ColBERT."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from foundry_runtime.folder import open_folder
from foundry_runtime.layout import read_layout

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.variants import checkpoint_folder
from stages import download
from tests.support.checkpoints import make_checkpoint, make_multi_vector, make_pylate, make_stanford
from tests.support.stages import settings_file

TEXTS = ["a query, short", "a text of more words than eight; it is read as a document, and cut."]


@pytest.mark.parametrize("make", [make_multi_vector, make_pylate, make_stanford])
def test_it_is_what_sentence_transformers_loads(
    project: Callable[..., Path], tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    from sentence_transformers import MultiVectorEncoder

    folder = make(tmp_path / "checkpoint")
    root = project(lambda raw: raw["models"].update(tiny={"source": {"path": str(folder)}}))
    download.main("tiny", settings_file("download"), root / "torch")
    assert checkpoint_folder.kind(root / "torch") == "MultiVectorEncoder"
    assert not any(row["type"].startswith("pylate") for row in checkpoint_folder.modules(root / "torch"))
    expected = MultiVectorEncoder(str(folder), device="cpu")
    vectors = [expected.encode_query(TEXTS[0]).numpy(), expected.encode_document(TEXTS[1]).numpy()]
    assert np.array_equal(loader.load(root / "torch", "torch").encode(TEXTS), np.concatenate(vectors))
    assert read_layout(open_folder(root / "torch", verify=False)).unknown_settings == ()


def test_another_module_of_pylate_is_refused(project: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_pylate(tmp_path / "checkpoint", "pylate.models.Other.Other")
    root = project(lambda raw: raw["models"].update(tiny={"source": {"path": str(folder)}}))
    with pytest.raises(FoundryError, match=r"module type pylate\.models\.Other\.Other is of the package pylate"):
        download.main("tiny", settings_file("download"), root / "torch")


def test_pylates_dense_in_a_model_of_another_kind_is_refused(project: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_pylate(tmp_path / "checkpoint")
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "SentenceTransformer"}))
    root = project(lambda raw: raw["models"].update(tiny={"source": {"path": str(folder)}}))
    with pytest.raises(FoundryError, match=r"module type pylate\.models\.Dense\.Dense is of the package pylate"):
        download.main("tiny", settings_file("download"), root / "torch")


def test_a_projection_that_would_be_random_is_refused(project: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint")
    row = {"source": {"path": str(folder)}, "kind": "MultiVectorEncoder"}
    root = project(lambda raw: raw["models"].update(tiny=row))
    with pytest.raises(FoundryError, match="needs a Dense that it does not hold"):
        download.main("tiny", settings_file("download"), root / "torch")
    assert not files.files_below(root / "torch") if (root / "torch").exists() else True
