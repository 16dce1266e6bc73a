"""Quantize the OpenVINO graph to static int8 on the frozen calibration texts, through NNCF.

The texts go in one by one at their natural lengths. Sentence Transformers' own recipe pads them to one length, so that
most of what the quantizer sees is padding; how much that costs depends on the machine (DECISIONS.md has figures).
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.shared import command, files, models, params, texts
from stages.shared.command import StageError
from stages.shared.params import Calibrate
from stages.shared.progress import say


def choose(rows: Sequence[dict[str, str]], samples: int | None) -> list[str]:
    """`samples` texts evenly spread over the rows, so that every group keeps its share; by default all.

    Raises:
        StageError: when there are fewer.
    """
    count = len(rows) if samples is None else samples
    if count > len(rows):
        raise StageError(
            f"samples is {count}, and there are {len(rows)} calibration texts; raise sample.calibration's counts"
        )
    return [rows[index * len(rows) // count]["text"] for index in range(count)]


def tokenize(folder: Path, chosen: Sequence[str], names: set[str]) -> list[dict[str, np.ndarray]]:
    """Each text as the graph's named inputs, (1, tokens) of int64, truncated as the model truncates."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / models.transformer_path(folder), local_files_only=True)
    limit = models.max_seq_length(folder) or min(tokenizer.model_max_length, 512)
    inputs = []
    for text in chosen:
        encoded = tokenizer(text, truncation=True, max_length=limit, return_tensors="np")
        inputs.append({name: value.astype(np.int64) for name, value in encoded.items() if name in names})
    return inputs


def read_graph(graph: Path) -> Any:
    """The OpenVINO model in a file.

    Raises:
        StageError: when it cannot be read.
    """
    import openvino

    try:
        return openvino.Core().read_model(graph)
    except RuntimeError as error:
        raise StageError(f"{graph} is truncated or no OpenVINO graph: {error}") from error


def calibrate(model: Any, inputs: Sequence[dict[str, np.ndarray]], row: Calibrate) -> Any:
    """The OpenVINO model in static int8, with ranges from the inputs.

    Raises:
        StageError: when the ignored scope names nodes that the model does not have.
    """
    import nncf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return nncf.quantize(
                model,
                nncf.Dataset(list(inputs)),
                subset_size=len(inputs),
                preset=nncf.QuantizationPreset(row.preset),
                model_type=nncf.ModelType.TRANSFORMER,
                fast_bias_correction=row.fast_bias_correction,
                ignored_scope=nncf.IgnoredScope(**row.ignored_scope.model_dump()),
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=row.smooth_quant_alpha)
                ),
            )
        except nncf.ValidationError as error:
            raise StageError(f"NNCF refuses the row's ignored_scope: {error}") from error


def save(model: Any, target: Path) -> None:
    """Write an OpenVINO model as `target` and its `.bin`, uncompressed, as optimum does."""
    import openvino

    openvino.save_model(model, target, compress_to_fp16=False)


def main(variant: str, openvino: Path, calibration: Path, out: Path) -> None:
    row = params.read().calibrate[variant]
    chosen = choose(texts.read(calibration), row.samples)
    model = read_graph(models.weights_path(openvino, "openvino"))
    names = {name for node in model.inputs for name in node.get_names()}
    quantized = calibrate(model, tokenize(openvino, chosen, names), row)
    with files.replacing_folder(out) as partial:
        models.copy_companions(openvino, partial)
        target = models.weights_path(partial, variant)
        target.parent.mkdir(parents=True)
        save(quantized, target)
    say(f"{out}: calibrated on {len(chosen)} texts")


if __name__ == "__main__":
    command.run(main)
