"""Quantize the ONNX graph to static int8 on the frozen calibration texts."""

import tempfile
from pathlib import Path

from foundry.base import command
from foundry.int8 import calibration
from foundry.int8.search import Held
from foundry.onnx.static_int8 import OnnxGraph
from foundry.params import reading
from foundry.variants import checkpoint_folder, variant_folder


def main(
    variant: str, onnx: Path, calibration_texts: Path, reference: Path, validation: Path, tasks: Path, out: Path
) -> None:
    settings = reading.read().of(out.parent.name)
    if variant_folder.left_out(out, variant, onnx, settings):
        return
    row = settings.calibrate_onnx[variant]
    out.parent.mkdir(parents=True, exist_ok=True)
    held = Held(reference, validation, tasks)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        exported = variant_folder.weights_path(onnx, "onnx")
        graph = OnnxGraph.read(exported, Path(scratch), checkpoint_folder.config(onnx), row.int8_embeddings)
        calibration.calibrate(variant, graph, onnx, calibration_texts, held, row, out)


if __name__ == "__main__":
    command.run(main)
