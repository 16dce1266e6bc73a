"""The one loader: exactly the file that was asked for, or an error."""

import logging
from pathlib import Path

import pytest

from foundry.base.errors import FoundryError
from foundry.loading import loader
from foundry.variants import variant_folder
from tests.support.checkpoints import make_kind


def test_a_missing_file_is_an_error_and_not_an_export(tiny: Path) -> None:
    with pytest.raises(FoundryError, match=r"model_O2.onnx is not there"):
        loader.load(tiny / "onnx", "onnx_O2")


def test_the_file_is_the_one_asked_for(tiny: Path) -> None:
    loaded = loader.load(tiny / "onnx_O2", "onnx_O2")
    assert Path(loaded.model[0].auto_model.path) == variant_folder.weights_path(tiny / "onnx_O2", "onnx_O2")


def test_openvino_computes_in_fp32_on_every_processor(tiny: Path) -> None:
    graph = loader.load(tiny / "openvino", "openvino").model[0].auto_model
    graph.compile()
    assert graph.request.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"


def test_loading_leaves_the_log_level_as_it_was(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sentence_transformers

    logger = logging.getLogger("sentence_transformers")
    levels: list[int] = []

    class Watched(sentence_transformers.SentenceTransformer):
        def __init__(self, *arguments: object, **options: object) -> None:
            levels.append(logger.level)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", Watched)
    monkeypatch.setattr(logger, "level", logging.INFO)
    loader.load(tiny / "torch", "torch")
    assert (levels, logger.level) == ([logging.ERROR], logging.INFO)


def test_a_loaded_variant_says_what_model_it_is(tiny: Path) -> None:
    torch, onnx = loader.load(tiny / "torch", "torch"), loader.load(tiny / "onnx", "onnx")
    assert torch.facts() == onnx.facts()
    assert (torch.kind, torch.max_seq_length, torch.has_prompts) == ("SentenceTransformer", 64, False)
    assert torch.facts()["similarity"] == "cosine"
    assert [name for name, _ in torch.facts()["modules"]] == ["Pooling", "Normalize"]
    assert torch.vocabulary_size == onnx.vocabulary_size > 500
    assert (torch.graph_inputs, onnx.graph_inputs) == (set(), {"input_ids", "attention_mask", "token_type_ids"})
    assert torch.token_ids(["the", "the the"]) == onnx.token_ids(["the", "the the"])
    assert [len(ids) for ids in torch.token_ids(["the", "the the"])] == [3, 4]
    rows = onnx.encode(["one text", "another"], batch_size=1)
    assert (rows.shape, rows.dtype) == ((2, 32), "float32")


@pytest.mark.parametrize("kind", ["SparseEncoder", "CrossEncoder"])
def test_rows_in_bf16_are_numbers_that_numpy_knows(tmp_path: Path, kind: str) -> None:
    folder = make_kind(tmp_path / "torch", kind)
    texts = ["one text", "another one", "and one more", "the last of them"]
    rows = {}
    for precision in ("f32", "bf16"):
        options: loader.Options = {} if precision == "f32" else {"precision": "bf16"}
        loaded = loader.load(folder, "torch", options)
        rows[precision] = loaded.encode(loaded.items(texts))
    assert rows["bf16"].dtype == "float32"
    assert (rows["bf16"] != rows["f32"]).any()
    assert rows["bf16"] == pytest.approx(rows["f32"], abs=0.05)
