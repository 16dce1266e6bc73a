"""What stands behind the transformer, in numpy, beside Sentence Transformers' own modules."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from foundry_runtime import UnusableModel, activations, similarity
from foundry_runtime.head import read_head
from foundry_runtime.pooling import MODES
from safetensors.torch import save_file

from tests.support.graph_models import write_json
from tests.support.heads import LENGTHS, WIDTH, as_version_5_can, by_both, opened, tokens_to_embedding, values


@pytest.mark.parametrize("padding", ["right", "left"])
def test_every_pooling_and_every_two_of_them(tmp_path: Path, padding: str) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    assert set(MODES) == set(Pooling.POOLING_MODES)
    combinations = [*((mode,) for mode in MODES), *itertools.permutations(MODES, 2), tuple(MODES)]
    for number, modes in enumerate(combinations):
        given = values(padding)
        theirs = as_version_5_can(modes, given)
        expected, actual = by_both(tmp_path / str(number), [Pooling(WIDTH, modes)], given, theirs=theirs)
        assert actual.shape == (len(LENGTHS), WIDTH * len(modes))
        assert abs(actual - expected).max() < 1e-5, modes


def test_poolings_as_old_models_write_them(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    rows = [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    # In another order than that in which they are put side by side.
    settings = {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True,
                "pooling_mode_cls_token": True, "pooling_mode_lasttoken": False}  # fmt: skip
    write_json(tmp_path / "1_Pooling/config.json", settings)
    actual = read_head(opened(tmp_path), rows).compute(values(), "sentence_embedding")
    expected, _ = by_both(tmp_path / "new", [Pooling(WIDTH, ("cls", "max", "mean"))], values())
    assert abs(actual - expected).max() < 1e-5
    write_json(tmp_path / "1_Pooling/config.json", {"word_embedding_dimension": WIDTH})
    actual = read_head(opened(tmp_path), rows).compute(values(), "sentence_embedding")
    assert abs(actual - expected[:, 2 * WIDTH :]).max() < 1e-5


@pytest.mark.parametrize("padding", ["right", "left"])
def test_a_prompt_that_does_not_count(tmp_path: Path, padding: str) -> None:
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    for number, mode in enumerate(("mean", "cls", "weightedmean")):
        given = values(padding) | {"prompt_length": np.array(2)}
        given["attention_mask"][2, :] = given["attention_mask"][1, :]  # no text is shorter than the prompt
        modules = [Pooling(WIDTH, mode, include_prompt=False), Normalize()]
        theirs = as_version_5_can((mode,), given)
        expected, actual = by_both(tmp_path / str(number), modules, given, theirs=theirs)
        assert abs(actual - expected).max() < 1e-5, mode
        plain, _ = by_both(tmp_path / f"{number} with", [Pooling(WIDTH, mode), Normalize()], given, theirs=theirs)
        assert abs(plain - expected).max() > 0.01


def test_dense_with_every_activation(tmp_path: Path) -> None:
    import torch
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import Pooling

    torch.manual_seed(0)
    for name in activations.FUNCTIONS:
        activation = getattr(torch.nn, name)()
        for bias in (True, False):
            modules = [Pooling(WIDTH, "mean"), Dense(WIDTH, 5, bias, activation)]
            expected, actual = by_both(tmp_path / f"{name}{bias}", modules, values())
            assert actual.dtype == np.float32
            assert abs(actual - expected).max() < 1e-5, name
    extreme = np.array([-1e4, -50, -1e-7, 0, 1e-7, 50, 1e4], np.float32)
    for name, function in activations.FUNCTIONS.items():
        assert np.allclose(function(extreme), getattr(torch.nn, name)()(torch.tensor(extreme)).numpy(), atol=1e-6), name


def test_dense_on_tokens_and_layer_norm(tmp_path: Path) -> None:
    import torch
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import Pooling

    torch.manual_seed(0)
    modules = tokens_to_embedding(Dense(14, 3, activation_function=torch.nn.Identity()))
    expected, actual = by_both(tmp_path / "a", modules, values())
    assert actual.shape == (len(LENGTHS), 3)
    assert abs(actual - expected).max() < 1e-5
    scores = Dense(7, 1, activation_function=torch.nn.Identity(), module_output_name="scores")
    modules = [Dense(WIDTH, 7, module_input_name="token_embeddings"), Pooling(7, "cls"), scores]
    expected, actual = by_both(tmp_path / "b", modules, values(), "scores")
    assert abs(actual - expected).max() < 1e-5


def test_what_version_6_added_to_modules(tmp_path: Path) -> None:
    """Dense with a residual and Normalize of tokens, as it writes them; computed by hand, since 5 has neither."""
    import torch
    from sentence_transformers.base.modules import Dense

    torch.manual_seed(0)
    given = values()
    for number, (width, residual) in enumerate(((WIDTH, None), (5, torch.randn(5, WIDTH)))):
        dense = Dense(WIDTH, width)
        folder = tmp_path / str(number)
        (folder / "0_Dense").mkdir(parents=True)
        dense.save(str(folder / "0_Dense"))
        tensors = {name: value.detach() for name, value in dense.state_dict().items()}
        if residual is not None:
            tensors["residual.weight"] = residual
        save_file(tensors, folder / "0_Dense/model.safetensors")
        settings = {**dense.get_config_dict(), "module_input_name": "token_embeddings", "use_residual": True}
        write_json(folder / "0_Dense/config.json", {**settings, "module_output_name": "token_embeddings"})
        write_json(folder / "1_Normalize/config.json", {"module_input_name": "token_embeddings"})
        write_json(folder / "2_Pooling/config.json", {"pooling_mode": "mean"})
        rows = [{"path": f"{i}_{name}", "type": f"sentence_transformers.base.modules.{name}"} for i, name in
                enumerate(("Dense", "Normalize", "Pooling"))]  # fmt: skip
        actual = read_head(opened(folder), rows).compute(dict(given), "sentence_embedding")
        tokens = torch.tensor(given["token_embeddings"])
        with torch.no_grad():
            added = tokens if residual is None else tokens @ residual.T
            expected = torch.nn.functional.normalize(torch.tanh(dense.linear(tokens)) + added, dim=-1)
        mask = torch.tensor(given["attention_mask"])[..., None]
        expected = (expected * mask).sum(1) / mask.sum(1)
        assert abs(actual - expected.numpy()).max() < 1e-5


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_weights_of_other_types(tmp_path: Path, kind: str) -> None:
    import torch
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import Pooling

    torch.manual_seed(0)
    dense = Dense(WIDTH, 5).to(getattr(torch, kind))
    (tmp_path / "1_Dense").mkdir()
    dense.save(str(tmp_path / "1_Dense"))
    write_json(tmp_path / "0_Pooling/config.json", {"pooling_mode": "mean"})
    rows = [{"path": f"{i}_{name}", "type": f"sentence_transformers.models.{name}"} for i, name in
            enumerate(("Pooling", "Dense"))]  # fmt: skip
    actual = read_head(opened(tmp_path), rows).compute(values(), "sentence_embedding")
    expected, _ = by_both(tmp_path / "f32", [Pooling(WIDTH, "mean"), dense.float()], values())
    assert abs(actual - expected).max() < 1e-5
    content = (tmp_path / "1_Dense/model.safetensors").read_bytes()
    for damaged in (b"", content[:20], content[:-4], content.replace(b"data_offsets", b"data_0ffsets")):
        (tmp_path / "1_Dense/model.safetensors").write_bytes(damaged)
        with pytest.raises(UnusableModel, match=r"1_Dense/model.safetensors is damaged"):
            read_head(opened(tmp_path), rows)
    (tmp_path / "1_Dense/model.safetensors").write_bytes(content.replace(b"linear.weight", b"linear.Weight"))
    with pytest.raises(UnusableModel, match=r"1_Dense/model.safetensors has no linear.weight; it has"):
        read_head(opened(tmp_path), rows)
    (tmp_path / "1_Dense/model.safetensors").unlink()
    with pytest.raises(UnusableModel, match=r"has no 1_Dense/model.safetensors"):
        read_head(opened(tmp_path), rows)


@pytest.mark.parametrize("strategy", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_splade_pooling(tmp_path: Path, strategy: str, activation: str) -> None:
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    expected, actual = by_both(tmp_path, [SpladePooling(strategy, activation)], values(width=50))
    assert (expected == 0).any()
    assert abs(actual - expected).max() < 1e-5


def test_similarities(tmp_path: Path) -> None:
    from sentence_transformers.util import SimilarityFunction

    random = np.random.default_rng(0)
    a, b = (random.normal(size=(n, WIDTH)).astype(np.float32) for n in (5, 3))
    for name in similarity.FUNCTIONS:
        expected = SimilarityFunction.to_similarity_fn(name)(a, b).numpy()
        assert np.allclose(similarity.by_name(name)(a, b), expected, atol=1e-5), name
        assert np.allclose(similarity.by_name(name)(a[0], b), expected[:1], atol=1e-5), name
    of_token_vectors = {"maxsim", "meanmaxsim"}  # for models that give a vector for each token, since 6
    assert set(similarity.FUNCTIONS) == set(SimilarityFunction.possible_values()) - of_token_vectors
    with pytest.raises(UnusableModel, match="similarity 'jaccard' is not known"):
        similarity.by_name("jaccard")
