"""The one way to load a variant: as a user of Sentence Transformers does, and never by exporting anew.

Asked for a file that is not there, Sentence Transformers exports the model again and says so in a log line; what was
then checked or measured would not be the file.
"""

import logging
from pathlib import Path
from typing import Any, TypedDict

from foundry.base.errors import FoundryError
from foundry.loading import encoders
from foundry.variants import checkpoint_folder, naming, variant_folder


class Options(TypedDict, total=False):
    """What a user may set beside the file that is loaded."""

    model_kwargs: dict[str, Any]  # as Sentence Transformers takes them
    compile: bool  # by torch.compile


def load(folder: Path, variant: str, settings: Options | None = None) -> Any:
    """The model on the CPU that runs exactly the weights of this variant, by Sentence Transformers' class of its kind.

    A SentenceTransformer as it is; of the others, what gives rows of numbers as that does.

    Raises:
        FoundryError: when the folder does not hold the variant's file.
    """
    import sentence_transformers

    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    backend = naming.backend(variant)
    if missing := [path for path in variant_folder.weights_files(folder, variant) if not path.is_file()]:
        raise FoundryError(f"{missing[0]} is not there; run `dvc repro` or `dvc checkout`")
    options = naming.model_kwargs(variant)
    if backend != "torch":
        options["export"] = False
    if backend == "onnx":
        options["provider"] = "CPUExecutionProvider"
    settings = settings or {}
    options |= settings.get("model_kwargs", {})
    name = checkpoint_folder.kind(folder)
    loading = getattr(sentence_transformers, name)
    model = loading(
        str(folder),
        backend=backend,
        device="cpu",
        local_files_only=True,
        model_kwargs=options,
        trust_remote_code=checkpoint_folder.trusts_code(folder),
    )
    if settings.get("compile"):
        model.compile(dynamic=True)
    if name == "CrossEncoder":
        return encoders.PairScores(model)
    rows = encoders.SparseRows(model) if name == "SparseEncoder" else model
    return encoders.Prompted(rows) if any(model.prompts.values()) else rows


def kind(model: Any) -> str:
    """Sentence Transformers' class of a loaded model."""
    while isinstance(model, encoders.Encoder):
        model = model.model
    return type(model).__name__


def of_pairs(model: Any) -> bool:
    """Whether a loaded model takes pairs of texts."""
    return isinstance(model, encoders.PairScores)


def load_errors() -> tuple[type[Exception], ...]:
    """What the libraries raise when a variant's file is broken or does not fit its model."""
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    broken = (ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NotImplemented, ort.NoSuchFile)
    return (FoundryError, MemoryError, RuntimeError, ValueError, OSError, ort.RuntimeException, *broken)
