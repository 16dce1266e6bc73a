"""The one way to load a variant: as a user of Sentence Transformers does, and never by exporting again.

Asked for a file that is not there, Sentence Transformers exports the model again and only logs it; what was then
checked or measured would not be the file.
"""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from foundry.base.errors import FoundryError
from foundry.loading import cuda
from foundry.loading.multi_vector import MultiVectorVariant
from foundry.loading.variant import EmbeddingVariant, LoadedVariant, PairVariant, SparseVariant
from foundry.variants import checkpoint_folder, naming, variant_folder
from foundry.variants.checkpoint_folder import Kind
from foundry.variants.precisions import Device, InferencePrecision

# What a variant's backend imports, with optimum and without.
WITH_OPTIMUM = {
    "torch": ("sentence_transformers",),
    "onnx": ("sentence_transformers", "optimum.onnxruntime"),
    "openvino": ("sentence_transformers", "optimum.intel.openvino"),
}
WITHOUT_OPTIMUM = {
    "torch": ("sentence_transformers",),
    "onnx": ("foundry_runtime.sentence_transformers", "onnxruntime"),
    "openvino": ("foundry_runtime.sentence_transformers", "openvino"),
}
CLASSES: dict[Kind, type[LoadedVariant]] = {
    "SentenceTransformer": EmbeddingVariant,
    "SparseEncoder": SparseVariant,
    "CrossEncoder": PairVariant,
    "MultiVectorEncoder": MultiVectorVariant,
}


class Options(TypedDict, total=False):
    """What a user may set beside the file that is loaded."""

    precision: InferencePrecision  # f32 where nothing is said; whether it is computed, `precisions` tells
    model_kwargs: dict[str, Any]  # as Sentence Transformers takes them
    compile: bool  # by torch.compile
    device: Device  # cpu where nothing is said


def load(folder: Path, variant: str, options: Options | None = None) -> LoadedVariant:
    """The variant, run from exactly the weights in its folder by Sentence Transformers' class of its kind.

    Raises:
        FoundryError: when the folder does not hold the variant's file, or its backend cannot use the device.
    """
    import sentence_transformers

    options = options or {}
    backend = naming.backend(variant)
    precision, device = options.get("precision", "f32"), options.get("device", "cpu")
    if missing := [path for path in variant_folder.weights_files(folder, variant) if not path.is_file()]:
        raise FoundryError(f"{missing[0]} is not there; run `dvc repro` or `dvc checkout`")
    if device == "cuda":
        cuda.require(backend)
    model_kwargs = naming.model_kwargs(variant, precision, device)
    if backend == "torch" and device == "cuda":
        cuda.set_tf32(precision == "tf32")
    if backend != "torch":
        model_kwargs["export"] = False
    if backend == "onnx":
        model_kwargs.setdefault("provider", "CPUExecutionProvider")
    if backend != "torch" and not has_optimum():
        from foundry_runtime import sentence_transformers as graphs_without_optimum

        graphs_without_optimum.install()
    kind = checkpoint_folder.kind(folder)
    with errors_only(logging.getLogger("sentence_transformers")):
        model = getattr(sentence_transformers, kind)(
            str(folder),
            backend=backend,
            device=device,
            local_files_only=True,
            model_kwargs=model_kwargs | options.get("model_kwargs", {}),
            trust_remote_code=checkpoint_folder.trusts_code(folder),
        )
    if options.get("compile"):
        model.compile(dynamic=True)
    return CLASSES[kind](model)


def has_optimum() -> bool:
    """Whether Sentence Transformers can load graphs by itself; without optimum, foundry_runtime does it for it."""
    return importlib.util.find_spec("optimum") is not None


def libraries(backend: str) -> tuple[str, ...]:
    """What a variant of a backend imports here."""
    return (WITH_OPTIMUM if has_optimum() else WITHOUT_OPTIMUM)[backend]


def all_libraries() -> list[str]:
    """What variants of any backend import here."""
    return [*dict.fromkeys(name for backend in WITH_OPTIMUM for name in libraries(backend))]


@contextmanager
def errors_only(logger: logging.Logger) -> Iterator[None]:
    """Let a logger write errors alone while the context lasts."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def load_errors() -> tuple[type[Exception], ...]:
    """What the libraries raise when a variant's file is broken or does not fit its model."""
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    of_onnx_runtime = (
        ort.Fail,
        ort.InvalidArgument,
        ort.InvalidGraph,
        ort.InvalidProtobuf,
        ort.NotImplemented,
        ort.NoSuchFile,
        ort.RuntimeException,
    )
    return (FoundryError, MemoryError, RuntimeError, ValueError, OSError, *of_onnx_runtime)
