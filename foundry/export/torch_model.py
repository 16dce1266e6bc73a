"""The torch model that is exported, and its output for a few texts."""

import inspect
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foundry.base.errors import FoundryError
from foundry.export import causal
from foundry.variants import checkpoint_folder

# For each task: optimum's name of it, transformers' class, and the output's name in transformers and optimum.
TASKS: dict[checkpoint_folder.Task, tuple[str, str, str]] = {
    "feature-extraction": ("feature-extraction", "AutoModel", "last_hidden_state"),
    "fill-mask": ("fill-mask", "AutoModelForMaskedLM", "logits"),
    "sequence-classification": ("text-classification", "AutoModelForSequenceClassification", "logits"),
    "text-generation": ("text-generation", "AutoModelForCausalLM", "logits"),
}

PER_TOKEN = ("feature-extraction", "fill-mask")  # of the tasks, those whose output has a row for each token

# Of different lengths, so that the batch has padding; the last one is longer than any model's maximum.
PROBES = (
    "A man is playing a guitar.",
    "Short",
    "Wie wird das Wetter morgen in Zürich? 明日の天気は?",
    "The committee met twice, and on the second evening it agreed on every point of the draft. " * 200,
)


class Checkpoint(NamedTuple):
    """A model to export, and inputs to compare its graph on."""

    transformer: Path  # the folder that transformers loads
    task: checkpoint_folder.Task
    inputs: dict[str, np.ndarray]  # the tokenized probes: (texts, tokens), int64
    trusted: bool  # whether its own code may run
    opset: int | None
    max_tokens: int | None = None  # at which Sentence Transformers truncates
    scored_tokens: tuple[int, ...] = ()  # of a language model that reranks: the ids whose logits are wanted


def load_torch(checkpoint: Checkpoint, **arguments: Any) -> Any:
    """The model that Sentence Transformers would run; of an encoder-decoder such as T5, the encoder.

    `arguments` are further ones of transformers' `from_pretrained`.
    """
    import transformers

    options = {"local_files_only": True, "trust_remote_code": checkpoint.trusted}
    config = transformers.AutoConfig.from_pretrained(checkpoint.transformer, **options)
    loading = getattr(transformers, TASKS[checkpoint.task][1])
    # A class of the author's stands in auto_map under AutoModel alone, and is what Sentence Transformers runs.
    is_own = checkpoint.trusted and "AutoModel" in (getattr(config, "auto_map", None) or {})
    is_encoder = type(config) in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING and not is_own
    if checkpoint.task == "feature-extraction" and is_encoder:
        loading = transformers.AutoModelForTextEncoding
    return loading.from_pretrained(checkpoint.transformer, **options, **arguments).eval()


def expected_output(checkpoint: Checkpoint) -> np.ndarray:
    """Torch's output for the probes.

    Raises:
        FoundryError: when the checkpoint does not load.
    """
    try:
        model = load_torch(checkpoint)
        if checkpoint.scored_tokens:
            return causal.expected_logits(model, checkpoint.inputs, checkpoint.scored_tokens)
        return torch_output(model, checkpoint.inputs)
    except (ValueError, OSError, ImportError) as error:
        raise FoundryError(f"{checkpoint.transformer} does not load with transformers: {error}") from error


def tokenized(folder: Path, trusted: bool) -> dict[str, np.ndarray]:
    """The probes as the tokenizer of the model in `folder` gives them, by input: (texts, tokens), int64."""
    import transformers

    transformer = folder / checkpoint_folder.transformer_path(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        transformer, local_files_only=True, trust_remote_code=trusted
    )
    if checkpoint_folder.task(folder) == "text-generation":
        tokenizer.padding_side = "left"  # as Sentence Transformers does: the last token of each row is a real one
    length = min(checkpoint_folder.max_seq_length(folder) or tokenizer.model_max_length, 512)
    encoded = tokenizer(list(PROBES), padding=True, truncation=True, max_length=length, return_tensors="np")
    return {name: value.astype(np.int64) for name, value in encoded.items()}


def torch_output(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The first output of a torch model: (texts, tokens, hidden size or vocabulary), or (texts, labels)."""
    import torch

    with torch.inference_mode():
        output: np.ndarray = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})[0].numpy()
    return output


def traceable(checkpoint: Checkpoint, attention: str = "eager") -> tuple[Any, tuple[Any, ...]]:
    """A module that takes the tokenizer's inputs in their order and returns one tensor, and example inputs for it,
    (2 texts, at most 64 tokens) each. `attention` is the name of transformers' implementation."""
    import torch

    # Eager attention consists of single operators, a pattern that ONNX Runtime fuses. As one operator it gives NaN in
    # OpenVINO for a row that is all padding.
    model = load_torch(checkpoint, attn_implementation=attention)
    names = list(checkpoint.inputs)
    if checkpoint.scored_tokens:
        model = causal.with_scored_tokens(model, checkpoint.scored_tokens)
    options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}

    class Traceable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True)), **options)[0]

    example = tuple(torch.from_numpy(value[:2, -64:].copy()) for value in checkpoint.inputs.values())
    return Traceable().eval(), example
