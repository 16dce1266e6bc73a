"""Store the weights of the OpenVINO graph in fewer bits; nothing else in it is quantized."""

from pathlib import Path

from foundry.base import command, files
from foundry.base.progress import say
from foundry.openvino.static_int8 import OpenVinoGraph
from foundry.params import reading
from foundry.variants import variant_folder


def main(variant: str, openvino: Path, out: Path) -> None:
    settings = reading.read().of(out.parent.name)
    if variant_folder.left_out(out, variant, openvino, settings):
        return
    row = settings.compress[variant]
    graph = OpenVinoGraph.read(variant_folder.weights_path(openvino, "openvino"))
    with files.replacing_folder(out) as partial:
        target = variant_folder.prepare(partial, openvino, variant)
        if row.weights == "int8":
            graph.write_with_int8_weights(target)
        else:
            graph.write_with_fp16_weights(target)
        variant_folder.write_record(partial, openvino, {})
        size = sum(path.stat().st_size for path in variant_folder.weights_files(partial, variant))
    say(f"{out}: weights in {row.weights}, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    command.run(main)
