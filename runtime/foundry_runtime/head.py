"""What Sentence Transformers computes behind the transformer, in numpy: the modules that modules.json lists.

Each module reads and writes values by name, as Sentence Transformers' do: `token_embeddings` (texts, tokens,
dimensions), `attention_mask` (texts, tokens), `sentence_embedding` (texts, dimensions).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foundry_runtime import activations, weights
from foundry_runtime.errors import UnusableModel
from foundry_runtime.folder import ModelFolder
from foundry_runtime.pooling import MODES, pool

Values = dict[str, np.ndarray]
Step = Callable[[Values], None]

SMALLEST_NORM = 1e-12  # torch.nn.functional.normalize divides by no less
# How a saved model of years ago says how it pools, in the order in which several are put side by side.
OLD_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True)
class Head:
    """All that follows the transformer."""

    steps: tuple[Step, ...]
    without_prompt: bool  # the tokens of a prompt are left out of the pooling

    def compute(self, values: Values, output: str) -> np.ndarray:
        """The value named `output`, (texts, ...) in float32.

        Args:
            values: What the graph gave, the `attention_mask`, and `prompt_length` where there is a prompt.
            output: `sentence_embedding` or `scores`.

        Raises:
            UnusableModel: when no module gives such a value.
        """
        for step in self.steps:
            step(values)
        if output not in values:
            raise UnusableModel(f"the model's modules give {', '.join(values)}, and no {output}")
        return values[output].astype(np.float32, copy=False)


def normalize(rows: np.ndarray) -> np.ndarray:
    """Rows (..., dimensions) at length 1; a row of zeros stays one."""
    norms = np.sqrt(np.einsum("...d,...d->...", rows, rows, optimize=False))[..., None]
    return rows / np.maximum(norms, SMALLEST_NORM)


def read_head(folder: ModelFolder, rows: list[Mapping[str, Any]]) -> Head:
    """The head of a model, by the rows of its modules.json without that of the transformer.

    Raises:
        UnusableModel: for a module that is not computed here, by its name.
    """
    steps: list[Step] = []
    leaves_prompt_out = False
    for row in rows:
        kind, path = str(row["type"]), str(row["path"])
        name = kind.rpartition(".")[2]
        if name not in MODULES or not kind.startswith("sentence_transformers."):
            raise UnusableModel(
                f"{folder.name}: module {path or name} is a {kind}, which is not computed here; "
                f"known are {', '.join(MODULES)}"
            )
        settings = folder.settings(f"{path}/config.json")
        leaves_prompt_out |= name == "Pooling" and not settings.get("include_prompt", True)
        step = MODULES[name](folder, path, settings)
        if step is not None:
            steps.append(step)
    return Head(tuple(steps), leaves_prompt_out)


def _pooling(folder: ModelFolder, path: str, settings: Mapping[str, Any]) -> Step:
    modes = settings.get("pooling_mode") or tuple(mode for key, mode in OLD_POOLING_KEYS.items() if settings.get(key))
    modes = (modes,) if isinstance(modes, str) else tuple(modes or ("mean",))
    if unknown := [mode for mode in modes if mode not in MODES]:
        raise UnusableModel(
            f"{folder.name}: {path} pools by {unknown[0]}, which is not computed here; known are {', '.join(MODES)}"
        )
    leaves_prompt_out = not settings.get("include_prompt", True)

    def step(values: Values) -> None:
        prompt_length = int(values.get("prompt_length", 0)) if leaves_prompt_out else 0
        values["sentence_embedding"] = pool(values["token_embeddings"], values["attention_mask"], modes, prompt_length)

    return step


def _dense(folder: ModelFolder, path: str, settings: Mapping[str, Any]) -> Step:
    tensors = _read_weights(folder, path, ["linear.weight"])
    weight, bias = tensors["linear.weight"], tensors.get("linear.bias")
    activation = activations.by_name(settings.get("activation_function"), "Tanh")
    source, target = _names(settings)
    adds_input, residual = bool(settings.get("use_residual")), tensors.get("residual.weight")

    def step(values: Values) -> None:
        if source not in values:
            raise UnusableModel(f"{folder.name}: {path} takes {source}, which no module before it gives")
        given = values[source].astype(np.float32, copy=False)
        product = given @ weight.T
        result = activation(product if bias is None else product + bias)
        if adds_input:
            result = result + (given if residual is None else given @ residual.T)
        values[target] = result

    return step


def _names(settings: Mapping[str, Any]) -> tuple[str, str]:
    """The value that a module reads, and the one that it writes."""
    source = settings.get("module_input_name") or "sentence_embedding"
    return source, settings.get("module_output_name") or source


def _layer_norm(folder: ModelFolder, path: str, settings: Mapping[str, Any]) -> Step:
    tensors = _read_weights(folder, path, ["norm.weight", "norm.bias"])
    weight, bias = tensors["norm.weight"], tensors["norm.bias"]

    def step(values: Values) -> None:
        rows = values["sentence_embedding"]
        centred = rows - rows.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        values["sentence_embedding"] = centred / np.sqrt(variance + 1e-5) * weight + bias  # 1e-5 is torch's default

    return step


def _normalize(_folder: ModelFolder, _path: str, settings: Mapping[str, Any]) -> Step:
    source, target = _names(settings)

    def step(values: Values) -> None:
        if source in values:  # as Sentence Transformers does
            values[target] = normalize(values[source])

    return step


def _splade_pooling(folder: ModelFolder, path: str, settings: Mapping[str, Any]) -> Step:
    strategy, activation = settings.get("pooling_strategy", "max"), settings.get("activation_function", "relu")
    if strategy not in ("max", "sum") or activation not in ("relu", "log1p_relu"):
        raise UnusableModel(f"{folder.name}: {path} pools by {strategy} of {activation}, which is not computed here")

    def step(values: Values) -> None:
        logits, mask = values["token_embeddings"].astype(np.float32, copy=False), values["attention_mask"]
        shown = np.maximum(logits * mask[..., None].astype(np.float32), 0)
        if strategy == "max":  # Logarithms keep the order, so that of the largest alone is enough.
            pooled = np.log1p(shown.max(axis=1))
            values["sentence_embedding"] = np.log1p(pooled) if activation == "log1p_relu" else pooled
        else:
            shown = np.log1p(shown, out=shown)
            shown = np.log1p(shown, out=shown) if activation == "log1p_relu" else shown
            values["sentence_embedding"] = shown.sum(axis=1)

    return step


def _dropout(_folder: ModelFolder, _path: str, _settings: Mapping[str, Any]) -> None:
    return None  # It does something in training alone.


def _read_weights(folder: ModelFolder, path: str, needed: Sequence[str]) -> dict[str, np.ndarray]:
    name = f"{path}/model.safetensors"
    content = folder.read(name)
    if content is None:
        raise UnusableModel(f"{folder.name} has no {name}: weights in torch's own format are not read here")
    tensors = weights.read(content, f"{folder.name}: {name}")
    if missing := [tensor for tensor in needed if tensor not in tensors]:
        raise UnusableModel(f"{folder.name}: {name} has no {missing[0]}; it has {', '.join(tensors)}")
    return tensors


MODULES: dict[str, Callable[[ModelFolder, str, Mapping[str, Any]], Step | None]] = {
    "Pooling": _pooling,
    "Dense": _dense,
    "LayerNorm": _layer_norm,
    "Normalize": _normalize,
    "Dropout": _dropout,
    "SpladePooling": _splade_pooling,
}
