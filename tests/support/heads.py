"""Modules behind a transformer, by Sentence Transformers and by the runtime, for vectors that are made up."""

from pathlib import Path
from typing import Any

import numpy as np
from foundry_runtime.folder import ModelFolder
from foundry_runtime.head import Head, read_head

WIDTH, TOKENS = 12, 9
LENGTHS = [9, 4, 1, 6]


def values(padding: str = "right", width: int = WIDTH) -> dict[str, np.ndarray]:
    """Random vectors for tokens, and a mask with padding on one side."""
    mask = np.array([[1] * length + [0] * (TOKENS - length) for length in LENGTHS])
    tokens = np.random.default_rng(1).normal(size=(len(LENGTHS), TOKENS, width)).astype(np.float32)
    return {"token_embeddings": tokens, "attention_mask": mask if padding == "right" else mask[:, ::-1].copy()}


def padded_right(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same texts with their padding on the right."""
    mask, tokens = given["attention_mask"], given["token_embeddings"]
    order = np.argsort(mask == 0, axis=1, kind="stable")
    moved = {"token_embeddings": np.take_along_axis(tokens, order[..., None], axis=1)}
    return given | moved | {"attention_mask": np.take_along_axis(mask, order, axis=1)}


def as_version_5_can(modes: tuple[str, ...], given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What Sentence Transformers is given: 5 counts padding on the left in the weights of "weightedmean"."""
    import sentence_transformers

    is_5 = sentence_transformers.__version__.startswith("5.")
    return padded_right(given) if is_5 and "weightedmean" in modes else given


def by_both(
    folder: Path,
    modules: list[Any],
    given: dict[str, np.ndarray],
    output: str = "sentence_embedding",
    theirs: dict[str, np.ndarray] | None = None,
) -> list[np.ndarray]:
    """The same by Sentence Transformers' modules, and by the runtime from what these write into a folder."""
    import torch

    features: dict[str, Any] = {
        name: torch.tensor(value) if value.ndim else int(value) for name, value in (theirs or given).items()
    }
    for module in modules:
        with torch.no_grad():
            features = module.eval()(features)
    return [features[output].numpy(), saved(folder, modules).compute(dict(given), output)]


def tokens_to_embedding(last: Any) -> list[Any]:
    """Modules from tokens of WIDTH to embeddings at length 1: Dense on tokens, two poolings, LayerNorm, and
    `last`, which takes 14 dimensions."""
    import torch
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm, Normalize, Pooling

    norm = LayerNorm(2 * 7)
    torch.nn.init.normal_(norm.norm.weight)
    torch.nn.init.normal_(norm.norm.bias)
    dense = Dense(WIDTH, 7, module_input_name="token_embeddings")
    return [dense, Pooling(7, ("max", "mean")), Dropout(0.5), norm, last, Normalize()]


def saved(folder: Path, modules: list[Any]) -> Head:
    """Modules as Sentence Transformers writes them into a folder, read from there."""
    rows = []
    for index, module in enumerate(modules):
        path = f"{index}_{type(module).__name__}"
        (folder / path).mkdir(parents=True)
        module.save(str(folder / path))
        rows.append({"path": path, "type": f"sentence_transformers.models.{type(module).__name__}"})
    return read_head(opened(folder), rows)


def opened(folder: Path) -> ModelFolder:
    def find(name: str) -> Path | None:
        return folder / name if (folder / name).is_file() else None

    return ModelFolder(str(folder), find, verify=False)
