"""Damage to the real model: each kind is caught, by the check that should see it.

That all untouched variants pass is shown in test_publish.py, by the same call.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from foundry.data import texts
from foundry.loading import loader
from foundry.reference import reference
from foundry.validation import results
from foundry.variants import variant_folder
from tests.support import damage
from tests.support.projects import ROOT
from tests.support.stages import validate_in

pytestmark = pytest.mark.slow

Change = Callable[[Any], None]


def weights(model: Any) -> dict[str, Any]:
    """The constant second input of every MatMul, by the node's name."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    return {
        node.name: constants[node.input[1]]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in constants
    }


def set_value(tensor: Any, value: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), tensor.name))


def swap_layers(model: Any) -> None:
    by_node = weights(model)
    for name, tensor in by_node.items():
        if "layer.1/" in name:
            other = by_node[name.replace("layer.1/", "layer.4/")]
            first, second = numpy_helper.to_array(tensor).copy(), numpy_helper.to_array(other).copy()
            set_value(tensor, second)
            set_value(other, first)


def zero_a_tensor(model: Any) -> None:
    tensor = next(tensor for name, tensor in weights(model).items() if "layer.2/output" in name)
    set_value(tensor, np.zeros_like(numpy_helper.to_array(tensor)))


def round_to_four_bits(model: Any) -> None:
    for tensor in weights(model).values():
        value = numpy_helper.to_array(tensor)
        step = np.abs(value).max(axis=0, keepdims=True) / 7
        set_value(tensor, (np.round(value / step) * step).astype(np.float32))


def another_revision(model: Any) -> None:
    generator = np.random.default_rng(0)
    for tensor in weights(model).values():
        value = numpy_helper.to_array(tensor)
        noise = generator.normal(scale=0.02 * value.std(), size=value.shape)
        set_value(tensor, (value + noise).astype(np.float32))


def large_epsilon(model: Any) -> None:
    count = 0
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = 1e-2
                count += 1
    assert count == 13  # every layer normalization of the fused graph


def ignore_the_mask(model: Any) -> None:
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "attention_mask":
                node.input[index] = "all_ones"
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape_of_mask"], ["all_ones"], value=one))
    model.graph.node.insert(0, helper.make_node("Shape", ["attention_mask"], ["shape_of_mask"]))


def nan_for_long_inputs(model: Any) -> None:
    """Adds 0/0 to the output where the input has more than 200 tokens, and 0/1 elsewhere."""
    output = model.graph.output[0].name
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == output:
                node.output[index] = "before"
    constants = {"limit": np.array([200], dtype=np.int64), "nothing": np.array([0], dtype=np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["input_ids"], ["tokens"], start=1, end=2),
            helper.make_node("Less", ["tokens", "limit"], ["is_short"]),
            helper.make_node("Cast", ["is_short"], ["divisor"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["nothing", "divisor"], ["poison"]),
            helper.make_node("Add", ["before", "poison"], [output]),
        ]
    )


def in_graph(variant: str, change: Change) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = variant_folder.weights_path(folder, variant)
        model = onnx.load(path)
        change(model)
        onnx.save(model, path)

    return damage


def in_json(name: str, change: Change) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value))

    return damage


def cls_pooling(config: dict[str, Any]) -> None:
    config.update(pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)


def setting(name: str, **values: Any) -> Callable[[Path], None]:
    return in_json(name, lambda config: config.update(values))


def keep_case(folder: Path) -> None:
    """In both files that say it: the fast tokenizer takes tokenizer_config.json's word over its own file's."""
    in_json("tokenizer.json", lambda config: config["normalizer"].update(lowercase=False))(folder)
    setting("tokenizer_config.json", do_lower_case=False)(folder)


# What is done to which variant, and the checks that must see it.
Damage = tuple[str, Callable[[Path], None], set[str]]
DAMAGES: dict[str, Damage] = {
    "one layer's weights swapped with another's": (
        "onnx", in_graph("onnx", swap_layers), {"mean_cosine", "min_cosine"}
    ),
    "one weight tensor zeroed": (
        "onnx", in_graph("onnx", zero_a_tensor), {"mean_cosine", "recall_at_10"}
    ),
    "weights rounded to 4 bits": (
        "onnx", in_graph("onnx", round_to_four_bits), {"mean_cosine", "max_abs_diff"}
    ),
    "layer normalization epsilon of 0.01": (
        "onnx_O2", in_graph("onnx_O2", large_epsilon), {"mean_cosine"}
    ),
    "pooling changed to CLS": (
        "onnx", in_json("1_Pooling/config.json", cls_pooling), {"different_modules", "mean_cosine"}
    ),
    "normalization dropped": (
        "onnx", in_json("modules.json", lambda rows: rows.pop()), {"different_modules", "max_abs_diff"}
    ),
    "maximum length halved": (
        "onnx", setting("sentence_bert_config.json", max_seq_length=128), {"different_max_length", "different_tokens"}
    ),
    "a tokenizer with lower-casing off": (
        "onnx", keep_case, {"different_tokens"}
    ),
    "a tokenizer that does not give token_type_ids": (
        "onnx",
        setting("tokenizer_config.json", model_input_names=["input_ids", "attention_mask"]),
        {"inputs_not_given"},
    ),
    "the attention mask ignored": (
        "onnx", in_graph("onnx", ignore_the_mask), {"consistency_mean_cosine", "min_cosine"}
    ),
    "NaN for long inputs only": (
        "onnx", in_graph("onnx", nan_for_long_inputs), {"hard_non_finite_values"}
    ),
    "a constant for inputs of 155 to 255 tokens": (
        "onnx", in_graph("onnx", damage.constant(tokens=(155, 255))), {"lengths_min_cosine"}
    ),
    "a constant for inputs of 155 to 255 tokens, in int8": (
        "onnx_qint8_avx512", in_graph("onnx_qint8_avx512", damage.constant(tokens=(155, 255))), {"lengths_min_cosine"}
    ),
    "rows swapped in batches of 64 and more": (
        "onnx_qint8_avx512_vnni",
        in_graph("onnx_qint8_avx512_vnni", damage.rows_reversed((64, 10**6))),
        {"consistency_min_cosine"},
    ),
    "nothing beyond 32 rows": (
        "onnx_qint8_static", in_graph("onnx_qint8_static", damage.only_first_rows(32)), {"consistency_min_cosine"}
    ),
    "27,992 of 30,522 words zeroed": (
        "onnx", in_graph("onnx", damage.in_rows("word", damage.zeroed(slice(2530, None)))),
        {"wrong_rows", "sequences_min_cosine"},
    ),
    "one of 30,522 words zeroed": (
        "onnx_O3", in_graph("onnx_O3", damage.in_rows("word", damage.zeroed(20_000))), {"wrong_rows"}
    ),
    "one of 512 positions zeroed": (
        "onnx", in_graph("onnx", damage.in_rows("position", damage.zeroed(203))), {"wrong_rows"}
    ),
    "a stale file left from another revision": (
        "onnx", in_graph("onnx", another_revision), {"min_cosine", "max_abs_diff"}
    ),
}  # fmt: skip


def failed(result: results.Validation) -> set[str]:
    return {row["check"] for row in result["checks"] if not row["passed"]}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_caught_by_the_check_that_sees_it(
    real: Path, tmp_path: Path, name: str, default_params: None
) -> None:
    """Without labelled tasks: they may see it, too, and not everybody has them."""
    variant, do, expected = DAMAGES[name]
    folder = shutil.copytree(real / variant, tmp_path / variant)
    do(folder)
    result = validate_in(tmp_path, real, variant, folder, with_tasks=False)
    assert result["verdict"] == "failed"
    assert expected <= failed(result)


def test_dynamic_int8_changes_with_the_batch_and_carries_a_warning(
    real: Path, tmp_path: Path, default_params: None
) -> None:
    dynamic, *static = (
        validate_in(tmp_path, real, variant, real / variant)
        for variant in ("onnx_qint8_avx512", "onnx_qint8_static", "openvino_qint8_quantized")
    )
    assert results.changes_with_batch(dynamic) is not None
    # On processors with VNNI, another sum of OpenVINO's may tip one rounding of a text in a long batch.
    assert min(results.changes_with_batch(validation) or 1.0 for validation in static) >= 0.9995


def test_two_vocabulary_rows_swapped(real: Path, tmp_path: Path, default_params: None) -> None:
    """Found where a single text holds one of the two; the result says how much of the vocabulary the texts hold."""
    expected = reference.read(real.parent.parent / "reference/minilm")
    counts: dict[int, int] = {}
    for ids in expected.tokens:
        for token in set(ids):
            counts[token] = counts.get(token, 0) + 1
    in_ordinary_texts = {token for ids in expected.tokens[: len(expected.embeddings)] for token in ids}
    first, second = sorted(token for token in in_ordinary_texts if counts[token] == 1)[10:12]

    def swap(model: Any) -> None:
        table = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("word_embeddings.weight"))
        value = numpy_helper.to_array(table).copy()
        value[[first, second]] = value[[second, first]]
        set_value(table, value)

    folder = shutil.copytree(real / "onnx", tmp_path / "onnx")
    in_graph("onnx", swap)(folder)
    result = validate_in(tmp_path, real, "onnx", folder)
    assert "min_cosine" in failed(result)
    assert result["vocabulary"] == f"{len(counts)} of 30522"


@pytest.mark.needs_optimum
def test_sentence_transformers_own_static_recipe(real: Path, tmp_path: Path, default_params: None) -> None:
    """Its own function, on short texts instead of a data set on the Hub; it pads them to 384 tokens."""
    import optimum.intel.openvino as optimum_openvino
    from datasets import Dataset
    from sentence_transformers import export_static_quantized_openvino_model

    short_texts = texts.by_group(texts.read(real.parent.parent / "texts/minilm/benchmark.jsonl"))["short"][:60]
    variant = "openvino_qint8_quantized"
    folder = shutil.copytree(real / variant, tmp_path / variant)
    with pytest.MonkeyPatch.context() as patch:
        rows = Dataset.from_dict({"sentence": short_texts})
        patch.setattr(
            optimum_openvino.OVQuantizer,
            "get_calibration_dataset",
            lambda self, preprocess_function, **_: rows.map(preprocess_function, batched=True),
        )
        config = optimum_openvino.OVQuantizationConfig(num_samples=len(short_texts))
        export_static_quantized_openvino_model(loader.load(real / "openvino", "openvino").model, config, str(folder))
    result = validate_in(tmp_path, real, variant, folder)
    assert "mean_cosine" in failed(result)


@pytest.fixture
def default_params(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
