"""Quantize the ONNX graph without calibration: to dynamic int8, or its weights alone."""

from pathlib import Path

from foundry.base import command, settings
from foundry.int8.search import EvaluationData
from foundry.onnx import quantization
from foundry.onnx.settings import Quantize
from foundry.variants import variant_folder
from foundry.variants.settings import Build


def main(
    variant: str, settings_file: Path, onnx: Path, reference: Path, validation_texts: Path, tasks: Path, out: Path
) -> None:
    build = settings.read(settings_file, Build[Quantize])
    if not variant_folder.skip_if_excluded(out, variant, onnx, build.skip):
        quantization.build(variant, onnx, build.row, EvaluationData(reference, validation_texts, tasks), out)


if __name__ == "__main__":
    command.run(main)
