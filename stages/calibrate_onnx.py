"""Quantize the ONNX graph to static int8 on the frozen calibration texts."""

from pathlib import Path

from stages.shared import calibration, command, models, params
from stages.shared.onnx_int8 import OnnxGraph
from stages.shared.search import Held


def main(
    variant: str, onnx: Path, calibration_texts: Path, reference: Path, validation: Path, tasks: Path, out: Path
) -> None:
    row = params.read().calibrate_onnx[variant]
    graph = OnnxGraph.read(models.weights_path(onnx, "onnx"), models.config(onnx), row.int8_embeddings)
    held = Held(reference, validation, tasks)
    calibration.calibrate(variant, graph, onnx, calibration_texts, held, row, out)


if __name__ == "__main__":
    command.run(main)
