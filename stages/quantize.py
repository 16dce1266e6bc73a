"""Quantize an ONNX graph to dynamic int8: one of optimum's targets, or a row of own settings.

Written straight on ONNX Runtime. The files are byte for byte those of Sentence Transformers'
`export_dynamic_quantized_onnx_model`; tests/test_quantize.py compares the bytes.
"""

import logging
import tempfile
from pathlib import Path
from typing import Any

from stages.shared import command, files, models, onnx_graphs, params
from stages.shared.command import StageError
from stages.shared.params import Optimize, Quantize
from stages.shared.progress import say


def quantize(graph: Path, target: Path, row: Quantize) -> dict[str, int]:
    """Write the quantized graph to `target`; give how many of each integer operator it has.

    Raises:
        StageError: when the graph cannot be read, or the row names nodes or operators that it does not have.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    try:
        model = onnx.load(graph)
    except DecodeError as error:
        raise StageError(f"{graph} is truncated or no ONNX graph: {error}") from error
    check_names(model, row, set(IntegerOpsRegistry))
    has_subgraphs = any(node.op_type in ("If", "Loop", "Scan", "SequenceMap") for node in model.graph.node)
    options: dict[str, Any] = {
        "WeightSymmetric": True,
        "ActivationSymmetric": False,
        "EnableSubgraph": has_subgraphs,
        "ForceSymmetric": False,
    }
    if row.source != "onnx":
        # Fused operators are unknown to ONNX's shape inference; every tensor that is asked for is fp32.
        options["DefaultTensorType"] = onnx.TensorProto.FLOAT
    logging.disable(logging.WARNING)  # a line for every tensor that the default type answers for
    quantizer = ONNXQuantizer(
        model=model,
        per_channel=row.per_channel,
        reduce_range=row.reduce_range,
        mode=QuantizationMode.IntegerOps,
        static=False,
        weight_qType=QuantType.QUInt8 if row.isa == "avx2" else QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=None,
        nodes_to_quantize=[],
        nodes_to_exclude=row.exclude_nodes,
        op_types_to_quantize=list(IntegerOpsRegistry) if row.operators is None else row.operators,
        extra_options=options,
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(target), onnx_graphs.has_sidecar(graph))
    counts: dict[str, int] = {}
    for node in quantizer.model.nodes():
        if "Integer" in node.op_type or node.op_type.startswith("Q"):
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    if not counts:
        found = ", ".join(sorted({node.op_type for node in model.graph.node}))
        raise StageError(f"nothing in {graph} was quantized; its operators are {found}")
    return counts


def check_names(model: Any, row: Quantize, quantizable: set[str]) -> None:
    """Refuse a row that names what is not there: it would quantize something else than the user thinks."""
    names = {node.name for node in model.graph.node}
    if unknown := sorted(set(row.exclude_nodes) - names):
        close = [name for name in sorted(names) if "MatMul" in name][:3]
        raise StageError(
            f"exclude_nodes names {', '.join(unknown)}, which the graph does not have; "
            f"it has, for instance, {', '.join(close)}"
        )
    if unknown := sorted(set(row.operators or ()) - quantizable):
        raise StageError(
            f"operators names {', '.join(unknown)}; ONNX Runtime quantizes {', '.join(sorted(quantizable))}"
        )


def main(variant: str, onnx: Path, out: Path) -> None:
    row = params.read().quantize[variant]
    config = models.config(onnx)
    fuse = None if row.source == "onnx" else Optimize.model_validate({"level": row.source.removeprefix("onnx_")})
    if fuse and (reason := onnx_graphs.unsupported(config, fuse)):
        models.skip(out, variant, reason)
        say(f"{out}: skipped, {reason}")
        return
    with files.replacing_folder(out) as partial:
        models.copy_companions(onnx, partial)
        graph, target = models.weights_path(onnx, "onnx"), models.weights_path(partial, variant)
        target.parent.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            if fuse:
                # Made on the spot, in a second or two, so that this stage depends on `onnx` alone.
                fused = Path(scratch) / graph.name
                onnx_graphs.optimize(graph, fused, config, fuse)
                graph = fused
            counts = quantize(graph, target, row)
    say(f"{out}: {', '.join(f'{count} {name}' for name, count in counts.items())}")


if __name__ == "__main__":
    command.run(main)
