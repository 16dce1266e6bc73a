"""Names that other tools look for, and what they need beside the files that Sentence Transformers reads.

transformers.js takes a file by its `dtype`, under a name of its own: such a name is a second one for the bytes of a
variant that passed. The Hub stores and sends them once, and so does DVC's cache; in the folder it is a hard link.
light-embed asks for a list of special tokens that transformers 5 writes no more.
OpenVINO's GenAI and Model Server tokenize by a graph, which is written where it gives the model's tokens.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.quiet import without_warnings
from foundry.head.openvino_graph import name_nodes
from foundry.publishing.settings import Tool
from foundry.reference import tokenizer_files
from foundry.reference.nasty_texts import nasty_texts
from foundry.validation.results import Validation, families_that_fail, value_of
from foundry.variants import checkpoint_folder, naming

# transformers.js' names: its dtypes, and how the file of each ends.
SUFFIXES = {"fp16": "fp16", "q8": "quantized", "int8": "int8", "uint8": "uint8", "q4": "q4"}
SPECIAL_TOKENS = "special_tokens_map.json"
TOKENIZER = "openvino_tokenizer.xml"
NASTY_TEXTS = 2000


class Names(NamedTuple):
    """What was written for others."""

    dtypes: dict[str, str]  # the variant that transformers.js takes for each dtype beside fp32
    aliases: dict[str, str]  # the file that each further name is another name of
    written: list[str]  # files that no variant has
    left_out: dict[str, str]  # why, by what is missing
    has_special_tokens: bool  # in a file that light-embed finds


def add(
    folder: Path,
    tools: Sequence[Tool],
    passed: Mapping[str, Validation],
    rows: Mapping[str, Mapping[str, Any]],
    texts: Sequence[str],
    trusts_code: bool,
) -> Names:
    """Write into a folder, complete but for the card and foundry.json, what these tools look for.

    Args:
        passed: The verdict of each published variant.
        rows: The row of params.yaml of each.
        texts: The validation texts.
        trusts_code: Whether the checkpoint's own code may run; its tokenizer is then not converted.

    Raises:
        FoundryError: when the checkpoint has a file of such a name.
    """
    transformer = Path(checkpoint_folder.transformer_path(folder))
    names = Names({}, {}, [], {}, has_special_tokens=False)
    if "transformers.js" in tools:
        name_dtypes(folder, transformer / "onnx", passed, rows, names)
    if "light-embed" in tools:
        add_special_tokens(folder, transformer / SPECIAL_TOKENS, names)
        # It looks for them in the model's own folder alone.
        names = names._replace(has_special_tokens=(folder / SPECIAL_TOKENS).is_file())
    if "openvino" in tools and any(naming.backend(name) == "openvino" for name in passed):
        target = transformer / "openvino" / TOKENIZER
        reason = (
            "its tokenizer is the checkpoint's own code"
            if trusts_code
            else write_tokenizer(folder, folder / target, texts)
        )
        if reason is None:
            names.written.extend([target.as_posix(), target.with_suffix(".bin").as_posix()])
        else:
            names.left_out[TOKENIZER] = reason
    return names


def name_dtypes(
    folder: Path,
    graphs: Path,
    passed: Mapping[str, Validation],
    rows: Mapping[str, Mapping[str, Any]],
    names: Names,
) -> None:
    """Give the variants that transformers.js looks for the names of their dtypes; `graphs` is in `folder`.

    Raises:
        FoundryError: when the checkpoint has a file of such a name.
    """
    variants = {naming.file_name(name): name for name in passed if naming.backend(name) == "onnx"}
    # A weights' sidecar has its graph's name, and would have to be there a second time.
    whole = {name: passed[name] for file, name in variants.items() if not (folder / graphs / f"{file}_data").exists()}
    for dtype, variant in for_transformers_js(whole, rows).items():
        alias = f"model_{SUFFIXES[dtype]}.onnx"
        if variants.get(alias, variant) != variant:
            names.left_out[alias] = f"a variant has this name, and {variant} is closer to torch"
            continue
        names.dtypes[dtype] = variant
        if alias in variants:
            continue
        target, source = graphs / alias, graphs / naming.file_name(variant)
        if (folder / target).exists():
            raise FoundryError(f"the checkpoint has a {target}, under which transformers.js would look for a variant")
        os.link(folder / source, folder / target)
        names.aliases[target.as_posix()] = source.as_posix()


def add_special_tokens(folder: Path, target: Path, names: Names) -> None:
    """Write what tokenizer_config.json says of special tokens, under the name that transformers 4 gave it, where the
    checkpoint has no such file; `target` is in `folder`."""
    if (folder / target).exists():
        return
    if tokens := tokenizer_files.special_tokens(folder / target.parent):
        files.write_json(folder / target, tokens)
        names.written.append(target.as_posix())
    else:
        names.left_out[SPECIAL_TOKENS] = "tokenizer_config.json names no special tokens"


def for_transformers_js(passed: Mapping[str, Validation], rows: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The variant for each dtype: of those of ONNX that hold on every processor, the one closest to torch.

    `q8`, which the browser takes where nothing is said, is the closest in int8; `int8` and `uint8` are the closest
    whose weights are of that type.
    """
    usable = [name for name, verdict in passed.items()
              if naming.backend(name) == "onnx" and not families_that_fail(verdict)]  # fmt: skip

    def classes(name: str) -> set[str]:
        precision, row = passed[name]["precision"], rows.get(name, {})
        unsigned = precision == "int8_dynamic" and row.get("isa") == "avx2"
        found: dict[str, set[str]] = {
            "fp16": {"fp16"},
            "int8_dynamic": {"q8", "uint8" if unsigned else "int8"},
            "int8_static": {"q8", "int8"},
            "int4_weights": {"q4"},
        }
        return found.get(precision, set())

    def closeness(name: str) -> tuple[float, str]:
        return (value_of(passed[name], "min_cosine") or 0.0, name)

    chosen = {dtype: [name for name in usable if dtype in classes(name)] for dtype in SUFFIXES}
    return {dtype: max(names, key=closeness) for dtype, names in chosen.items() if names}


def write_tokenizer(folder: Path, target: Path, texts: Sequence[str]) -> str | None:
    """Write the tokenizer as an OpenVINO graph; give why not, where it does not give tokenizer.json's tokens for each
    of the texts and of 2,000 nasty ones."""
    import openvino
    import transformers

    try:
        import openvino_tokenizers
    except ImportError as error:
        return f"openvino-tokenizers is not installed: {error}"
    transformer = folder / checkpoint_folder.transformer_path(folder)
    if not (transformer / tokenizer_files.FILE).is_file():
        return f"there is no {tokenizer_files.FILE}"
    try:
        with without_warnings():
            tokenizer = transformers.AutoTokenizer.from_pretrained(transformer, local_files_only=True)
            model = openvino_tokenizers.convert_tokenizer(tokenizer, truncation=True)
        compiled = openvino.Core().compile_model(model, "CPU")
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, OSError) as error:
        return f"openvino-tokenizers does not convert it: {type(error).__name__} {error}".splitlines()[0][:300]
    asked = [*texts, *nasty_texts(NASTY_TEXTS, texts)]
    expected = tokenizer_files.by_file_as_it_is(transformer / tokenizer_files.FILE, asked)
    different = sum(_ids(compiled, text) != ids for text, ids in zip(asked, expected, strict=True))
    if different:
        return f"openvino-tokenizers gives other tokens than tokenizer.json for {different} of {len(asked)} texts"
    name_nodes(model, "tokenizer/")
    model.inputs[0].get_tensor().set_names({"Parameter_1"})  # counted on, too, from one conversion to the next
    openvino.save_model(model, target, compress_to_fp16=False)
    return None


def _ids(compiled: Any, text: str) -> list[int] | None:
    """The ids of a text by an OpenVINO tokenizer; None where it fails on it."""
    try:
        ids: list[int] = compiled([text])["input_ids"][0].tolist()
    except (RuntimeError, UnicodeEncodeError):
        return None
    return ids
