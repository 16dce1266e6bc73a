"""Store the weights of the OpenVINO graph in fewer bits; nothing else in it is quantized."""

from pathlib import Path

from stages.shared import command, files, models, params
from stages.shared.openvino_int8 import OpenVinoGraph
from stages.shared.progress import say


def main(variant: str, openvino: Path, out: Path) -> None:
    settings = params.read().of(out.parent.name)
    if models.left_out(out, variant, openvino, settings):
        return
    row = settings.compress[variant]
    graph = OpenVinoGraph.read(models.weights_path(openvino, "openvino"))
    with files.replacing_folder(out) as partial:
        target = models.prepare(partial, openvino, variant)
        if row.weights == "int8":
            graph.write_with_int8_weights(target)
        else:
            graph.write_with_fp16_weights(target)
        models.write_record(partial, openvino, {})
        size = sum(path.stat().st_size for path in models.weights_files(partial, variant))
    say(f"{out}: weights in {row.weights}, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    command.run(main)
