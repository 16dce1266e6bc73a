"""calibrate: the mix of texts is kept, and int8 keeps the embedding."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import calibrate
from stages.shared import loader, models, reference, texts
from stages.shared.command import StageError
from stages.shared.embeddings import cosines

ROWS = [{"group": "short", "text": f"s{i}"} for i in range(30)] + [
    {"group": "long", "text": f"l{i}"} for i in range(10)
]


def test_fewer_samples_keep_the_mix() -> None:
    assert calibrate.choose(ROWS, None) == [row["text"] for row in ROWS]
    chosen = calibrate.choose(ROWS, 12)
    assert len(set(chosen)) == 12
    assert sum(text.startswith("l") for text in chosen) == 3


def test_more_samples_than_texts_is_an_error() -> None:
    with pytest.raises(StageError, match="samples is 41, and there are 40"):
        calibrate.choose(ROWS, 41)


def test_texts_go_in_at_their_natural_lengths(tiny: Path) -> None:
    inputs = calibrate.tokenize(
        tiny / "openvino", ["one", "one two three", "word " * 500], {"input_ids", "attention_mask"}
    )
    lengths = [value["input_ids"].shape[1] for value in inputs]
    assert lengths[0] < lengths[1] < lengths[2] == models.max_seq_length(tiny / "torch")
    assert set(inputs[0]) == {"input_ids", "attention_mask"}
    assert all(value["attention_mask"].all() for value in inputs)


def test_an_ignored_scope_that_matches_nothing_is_refused(project: Callable[..., Path], tiny: Path) -> None:
    def change(raw: dict) -> None:
        raw["calibrate"]["openvino_qint8_quantized"]["ignored_scope"] = {"names": ["/no/such"]}

    out = project(change) / "out"
    with pytest.raises(StageError, match="ignored_scope"):
        calibrate.main("openvino_qint8_quantized", tiny / "openvino", texts_of(tiny) / "calibration.jsonl", out)
    assert not out.exists()


def test_a_truncated_graph_is_one_clear_error(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny / "openvino", tmp_path / "openvino")
    graph = models.weights_path(source, "openvino")
    graph.write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(StageError, match="truncated or no OpenVINO graph"):
        calibrate.main("openvino_qint8_quantized", source, texts_of(tiny) / "calibration.jsonl", project() / "out")


@pytest.mark.slow
def test_the_real_model_keeps_its_embedding(real: Path) -> None:
    variant = "openvino_qint8_quantized"
    chosen = [row["text"] for row in texts.read(texts_of(real) / "validation.jsonl")]
    expected = reference.read(real.parent.parent / "reference/minilm").embeddings
    cosine = cosines(loader.load(real / variant, variant).encode(chosen), expected)
    assert cosine.mean() > 0.99
    assert cosine.min() > 0.95


def texts_of(model_folder: Path) -> Path:
    return model_folder.parent.parent / "texts"
