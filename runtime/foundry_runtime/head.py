"""What Sentence Transformers computes behind the transformer, in numpy: the modules that modules.json lists.

Each module reads and writes values by name, as Sentence Transformers' do: `token_embeddings` (texts, tokens,
dimensions), `attention_mask` (texts, tokens), `sentence_embedding` (texts, dimensions).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from foundry_runtime import activations, weights
from foundry_runtime.errors import UnusableModel
from foundry_runtime.folder import ModelFolder
from foundry_runtime.pooling import MODES, pool

Values = dict[str, np.ndarray]

LAYER_NORM_EPSILON = 1e-5  # torch's default
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


class Step(Protocol):
    """One module: it reads values by name, and puts its own beside them."""

    def __call__(self, values: Values) -> None: ...


@dataclass(frozen=True)
class Head:
    """All that follows the transformer."""

    steps: tuple[Step, ...]

    @property
    def without_prompt(self) -> bool:
        """Whether the tokens of a prompt are left out of the pooling."""
        return any(isinstance(step, Pooling) and step.leaves_prompt_out for step in self.steps)

    def compute(self, values: Values, output: str) -> np.ndarray:
        """The value named `output`, (texts, ...) in float32.

        Args:
            values: What the graph gave, the `attention_mask`, and `prompt_length` where there is a prompt.
            output: `sentence_embedding`, `token_embeddings` or `scores`.

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


@dataclass(frozen=True)
class Pooling:
    """From a vector for each token to one for each text."""

    modes: tuple[str, ...]
    leaves_prompt_out: bool

    def __call__(self, values: Values) -> None:
        prompt_length = int(values.get("prompt_length", 0)) if self.leaves_prompt_out else 0
        values["sentence_embedding"] = pool(
            values["token_embeddings"], values["attention_mask"], self.modes, prompt_length
        )

    @classmethod
    def read(cls, folder: ModelFolder, path: str, settings: Mapping[str, Any]) -> "Pooling":
        modes = settings.get("pooling_mode") or tuple(
            mode for key, mode in OLD_POOLING_KEYS.items() if settings.get(key)
        )
        modes = (modes,) if isinstance(modes, str) else tuple(modes or ("mean",))
        if unknown := [mode for mode in modes if mode not in MODES]:
            raise UnusableModel(
                f"{folder.name}: {path} pools by {unknown[0]}, which is not computed here; known are {', '.join(MODES)}"
            )
        return cls(modes, not settings.get("include_prompt", True))


@dataclass(frozen=True)
class Dense:
    """activation(rows @ weight.T + bias), with `residual` plus the rows themselves or their product with it."""

    where: str  # what errors call it
    weight: np.ndarray
    bias: np.ndarray | None
    activation: str  # one of activations.FUNCTIONS
    source: str
    target: str
    adds_input: bool
    residual: np.ndarray | None

    def __call__(self, values: Values) -> None:
        if self.source not in values:
            raise UnusableModel(f"{self.where} takes {self.source}, which no module before it gives")
        given = values[self.source].astype(np.float32, copy=False)
        product = given @ self.weight.T
        result = activations.FUNCTIONS[self.activation](product if self.bias is None else product + self.bias)
        if self.adds_input:
            result = result + (given if self.residual is None else given @ self.residual.T)
        values[self.target] = result

    @classmethod
    def read(cls, folder: ModelFolder, path: str, settings: Mapping[str, Any]) -> "Dense":
        tensors = read_weights(folder, path, ["linear.weight"])
        return cls(
            f"{folder.name}: {path}",
            tensors["linear.weight"],
            tensors.get("linear.bias"),
            activations.name_of(settings.get("activation_function"), "Tanh"),
            *_names(settings),
            bool(settings.get("use_residual")),
            tensors.get("residual.weight"),
        )


def _names(settings: Mapping[str, Any]) -> tuple[str, str]:
    """The value that a module reads, and the one that it writes."""
    source = settings.get("module_input_name") or "sentence_embedding"
    return source, settings.get("module_output_name") or source


@dataclass(frozen=True)
class LayerNorm:
    """Rows with mean 0 and variance 1, times weight, plus bias."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, values: Values) -> None:
        rows = values["sentence_embedding"]
        centred = rows - rows.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        values["sentence_embedding"] = centred / np.sqrt(variance + LAYER_NORM_EPSILON) * self.weight + self.bias

    @classmethod
    def read(cls, folder: ModelFolder, path: str, _settings: Mapping[str, Any]) -> "LayerNorm":
        tensors = read_weights(folder, path, ["norm.weight", "norm.bias"])
        return cls(tensors["norm.weight"], tensors["norm.bias"])


@dataclass(frozen=True)
class Normalize:
    """Rows at length 1."""

    source: str
    target: str

    def __call__(self, values: Values) -> None:
        if self.source in values:  # as Sentence Transformers does
            values[self.target] = normalize(values[self.source])

    @classmethod
    def read(cls, _folder: ModelFolder, _path: str, settings: Mapping[str, Any]) -> "Normalize":
        return cls(*_names(settings))


@dataclass(frozen=True)
class SpladePooling:
    """From logits for each token to a weight for each entry of the vocabulary."""

    strategy: str  # max or sum, over the tokens
    activation: str  # relu, whose logarithm is taken once, or log1p_relu, twice

    def __call__(self, values: Values) -> None:
        logits, mask = values["token_embeddings"].astype(np.float32, copy=False), values["attention_mask"]
        shown = np.maximum(logits * mask[..., None].astype(np.float32), 0)
        if self.strategy == "max":  # Logarithms keep the order, so that of the largest alone is enough.
            pooled = np.log1p(shown.max(axis=1))
            values["sentence_embedding"] = np.log1p(pooled) if self.activation == "log1p_relu" else pooled
        else:
            shown = np.log1p(shown, out=shown)
            shown = np.log1p(shown, out=shown) if self.activation == "log1p_relu" else shown
            values["sentence_embedding"] = shown.sum(axis=1)

    @classmethod
    def read(cls, folder: ModelFolder, path: str, settings: Mapping[str, Any]) -> "SpladePooling":
        strategy, activation = settings.get("pooling_strategy", "max"), settings.get("activation_function", "relu")
        if strategy not in ("max", "sum") or activation not in ("relu", "log1p_relu"):
            raise UnusableModel(
                f"{folder.name}: {path} pools by {strategy} of {activation}, which is not computed here"
            )
        return cls(strategy, activation)


@dataclass(frozen=True)
class LogitScore:
    """From a language model's logits for the token behind a pair to a score: how much likelier it is to be `yes`."""

    true_token: int
    false_token: int | None  # without it, the logit of the other one is the score

    def __call__(self, values: Values) -> None:
        logits = values["causal_logits"][:, -1].astype(np.float32, copy=False)
        scores = logits[:, self.true_token]
        values["scores"] = (scores if self.false_token is None else scores - logits[:, self.false_token])[:, None]

    @classmethod
    def read(cls, folder: ModelFolder, path: str, settings: Mapping[str, Any]) -> "LogitScore":
        true_token, false_token = settings.get("true_token_id"), settings.get("false_token_id")
        source = settings.get("module_input_name", "causal_logits")
        if not isinstance(true_token, int) or not isinstance(false_token, int | None) or source != "causal_logits":
            raise UnusableModel(f"{folder.name}: {path} scores {source} by the tokens {true_token} and {false_token}")
        return cls(true_token, false_token)


def read_weights(folder: ModelFolder, path: str, needed: Sequence[str]) -> dict[str, np.ndarray]:
    name = f"{path}/model.safetensors"
    content = folder.read(name)
    if content is None:
        raise UnusableModel(f"{folder.name} has no {name}: weights in torch's own format are not read here")
    tensors = weights.read(content, f"{folder.name}: {name}")
    if missing := [tensor for tensor in needed if tensor not in tensors]:
        raise UnusableModel(f"{folder.name}: {name} has no {missing[0]}; it has {', '.join(tensors)}")
    return tensors


@dataclass(frozen=True)
class MultiVectorMask:
    """Which tokens' vectors of a text count; they are dropped from what this gives, and nothing is computed.

    `skipped` are entries of the vocabulary that do not count in texts of the `tasks`; `kept_ids` are the only token ids
    that count in what is no query, all where there are none.
    """

    skipped: tuple[str, ...]
    tasks: tuple[str, ...]
    kept_ids: tuple[int, ...]

    def __call__(self, values: Values) -> None: ...

    @classmethod
    def read(cls, _folder: ModelFolder, _path: str, settings: Mapping[str, Any]) -> "MultiVectorMask":
        tasks = settings.get("skiplist_tasks")
        tasks = ["document"] if tasks is None else [tasks] if isinstance(tasks, str) else tasks
        return cls(
            tuple(settings.get("skiplist_words") or ()), tuple(tasks), tuple(settings.get("keep_only_token_ids") or ())
        )


def _read_nothing(_folder: ModelFolder, _path: str, _settings: Mapping[str, Any]) -> None:
    """Read a module that does something in training alone."""


def _read_dense_of_tokens(folder: ModelFolder, path: str, settings: Mapping[str, Any]) -> Dense:
    """Read a Dense that takes the vectors of tokens where it names nothing else."""
    return Dense.read(
        folder, path, {**settings, "module_input_name": settings.get("module_input_name") or "token_embeddings"}
    )


MODULES: dict[str, Callable[[ModelFolder, str, Mapping[str, Any]], Step | None]] = {
    "Pooling": Pooling.read,
    "Dense": Dense.read,
    "LayerNorm": LayerNorm.read,
    "Normalize": Normalize.read,
    "Dropout": _read_nothing,
    "SpladePooling": SpladePooling.read,
    "LogitScore": LogitScore.read,
}
# Behind a MultiVectorEncoder's transformer, whose vectors stay those of tokens.
OF_TOKENS: dict[str, Callable[[ModelFolder, str, Mapping[str, Any]], Step | None]] = {
    "Dense": _read_dense_of_tokens,
    "MultiVectorMask": MultiVectorMask.read,
    "Normalize": Normalize.read,
    "Dropout": _read_nothing,
}


def read_head(folder: ModelFolder, rows: Sequence[Mapping[str, Any]], kind: str = "SentenceTransformer") -> Head:
    """The head of a model of a kind, by the rows of its modules.json without that of the transformer.

    Raises:
        UnusableModel: for a module that is not computed here, by its name.
    """
    steps: list[Step] = []
    known = OF_TOKENS if kind == "MultiVectorEncoder" else MODULES
    for row in rows:
        module, path = str(row["type"]), str(row["path"])
        name = module.rpartition(".")[2]
        if name not in known or not module.startswith("sentence_transformers."):
            raise UnusableModel(
                f"{folder.name}: module {path or name} is a {module}, which is not computed here; "
                f"known are {', '.join(known)}"
            )
        step = known[name](folder, path, folder.settings(f"{path}/config.json"))
        if step is not None:
            steps.append(step)
    return Head(tuple(steps))
