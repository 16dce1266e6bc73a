"""The torch model that is exported, and what it gives for a few texts."""

import inspect
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foundry.base.errors import FoundryError
from foundry.variants import checkpoint_folder

# optimum's names of the tasks, transformers' class, and what transformers and optimum call the output.
TASKS: dict[checkpoint_folder.Task, tuple[str, str, str]] = {
    "feature-extraction": ("feature-extraction", "AutoModel", "last_hidden_state"),
    "fill-mask": ("fill-mask", "AutoModelForMaskedLM", "logits"),
    "sequence-classification": ("text-classification", "AutoModelForSequenceClassification", "logits"),
}

# Different lengths in one batch, so that padding is looked at, too; the last one is longer than any model takes.
PROBES = (
    "A man is playing a guitar.",
    "Short",
    "Wie wird das Wetter morgen in Zürich? 明日の天気は?",
    "The committee met twice, and on the second evening it agreed on every point of the draft. " * 200,
)


class Checkpoint(NamedTuple):
    """What an exporter gets."""

    transformer: Path  # the folder that transformers loads
    task: checkpoint_folder.Task
    inputs: dict[str, np.ndarray]  # the probes as the tokenizer gives them: (texts, tokens), int64
    trusted: bool  # whether its own code may run
    opset: int | None


def load_torch(checkpoint: Checkpoint, **how: Any) -> Any:
    """The model that Sentence Transformers would run: of T5 and its like, the encoder."""
    import transformers

    options = {"local_files_only": True, "trust_remote_code": checkpoint.trusted}
    config = transformers.AutoConfig.from_pretrained(checkpoint.transformer, **options)
    loading = getattr(transformers, TASKS[checkpoint.task][1])
    # A class of the author's stands in auto_map under AutoModel alone, and is what Sentence Transformers runs.
    is_own = checkpoint.trusted and "AutoModel" in (getattr(config, "auto_map", None) or {})
    is_encoder = type(config) in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING and not is_own
    if checkpoint.task == "feature-extraction" and is_encoder:
        loading = transformers.AutoModelForTextEncoding
    return loading.from_pretrained(checkpoint.transformer, **options, **how).eval()


def expected_output(checkpoint: Checkpoint) -> np.ndarray:
    """Torch's output for the probes.

    Raises:
        FoundryError: when the checkpoint does not load.
    """
    try:
        return torch_output(load_torch(checkpoint), checkpoint.inputs)
    except (ValueError, OSError, ImportError) as error:
        raise FoundryError(f"{checkpoint.transformer} does not load with transformers: {error}") from error


def tokenized(folder: Path, trusted: bool) -> dict[str, np.ndarray]:
    import transformers

    transformer = folder / checkpoint_folder.transformer_path(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        transformer, local_files_only=True, trust_remote_code=trusted
    )
    length = min(checkpoint_folder.max_seq_length(folder) or tokenizer.model_max_length, 512)
    given = tokenizer(list(PROBES), padding=True, truncation=True, max_length=length, return_tensors="np")
    return {name: value.astype(np.int64) for name, value in given.items()}


def torch_output(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    import torch

    with torch.inference_mode():
        output: np.ndarray = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})[0].numpy()
    return output


def traceable(checkpoint: Checkpoint) -> tuple[Any, tuple[Any, ...]]:
    """A module that takes the tokenizer's inputs in their order and gives one tensor, and example inputs for it."""
    import torch

    # Written out, attention is a pattern that ONNX Runtime fuses, and gives numbers where a row is all padding; as one
    # operator, OpenVINO gives NaN there.
    model = load_torch(checkpoint, attn_implementation="eager")
    names = list(checkpoint.inputs)
    options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}

    class Traceable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True)), **options)[0]

    some = tuple(torch.from_numpy(value[:2, -64:].copy()) for value in checkpoint.inputs.values())
    return Traceable().eval(), some
