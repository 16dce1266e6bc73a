"""Quantize an ONNX graph without calibration: to dynamic int8, or its weights alone.

ONNX Runtime's quantizers are called directly: optimum, which wraps them, takes seconds to import. The files of
optimum's targets are byte for byte those of Sentence Transformers' `export_dynamic_quantized_onnx_model`;
tests/onnx/test_quantize.py compares the bytes.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.base.quiet import without_warnings
from foundry.head import adding, onnx_graph
from foundry.int8 import search
from foundry.int8.planning import quantize_rows
from foundry.int8.saturation import safe_limits
from foundry.onnx import optimization, patching, tables
from foundry.onnx.graph_writer import GraphWriter
from foundry.onnx.settings import Optimize, Quantize
from foundry.variants import checkpoint_folder, graph_files, variant_folder

WEIGHTED = ("MatMul", "Gemm", "Attention")  # operators whose second input may be a constant weight
DEFAULT_BLOCK_SIZE = 32


def quantize(graph: Path, target: Path, row: Quantize) -> dict[str, int]:
    """Write the quantized graph to `target`; return how many of each integer operator it has.

    Raises:
        FoundryError: when the graph cannot be read, or the row names nodes or operators that it does not have.
    """
    target = target.absolute()
    with (
        tempfile.TemporaryDirectory(dir=target.parent) as scratch,
        graph_files.without_weights(graph, Path(scratch)) as model,
    ):
        with without_warnings():  # the quantizer warns for every tensor to which the default type applies
            quantizer = weight_quantizer(model, row) if row.weights else dynamic_quantizer(model, row)
        counts = integer_operators(quantizer.model)
        if not counts:
            operators = ", ".join(sorted({node.op_type for node in quantizer.model.nodes()}))
            raise FoundryError(f"nothing in {graph} was quantized; its operators are {operators}")
        if row.int8_embeddings:
            writer = GraphWriter(quantizer.model.model, Path.cwd())
            counts["int8 tables"] = tables.quantize_tables(writer)
            quantizer.model.model.CopyFrom(writer.finish())
        # ONNX Runtime's dynamic quantizer saves and reloads the graph, and onnx marks what it loads from a sidecar.
        graph_files.save(quantizer.model, target, mark=row.isa is not None)
    return counts


def integer_operators(model: Any) -> dict[str, int]:
    """How many of each operator on integers one of ONNX Runtime's wrapped models has."""
    names = [node.op_type for node in model.nodes()]
    integers = [name for name in names if "Integer" in name or name.startswith("Q") or name == "MatMulNBits"]
    return {name: integers.count(name) for name in dict.fromkeys(integers)}


def weight_quantizer(model: Any, row: Quantize) -> Any:
    """ONNX Runtime's quantizer of weights in blocks of 4 or 8 bits, after it has quantized the model."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    check_names(model, row, set())
    quantizer = MatMulNBitsQuantizer(
        model,
        bits=4 if row.weights == "int4" else 8,
        block_size=row.block_size or DEFAULT_BLOCK_SIZE,
        is_symmetric=True,
        nodes_to_exclude=row.exclude_nodes,
    )
    quantizer.process()
    return quantizer


def dynamic_quantizer(model: Any, row: Quantize) -> Any:
    """ONNX Runtime's quantizer to dynamic int8, after it has quantized the model."""
    import onnx
    from onnxruntime.quantization import QuantType, onnx_quantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    check_names(model, row, set(IntegerOpsRegistry))
    originals = {tensor.name: type(tensor).FromString(tensor.SerializeToString()) for tensor in model.graph.initializer}
    has_subgraphs = any(node.op_type in ("If", "Loop", "Scan", "SequenceMap") for node in model.graph.node)
    options: dict[str, Any] = {
        "WeightSymmetric": True,
        "ActivationSymmetric": False,
        "EnableSubgraph": has_subgraphs,
        "ForceSymmetric": False,
    }
    if not row.attention_products:
        options["MatMulConstBOnly"] = True
    if row.source != "onnx":
        # Fused operators are unknown to ONNX's shape inference; every tensor that is asked for is fp32.
        options["DefaultTensorType"] = onnx.TensorProto.FLOAT
    with patching.shapes_inferred_in_memory():
        quantizer = onnx_quantizer.ONNXQuantizer(
            model=model,
            per_channel=row.per_channel,
            reduce_range=row.reduce_range is True,
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
    if row.reduce_range == "auto":
        reduce_range_where_needed(quantizer.model, originals)
    return quantizer


def reduce_range_where_needed(quantized: Any, originals: Mapping[str, Any]) -> None:
    """Give the outputs of a quantized model's weights whose sums could saturate a larger scale, with which they cannot
    for any tokens. `originals` are the weights in fp32, by name; external ones are in the current folder."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in quantized.initializer()}
    for node in quantized.nodes():
        name = node.input[1] if node.op_type in ("MatMulInteger", "QAttention") else ""
        original = originals.get(name.removesuffix("_quantized"))
        if name not in constants or original is None or len(original.dims) != 2:
            continue
        weight = numpy_helper.to_array(original)
        scale = constants[f"{original.name}_scale"]
        limits = safe_limits(weight)
        if not scale.dims or list(scale.dims) == [1]:  # one scale for all outputs
            limits = np.full_like(limits, limits.min())
            weight_scale = np.abs(weight).max() / limits[0]
            integers = np.round(weight.T / weight_scale).astype(np.int8)
            scales = np.float32(weight_scale).reshape(tuple(scale.dims))
        else:
            integers, scales = quantize_rows(weight.T, limits)
        constants[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(integers.T), name))
        scale.CopyFrom(numpy_helper.from_array(scales, scale.name))


def check_names(model: Any, row: Quantize, quantizable: set[str]) -> None:
    """Check that the graph has the nodes that a row names, and ONNX Runtime the operators.

    Raises:
        FoundryError: when it does not; the row would quantize something else than its author thinks.
    """
    names = {node.name for node in model.graph.node}
    if unknown := sorted(set(row.exclude_nodes) - names):
        close = [name for name in sorted(names) if "MatMul" in name][:3]
        raise FoundryError(
            f"exclude_nodes names {', '.join(unknown)}, which the graph does not have; "
            f"it has, for instance, {', '.join(close)}"
        )
    if unknown := sorted(set(row.operators or ()) - quantizable):
        raise FoundryError(
            f"operators names {', '.join(unknown)}; ONNX Runtime quantizes {', '.join(sorted(quantizable))}"
        )


def search_units(graph: Path) -> list[search.Unit]:
    """The operators with a constant weight that a search may leave in fp32, grouped by their input."""
    model = graph_files.load_structure(graph)
    sizes = {
        tensor.name: int(tensor.dims[0] * tensor.dims[1]) for tensor in model.graph.initializer if len(tensor.dims) == 2
    }
    return search.units(
        (node.input[0], node.name, sizes[node.input[1]])
        for node in model.graph.node
        if node.op_type in WEIGHTED and node.input[1] in sizes
    )


def search_settings(row: Quantize) -> dict[str, Quantize]:
    """The settings that a search tries, by their label in the record of the search."""
    settings = {"the row's own settings": row}
    if row.isa and row.operators is None:
        settings["embedding lookups in float"] = row.model_copy(update={"operators": ["MatMul", "Attention"]})
    return settings


def build(variant: str, onnx: Path, row: Quantize, evaluation: search.EvaluationData, out: Path) -> None:
    """Make the variant's folder `out` from the exported graph in `onnx`, or skip it if the optimized graph that the row
    starts from does not exist for the architecture."""
    config = checkpoint_folder.config(onnx)
    level = None if row.source == "onnx" else Optimize.model_validate({"level": row.source.removeprefix("onnx_")})
    if level and (reason := optimization.unsupported(config, level)):
        variant_folder.skip(out, variant, reason)
        say(f"{out}: ", ("skipped", "yellow"), f", {reason}")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        graph = onnx_graph.without_head(variant_folder.weights_path(onnx, "onnx"), Path(scratch))
        if level:
            # Optimizing takes a second or two. Done here, it lets the stage depend on `onnx` alone.
            optimized = Path(scratch) / graph.name
            optimization.optimize(graph, optimized, config, level)
            graph = optimized
        if row.budget is not None:
            builders = {label: builder(graph, settings) for label, settings in search_settings(row).items()}
            search.search(variant, onnx, search_units(graph), builders, evaluation, row.budget, row.search, out)
            return
        with files.replacing_folder(out) as partial:
            counts = quantize(graph, variant_folder.prepare(partial, onnx, variant), row)
            variant_folder.write_record(
                partial, onnx, {"operators": counts, variant_folder.HEAD: adding.add(partial, variant)}
            )
    say(f"{out}: {', '.join(f'{count} {name}' for name, count in counts.items())}")


def builder(graph: Path, row: Quantize) -> search.Build:
    """A function for a search: it writes the graph by this row, with the given operators left in fp32."""

    def write(target: Path, excluded: frozenset[str]) -> None:
        names = [*row.exclude_nodes, *sorted(excluded)]
        quantize(graph, target, row.model_copy(update={"exclude_nodes": names}))

    return write
