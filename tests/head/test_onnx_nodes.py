"""The head as operators, by ONNX Runtime in several opsets and by OpenVINO, beside Sentence Transformers' modules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundry_runtime import activations
from foundry_runtime.head import Pooling as PoolingStep
from foundry_runtime.head import SpladePooling, Step
from foundry_runtime.pooling import MODES

from foundry.head import onnx_graph
from foundry.head.reading import HeadOfModel, Unsupported
from tests.support.heads import LENGTHS, WIDTH, as_version_5_can, by_both, saved, tokens_to_embedding, values

OPSETS = (13, 17, 18, 21)  # before and after ReduceMax took its axes as an input


def head_of(steps: tuple[Step, ...], **more: Any) -> HeadOfModel:
    head = HeadOfModel(steps, "token_embeddings", "sentence_embedding", "sentence_embedding", None, "Identity")
    return head._replace(**more)


def by_graphs(head: HeadOfModel, given: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
    """What each runtime makes of vectors by a head."""
    import onnxruntime
    import openvino

    (vectors,) = (value for name, value in given.items() if name != "attention_mask")
    inputs = {"given": vectors, "attention_mask": given["attention_mask"].astype(np.int64)}
    for opset in OPSETS:
        session = onnxruntime.InferenceSession(onnx_graph.alone(head, vectors.ndim, opset))
        yield session.run([head.output], inputs)[0]
    core = openvino.Core()
    model = core.read_model(onnx_graph.alone(head, vectors.ndim, by_products=False))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    taken = {name: value for name, value in inputs.items() if any(name in node.names for node in compiled.inputs)}
    yield compiled(taken)[0]


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("modes", [*((mode,) for mode in MODES), MODES], ids=lambda modes: "+".join(modes))
def test_every_pooling(tmp_path: Path, padding: str, modes: tuple[str, ...]) -> None:
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    given = values(padding)
    modules = [Pooling(WIDTH, modes), Normalize()]
    expected, _ = by_both(tmp_path / "a", modules, given, theirs=as_version_5_can(modes, given))
    for rows in by_graphs(head_of(saved(tmp_path / "b", modules).steps), given):
        assert rows.shape == (len(LENGTHS), WIDTH * len(modes))
        assert abs(rows - expected).max() < 1e-6


@pytest.mark.parametrize("name", activations.FUNCTIONS)
def test_dense_with_every_activation(tmp_path: Path, name: str) -> None:
    import torch
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import Pooling

    torch.manual_seed(0)
    for bias in (True, False):
        modules = [Pooling(WIDTH, "max"), Dense(WIDTH, 5, bias, getattr(torch.nn, name)())]
        expected, _ = by_both(tmp_path / f"a{bias}", modules, values())
        for rows in by_graphs(head_of(saved(tmp_path / f"b{bias}", modules).steps), values()):
            assert abs(rows - expected).max() < 1e-6


def test_dense_on_tokens_layer_norm_and_a_cut(tmp_path: Path) -> None:
    import torch
    from sentence_transformers.base.modules import Dense

    torch.manual_seed(0)
    modules = tokens_to_embedding(Dense(14, 6))
    expected, _ = by_both(tmp_path / "a", modules, values())
    steps = saved(tmp_path / "b", modules).steps
    for rows in by_graphs(head_of(steps), values()):
        assert abs(rows - expected).max() < 1e-6
    for rows in by_graphs(head_of(steps, truncate_dim=4), values()):
        assert abs(rows - expected[:, :4]).max() < 1e-6


def test_what_version_6_added_to_modules(tmp_path: Path) -> None:
    """Dense with a residual and Normalize of tokens, against the runtime, whose own tests compare it with torch."""
    from foundry_runtime.head import Dense, Head, Normalize

    random = np.random.default_rng(3)
    for width, residual in ((WIDTH, None), (5, random.normal(size=(5, WIDTH)).astype(np.float32))):
        weight = random.normal(size=(width, WIDTH)).astype(np.float32)
        dense = Dense("0_Dense", weight, None, "Tanh", "token_embeddings", "token_embeddings", True, residual)
        normalize = Normalize("token_embeddings", "token_embeddings")
        steps = (dense, normalize, PoolingStep(("mean",), leaves_prompt_out=False), Normalize("scores", "scores"))
        expected = Head(steps).compute(values(), "sentence_embedding")
        for rows in by_graphs(head_of(steps), values()):
            assert abs(rows - expected).max() < 1e-6


@pytest.mark.parametrize("strategy", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_splade(strategy: str, activation: str) -> None:
    import torch
    from sentence_transformers.sparse_encoder.modules import SpladePooling as Theirs

    given = values()
    given["token_embeddings"][:, :, 0] = 1e-9  # log(1 + x) would be 0, and the dimension not active
    given["token_embeddings"][:, :, 1] = -1
    features = {name: torch.tensor(value) for name, value in given.items()}
    expected = Theirs(pooling_strategy=strategy, activation_function=activation)(features)["sentence_embedding"].numpy()
    for rows in by_graphs(head_of((SpladePooling(strategy, activation),), output="sparse_embedding"), given):
        assert np.allclose(rows, expected, rtol=1e-6, atol=0)
        assert ((rows > 0) == (expected > 0)).all()


@pytest.mark.parametrize("name", activations.FUNCTIONS)
def test_scores_after_every_activation(name: str) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32) * 5
    head = head_of((), given="scores", result="scores", output="scores", activation=name)
    for rows in by_graphs(head, {"scores": logits, "attention_mask": values()["attention_mask"]}):
        assert abs(rows - activations.FUNCTIONS[name](logits)).max() < 1e-5


def test_what_no_graph_can_have() -> None:
    pooling = PoolingStep(("mean",), leaves_prompt_out=False)
    with pytest.raises(Unsupported, match="its graph is of opset 12, and the head needs 13"):
        onnx_graph.alone(head_of((pooling,)), 3, opset=12)
    with pytest.raises(Unsupported, match="its modules give token_embeddings, and no sentence_embedding"):
        onnx_graph.alone(head_of(()), 3)
    from foundry_runtime.head import Dense

    dense = Dense("model: 2_Dense", np.eye(3), None, "Tanh", "words", "words", False, None)
    with pytest.raises(Unsupported, match="its 2_Dense takes words, which no module before it gives"):
        onnx_graph.alone(head_of((dense,)), 3)
