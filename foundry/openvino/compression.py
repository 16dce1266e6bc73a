"""OpenVINO graphs with smaller weights, in fp16 or int8; everything is computed as before."""

from pathlib import Path

from foundry.base import files
from foundry.base.progress import say
from foundry.head import adding
from foundry.openvino.settings import Compress
from foundry.openvino.static_int8 import OpenVinoGraph
from foundry.variants import variant_folder


def build(variant: str, openvino: Path, row: Compress, out: Path) -> None:
    """Make the variant's folder `out` from the exported graph in `openvino`."""
    graph = OpenVinoGraph.read(variant_folder.weights_path(openvino, "openvino"))
    with files.replacing_folder(out) as partial:
        target = variant_folder.prepare(partial, openvino, variant)
        if row.weights == "int8":
            graph.write_with_int8_weights(target)
        else:
            graph.write_with_fp16_weights(target)
        variant_folder.write_record(partial, openvino, {variant_folder.HEAD: adding.add(partial, variant)})
        size = sum(path.stat().st_size for path in variant_folder.weights_files(partial, variant))
    say(f"{out}: weights in {row.weights}, {size / 1e6:.0f} MB")
