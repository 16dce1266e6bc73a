"""Every operator that multiplies int8, as ONNX Runtime computes it on this processor and as it is computed here."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from foundry.int8.saturation import Ranges, risky_pairs, saturating_product
from foundry.onnx import saturated_products, saturation
from foundry.variants import naming

RNG = np.random.default_rng(0)
CHANNELS, OUTPUTS = 24, 48
WEIGHT = RNG.integers(-127, 128, (CHANNELS, OUTPUTS)).astype(np.int8)
TOKENS = RNG.uniform(-1, 3, (2, 10, CHANNELS)).astype(np.float32)
SCALES = RNG.uniform(0.01, 0.02, OUTPUTS).astype(np.float32)
QUANTIZED = {"scale": np.float32(4 / 255), "zero_point": np.uint8(64)}
MICROSOFT = {"domain": "com.microsoft"}

Nodes = list[Any]


def static_tokens() -> Nodes:
    return [helper.make_node("QuantizeLinear", ["tokens", "scale", "zero_point"], ["integers"], "quantize")]


def dynamic_tokens() -> Nodes:
    return [helper.make_node("DynamicQuantizeLinear", ["tokens"], ["integers", "its_scale", "its_zero"], "quantize")]


def matmul_integer() -> Nodes:
    inputs = ["integers", "weight", "its_zero"]
    return [
        *dynamic_tokens(),
        helper.make_node("MatMulInteger", inputs, ["sums"], "product"),
        helper.make_node("Cast", ["sums"], ["result"], "cast", to=TensorProto.FLOAT),
    ]


def matmul_integer_of_dynamic_int8() -> Nodes:
    return [
        *matmul_integer()[:-1],
        helper.make_node("Cast", ["sums"], ["in_float"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["its_scale", "weight_scale"], ["both"], "both"),
        helper.make_node("Mul", ["in_float", "both"], ["result"], "scaled"),
    ]


def matmul_integer_to_float() -> Nodes:
    inputs = ["integers", "weight", "scale", "weight_scale", "zero_point", "", "bias"]
    return [*static_tokens(), helper.make_node("MatMulIntegerToFloat", inputs, ["result"], "product", **MICROSOFT)]


def qlinear_matmul() -> Nodes:
    inputs = ["integers", "scale", "zero_point", "weight", "one_scale", "weight_zero", "scale", "zero_point"]
    return [
        *static_tokens(),
        helper.make_node("QLinearMatMul", inputs, ["quantized"], "product"),
        helper.make_node("DequantizeLinear", ["quantized", "scale", "zero_point"], ["result"], "dequantize"),
    ]


def quantize_and_dequantize() -> Nodes:
    return [
        *static_tokens(),
        helper.make_node("DequantizeLinear", ["integers", "scale", "zero_point"], ["rounded"], "dequantize"),
        helper.make_node("DequantizeLinear", ["weight", "one_scale", "weight_zero"], ["floats"], "weights"),
        helper.make_node("MatMul", ["rounded", "floats"], ["result"], "product"),
    ]


def attention() -> Nodes:
    inputs = ["integers", "weight", "bias", "scale", "weight_scale", "mask", "zero_point", "weight_zeros"]
    return [*static_tokens(), helper.make_node("QAttention", inputs, ["result"], "product", num_heads=2, **MICROSOFT)]


OPERATORS = [
    matmul_integer, matmul_integer_of_dynamic_int8, matmul_integer_to_float, qlinear_matmul, quantize_and_dequantize,
    attention,
]  # fmt: skip


def save(path: Path, nodes: Nodes, weight: np.ndarray, opset: int = 17) -> Path:
    constants = {
        "weight": weight,
        "weight_scale": SCALES,
        "weight_zero": np.int8(0),
        "weight_zeros": np.zeros(OUTPUTS, np.int8),
        "one_scale": np.float32(0.01),
        "bias": np.zeros(OUTPUTS, np.float32),
        "mask": np.array([[1] * 10, [1] * 6 + [0] * 4], np.int32),
        **QUANTIZED,
    }
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, [None, None, CHANNELS])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in used],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def run(path: Path, exact: bool = False) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    if exact:
        options.add_session_config_entry(*naming.EXACT_SUMS)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return dict(
        zip([output.name for output in session.get_outputs()], session.run(None, {"tokens": TOKENS}), strict=True)
    )


def simulated(path: Path, tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The result with exact and with saturating sums, whatever the processor."""
    graph = saturation.IntegerGraph(path, tmp_path)
    [product] = graph.products
    assert not graph.unknown
    graph.write(tmp_path / "exact.onnx", {})
    exact = run(tmp_path / "exact.onnx", exact=True)
    ranges = Ranges()
    ranges.add_outputs(exact, [product.tokens])
    graph.write(tmp_path / "saturating.onnx", {product.output: ranges.pairs(product.tokens, product.weight)})
    return exact["result"], run(tmp_path / "saturating.onnx", exact=True)["result"]


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
def test_the_simulation_is_what_the_processor_computes(operator: Any, opset: int, tmp_path: Path) -> None:
    path = save(tmp_path / "graph.onnx", operator(), WEIGHT, opset)
    exact, saturating = simulated(path, tmp_path)
    assert np.abs(exact - saturating).max() > 0.05 * np.abs(exact).max()
    here = run(path)["result"]
    expected = saturating if saturation.saturates_here() else exact
    # A quantized result may be rounded to the next integer.
    atol = 1.01 * 4 / 255 if operator is qlinear_matmul else 1e-5 * np.abs(exact).max()
    np.testing.assert_allclose(here, expected, atol=atol)
    np.testing.assert_allclose(run(path, exact=True)["result"], exact, atol=atol)


@pytest.mark.parametrize("most_pairs", [saturated_products.MOST_PAIRS, 1, 64])
def test_the_sums_are_those_of_16_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_pairs: int) -> None:
    """Against integers in numpy, so that two errors alike would be seen on any processor. Outputs go in parts where
    there are as many as words in a vocabulary."""
    monkeypatch.setattr(saturated_products, "MOST_PAIRS", most_pairs)
    path = save(tmp_path / "graph.onnx", matmul_integer(), WEIGHT)
    low = min(float(TOKENS.min()), 0.0)
    scale = np.float32((TOKENS.max() - low) / 255)
    zero_point = int(np.round(-low / scale))
    integers = np.clip(np.round(TOKENS / scale) + zero_point, 0, 255).astype(np.uint8).reshape(-1, CHANNELS)
    offset = zero_point * WEIGHT.astype(np.int64).sum(axis=0)
    exact, saturating = (result.reshape(-1, OUTPUTS) for result in simulated(path, tmp_path))
    assert np.array_equal(exact, integers.astype(np.int64) @ WEIGHT.astype(np.int64) - offset)
    assert np.array_equal(saturating, saturating_product(integers, WEIGHT) - offset)


@pytest.mark.parametrize(
    "weight", [np.clip(WEIGHT, -64, 64), (WEIGHT.astype(np.int16) + 128).astype(np.uint8)], ids=str
)
def test_seven_bits_and_unsigned_weights_never_saturate(weight: np.ndarray, tmp_path: Path) -> None:
    graph = saturation.IntegerGraph(save(tmp_path / "graph.onnx", matmul_integer(), weight), tmp_path)
    assert (graph.product_count, graph.products, graph.unknown) == (1, [], [])


def test_what_cannot_be_told_is_named(tmp_path: Path) -> None:
    weight = RNG.integers(-127, 128, (OUTPUTS, 1, 3)).astype(np.int8)
    nodes = [
        *dynamic_tokens(),
        helper.make_node("Unsqueeze", ["integers", "axis"], ["as_image"], "unsqueeze"),
        helper.make_node("ConvInteger", ["as_image", "weight_of_convolution"], ["sums"], "convolution"),
        helper.make_node("Cast", ["sums"], ["result"], "cast", to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, [1, CHANNELS])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "weight_of_convolution"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    path = tmp_path / "convolution.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert saturation.IntegerGraph(path, tmp_path).unknown == ["convolution"]


def test_a_weight_of_random_integers_is_risky() -> None:
    """So that the tests above say something."""
    assert len(risky_pairs(WEIGHT)) > 50
