"""quantize: Sentence Transformers' bytes, rows with other settings, and unknown names are refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.data import texts
from foundry.head import onnx_graph
from foundry.loading import loader
from foundry.onnx import tables
from foundry.onnx.saturation import IntegerGraph
from foundry.reference import reference
from foundry.reference.closeness import cosines
from foundry.variants import naming, variant_folder
from stages import quantize
from tests.support.sentence_transformers_export import TARGETS
from tests.support.stages import measured_on, settings_file
from tests.support.texts import documents

VARIANT = "onnx_own"


@pytest.mark.needs_optimum
@pytest.mark.slow
@pytest.mark.parametrize("isa", TARGETS)
def test_same_bytes_as_sentence_transformers(
    real: Path, graphs_of_sentence_transformers: Path, isa: str, tmp_path: Path
) -> None:
    variant = f"onnx_{TARGETS[isa]}_{isa}"
    upstream = graphs_of_sentence_transformers / naming.file_name(variant)
    ours = onnx_graph.without_head(variant_folder.weights_path(real / variant, variant), tmp_path)
    assert files.sha256(ours) == files.sha256(upstream)


def quantized(project: Callable[..., Path], tiny: Path, row: dict[str, Any]) -> Path:
    def change(raw: dict) -> None:
        raw["quantize"][VARIANT] = row
        raw["variants"][VARIANT] = {}

    out = project(change) / "out"
    quantize.main(VARIANT, settings_file(f"build/{VARIANT}"), tiny / "onnx", *measured_on(tiny), out)
    return out


def graph_of(folder: Path) -> Any:
    return onnx.load(variant_folder.weights_path(folder, VARIANT))


def closeness(folder: Path, tiny: Path) -> float:
    sample = documents()[:20]
    embeddings = loader.load(folder, VARIANT).encode(sample)
    return float(cosines(embeddings, loader.load(tiny / "torch", "torch").encode(sample)).mean())


@pytest.mark.parametrize("source", ["onnx_O1", "onnx_O2", "onnx_O3"])
def test_from_an_optimized_graph(project: Callable[..., Path], tiny: Path, source: str) -> None:
    out = quantized(project, tiny, {"isa": "avx512", "from": source})
    kinds = {node.op_type for node in graph_of(out).graph.node}
    assert ("QAttention" in kinds) == (source != "onnx_O1")
    assert closeness(out, tiny) > 0.97


@pytest.mark.parametrize(("weights", "at_least"), [("int8", 0.999), ("int4", 0.9)])
def test_weights_alone(project: Callable[..., Path], tiny: Path, weights: str, at_least: float) -> None:
    out = quantized(project, tiny, {"weights": weights, "block_size": 16})
    kinds = [node.op_type for node in graph_of(out).graph.node]
    assert kinds.count("MatMulNBits") == 12
    assert closeness(out, tiny) > at_least


def test_a_budget_is_held_with_the_fewest_nodes_in_float(project: Callable[..., Path], tiny: Path) -> None:
    def on_validation_texts(folder: Path) -> float:
        validation_texts = [row["text"] for row in texts.read(measured_on(tiny)[1])]
        embeddings = loader.load(folder, VARIANT).encode(validation_texts, batch_size=16)
        return float(cosines(embeddings, reference.read(measured_on(tiny)[0]).embeddings).mean())

    row = {"isa": "avx512", "operators": ["MatMul"]}
    wanted = round(1 - (1 - on_validation_texts(quantized(project, tiny, row))) / 2, 5)
    out = quantized(project, tiny, {**row, "budget": {"mean_cosine": wanted}})
    assert on_validation_texts(out) >= wanted
    search = files.read_json(out / variant_folder.SEARCHED)
    assert 0 < len(search["in_float"]) < 12
    names = {node.name for node in graph_of(out).graph.node if node.op_type == "MatMul"}
    assert set(search["in_float"]) <= names


def test_operators_and_excluded_nodes(project: Callable[..., Path], tiny: Path) -> None:
    def integers(row: dict[str, Any]) -> list[str]:
        return [
            node.name for node in graph_of(quantized(project, tiny, row)).graph.node if node.op_type == "MatMulInteger"
        ]

    everything = integers({"isa": "avx512", "operators": ["MatMul"]})
    names = [
        node.name
        for node in onnx.load(variant_folder.weights_path(tiny / "onnx", "onnx")).graph.node
        if node.op_type == "MatMul"
    ]
    fewer = integers({"isa": "avx512", "operators": ["MatMul"], "exclude_nodes": names[:2]})
    assert len(fewer) == len(everything) - 2


def test_reduce_range_uses_seven_bits(project: Callable[..., Path], tiny: Path) -> None:
    def largest(row: dict[str, Any]) -> int:
        tensors = graph_of(quantized(project, tiny, row)).graph.initializer
        weights = [
            onnx.numpy_helper.to_array(tensor) for tensor in tensors if tensor.data_type == onnx.TensorProto.INT8
        ]
        return int(max(np.abs(weight.astype(int)).max() for weight in weights))

    assert largest({"isa": "avx512"}) == 127
    assert largest({"isa": "avx512", "reduce_range": True}) == 64


@pytest.mark.parametrize("source", ["onnx", "onnx_O3"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_reduce_range_where_sums_could_saturate(
    project: Callable[..., Path], tiny: Path, tmp_path: Path, source: str, per_channel: bool
) -> None:
    row = {"isa": "avx512", "from": source, "operators": ["MatMul", "Attention"], "per_channel": per_channel}

    def examined(**more: Any) -> tuple[IntegerGraph, Path]:
        folder = quantized(project, tiny, {**row, **more})
        scratch = tmp_path / f"graph_{len(list(tmp_path.iterdir()))}"
        scratch.mkdir()
        return IntegerGraph(variant_folder.weights_path(folder, VARIANT), scratch), folder

    assert examined()[0].products
    graph, folder = examined(reduce_range="auto")
    assert graph.product_count
    assert not graph.products
    largest = max(
        np.abs(onnx.numpy_helper.to_array(tensor).astype(int)).max()
        for tensor in graph_of(folder).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8
    )
    assert largest > 64 or not per_channel  # where it is safe, more than seven bits
    assert closeness(folder, tiny) > 0.97


def test_int8_embeddings_have_a_scale_for_each_row(
    project: Callable[..., Path], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SMALLEST_TABLE", 10_000)
    row = {"isa": "avx512", "operators": ["MatMul"]}
    float_embeddings = quantized(project, tiny, row)
    size = variant_folder.weights_path(float_embeddings, VARIANT).stat().st_size
    before = closeness(float_embeddings, tiny)
    out = quantized(project, tiny, {**row, "int8_embeddings": True})
    assert files.read_json(out / "built.json")["operators"]["int8 tables"] == 1
    assert variant_folder.weights_path(out, VARIANT).stat().st_size < 0.8 * size
    assert closeness(out, tiny) > before - 0.002


def test_products_of_activations_may_stay_in_float(project: Callable[..., Path], tiny: Path) -> None:
    def count(**more: Any) -> int:
        folder = quantized(project, tiny, {"isa": "avx512", "operators": ["MatMul"], **more})
        return sum(node.op_type == "MatMulInteger" for node in graph_of(folder).graph.node)

    assert count() - count(attention_products=False) == 4  # two in each of two layers


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"isa": "avx2", "exclude_nodes": ["/no/such"]}, "/no/such, which the graph does not have"),
        ({"isa": "avx2", "operators": ["MatMull"]}, "MatMull; ONNX Runtime quantizes"),
        ({"isa": "avx2", "operators": ["Conv"]}, "nothing in .* was quantized"),
    ],
)
def test_a_row_that_would_do_something_else_is_refused(
    project: Callable[..., Path], tiny: Path, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(FoundryError, match=message):
        quantized(project, tiny, row)


def test_a_truncated_graph_is_one_clear_error(project: Callable[..., Path], tiny: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny / "onnx", tmp_path / "onnx")
    graph = variant_folder.weights_path(source, "onnx")
    graph.write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(FoundryError, match=r"model.onnx is truncated or no ONNX graph"):
        quantize.main(
            "onnx_qint8_avx512", settings_file("build/onnx_qint8_avx512"), source, *measured_on(tiny), project() / "out"
        )
    assert not (tmp_path / "out").exists()
