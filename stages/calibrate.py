"""Quantize the OpenVINO graph to static int8 on the frozen calibration texts."""

from pathlib import Path

from stages.shared import calibration, command, models, params
from stages.shared.openvino_int8 import OpenVinoGraph
from stages.shared.search import Held


def main(
    variant: str, openvino: Path, calibration_texts: Path, reference: Path, validation: Path, tasks: Path, out: Path
) -> None:
    settings = params.read().of(out.parent.name)
    if models.left_out(out, variant, openvino, settings):
        return
    row = settings.calibrate[variant]
    graph = OpenVinoGraph.read(models.weights_path(openvino, "openvino"), row.int8_embeddings)
    held = Held(reference, validation, tasks)
    calibration.calibrate(variant, graph, openvino, calibration_texts, held, row, out)


if __name__ == "__main__":
    command.run(main)
