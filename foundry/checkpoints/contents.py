"""Which files of a checkpoint travel: those that its modules load, its tokenizer, its model card and its licence.

A list of what is wanted, not of what is not: a training run leaves optimizer states, logs and whole other checkpoints
beside a model, under names that nobody can foresee.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from foundry.base import files

# At the root alone: what Sentence Transformers reads there, and what a licence asks to be passed on.
DOCUMENTS = ("README.md", "LICENSE*", "LICENCE*", "NOTICE*", "COPYING*")
# The third is what Stanford's ColBERT says of lengths and prefixes.
ROOT_FILES = ("modules.json", "config_sentence_transformers.json", "artifact.metadata", *DOCUMENTS)
# Tokenizers: every name that transformers' own give to their vocabularies.
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja*",
    "vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "dict.txt", "*.spm", "spiece.model", "spm.model",
    "spm_char.model", "sentencepiece.model", "sentencepiece.bpe.model", "tokenizer.model", "prophetnet.tokenizer",
    "normalizer.json", "entity_vocab.json", "emoji.json", "word_shape.json", "word_pronunciation.json",
)  # fmt: skip
# In the folder of any module; a Transformer's may be the root.
MODULE_FILES = (
    # settings: transformers' and those of Sentence Transformers' modules
    "config.json", "sentence_*_config.json", "*lstm_config.json", "cnn_config.json", "router_config.json",
    "generation_config.json", "preprocessor_config.json", "processor_config.json",
    *TOKENIZER_FILES,
    # weights
    "model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json",
    "pytorch_model.bin", "pytorch_model-*-of-*.bin", "pytorch_model.bin.index.json",
    "adapter_config.json", "adapter_model.safetensors",
)  # fmt: skip
# Trusted code reads what it likes from its own folders; these are never a model's.
NEVER = (
    ".*", "*.pkl", "*.joblib", "*.pickle", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.onnx", "*.onnx_data", "*.gguf",
    "*.mlmodel", "*.pth", "*.pt", "*.ckpt*", "*.npz", "optimizer.*", "scheduler.*",
    "training_args.*", "trainer_state.json", "train_script.py", "data_config.json", "foundry.json",
    "foundry.sig*", "*.sigstore*", "*.pyc", "*.png",
    "*.jpg", "*.svg", "rng_state*", "openvino_model*", "pytorch_model*.bin", "model*.safetensors",
)  # fmt: skip


def copy_documents(folder: Path, target: Path) -> None:
    """Copy a checkpoint's card and licence, which stay the author's however the model is saved."""
    for path in folder.iterdir():
        if path.is_file() and any(path.match(pattern) for pattern in DOCUMENTS):
            files.copy(path, target / path.name)


def needed(names: Iterable[str], folders: Iterable[str] = ("",), trusted: bool = False) -> list[str]:
    """Of a checkpoint's file names, those that its modules in `folders` load: safetensors where there are any.

    Args:
        names: Paths relative to the checkpoint, with forward slashes.
        folders: Where the modules are; `""` is the root.
        trusted: Whether the checkpoint's own code runs, which may read other files of those folders.
    """
    names = sorted(names)
    modules = {folder.strip("/") for folder in folders} | {""}

    def is_needed(name: str) -> bool:
        folder, _, base = name.rpartition("/")
        if folder not in modules:
            return trusted and name.endswith(".py") and not any(part.startswith(".") for part in name.split("/"))
        if any(fnmatch(base, pattern) for pattern in (*MODULE_FILES, *(ROOT_FILES if folder == "" else ()))):
            return True
        return trusted and not any(fnmatch(base, pattern) for pattern in NEVER)

    kept = [name for name in names if is_needed(name)]
    # adapter_model.safetensors holds no weights of the model itself, and makes nothing a second copy.
    weights = re.compile(r"(.*/)?model(-\d+-of-\d+)?\.safetensors")
    with_safetensors = {name.rpartition("/")[0] for name in kept if weights.fullmatch(name)}

    def is_second_copy(name: str) -> bool:
        folder, _, base = name.rpartition("/")
        return folder in with_safetensors and fnmatch(base, "pytorch_model*.bin*")

    return [name for name in kept if not is_second_copy(name)]
