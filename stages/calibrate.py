"""Quantize the OpenVINO graph to static int8 on the frozen calibration texts."""

from pathlib import Path

from foundry.base import command
from foundry.int8 import calibration
from foundry.int8.search import Held
from foundry.openvino.static_int8 import OpenVinoGraph
from foundry.params import reading
from foundry.variants import variant_folder


def main(
    variant: str, openvino: Path, calibration_texts: Path, reference: Path, validation: Path, tasks: Path, out: Path
) -> None:
    settings = reading.read().of(out.parent.name)
    if variant_folder.left_out(out, variant, openvino, settings):
        return
    row = settings.calibrate[variant]
    graph = OpenVinoGraph.read(variant_folder.weights_path(openvino, "openvino"), row.int8_embeddings)
    held = Held(reference, validation, tasks)
    calibration.calibrate(variant, graph, openvino, calibration_texts, held, row, out)


if __name__ == "__main__":
    command.run(main)
