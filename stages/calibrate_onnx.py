"""Quantize the ONNX graph to static int8 on the frozen calibration texts."""

import tempfile
from pathlib import Path

from stages.shared import calibration, command, models, params
from stages.shared.onnx_int8 import OnnxGraph
from stages.shared.search import Held


def main(
    variant: str, onnx: Path, calibration_texts: Path, reference: Path, validation: Path, tasks: Path, out: Path
) -> None:
    settings = params.read().of(out.parent.name)
    if models.left_out(out, variant, onnx, settings):
        return
    row = settings.calibrate_onnx[variant]
    out.parent.mkdir(parents=True, exist_ok=True)
    held = Held(reference, validation, tasks)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        exported = models.weights_path(onnx, "onnx")
        graph = OnnxGraph.read(exported, Path(scratch), models.config(onnx), row.int8_embeddings)
        calibration.calibrate(variant, graph, onnx, calibration_texts, held, row, out)


if __name__ == "__main__":
    command.run(main)
