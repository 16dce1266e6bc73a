"""Quantize the OpenVINO graph to static int8 on the frozen calibration texts."""

from pathlib import Path

from foundry.base import command, settings
from foundry.int8.search import EvaluationData
from foundry.openvino import static_int8
from foundry.openvino.settings import CalibrateOpenVino
from foundry.variants import variant_folder
from foundry.variants.settings import Build


def main(
    variant: str,
    settings_file: Path,
    openvino: Path,
    calibration_texts: Path,
    reference: Path,
    validation_texts: Path,
    tasks: Path,
    out: Path,
) -> None:
    build = settings.read(settings_file, Build[CalibrateOpenVino])
    if not variant_folder.skip_if_excluded(out, variant, openvino, build.skip):
        evaluation = EvaluationData(reference, validation_texts, tasks)
        static_int8.build(variant, openvino, build.row, calibration_texts, evaluation, out)


if __name__ == "__main__":
    command.run(main)
