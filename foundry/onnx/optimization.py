"""Optimized ONNX graphs: optimum's levels O1 to O4, made by calling ONNX Runtime directly.

The files are byte for byte those of Sentence Transformers' `export_optimized_onnx_model`, at a fraction of the start-up
time, because neither optimum nor torch is imported. tests/onnx/test_optimize.py compares the bytes.
"""

import tempfile
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.head import adding, onnx_graph
from foundry.onnx.settings import Optimize
from foundry.variants import checkpoint_folder, graph_files, variant_folder

# ONNX Runtime's transformers optimizer has a set of fusions for each of a few model types. Which one fits an
# architecture is optimum's choice (tests/onnx/test_optimize.py compares), and where optimum does not know it, the one
# that fuses most of it; an architecture that is not here has none.
OPTIMUMS_MODEL_TYPES = {
    "albert": "bert", "bart": "bart", "bert": "bert", "big_bird": "bert", "bloom": "gpt2", "camembert": "bert",
    "deberta": "bert", "deberta-v2": "bert", "distilbert": "bert", "electra": "bert", "gpt2": "gpt2", "gpt_neo": "gpt2",
    "gpt_neox": "gpt2", "gptj": "gpt2", "granite": "gpt2", "llama": "gpt2", "longt5": "bert", "marian": "bart",
    "mbart": "bart", "mistral": "gpt2", "modernbert": "bert", "mpnet": "bert", "mt5": "bart", "nystromformer": "bert",
    "pegasus": "bert", "roberta": "bert", "t5": "bert", "xlm-roberta": "bert",
}  # fmt: skip
ORT_MODEL_TYPES = {
    **OPTIMUMS_MODEL_TYPES, "eurobert": "bert", "gte": "bert", "jina_embeddings_v3": "bert", "nomic_bert": "bert",
}  # fmt: skip
GROUPED = "GroupQueryAttention"  # of graphs of decoders for long texts
# What configs of transformers call the same thing.
HEAD_COUNT_KEYS = ("num_attention_heads", "n_heads", "n_head", "num_heads", "encoder_attention_heads")
LAYER_COUNT_KEYS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers")
ACTIVATION_KEYS = ("hidden_act", "hidden_activation", "activation", "activation_function", "dense_act_fn")
HIDDEN_SIZE_KEYS = ("hidden_size", "dim", "n_embd", "d_model")

# The options that are not called `enable_<our name>` in ONNX Runtime.
OPTION_NAMES = {"multi_head_attention": "use_multi_head_attention"}

# Session optimizers that rewrite the patterns which the later fusions look for.
HIDING_OPTIMIZERS = (
    "MatMulScaleFusion",
    "MatMulAddFusion",
    "MatmulTransposeFusion",
    "GemmActivationFusion",
    "BiasSoftmaxFusion",
)


def unsupported(config: dict[str, Any], row: Optimize) -> str | None:
    """Why a model cannot have this optimized graph, or None where it can."""
    architecture = config.get("model_type", "")
    if row.level == "O1" or architecture in ORT_MODEL_TYPES:
        return None
    return f"ONNX Runtime's transformers optimizer has no fusions for architecture {architecture!r}; O1 needs none"


def config_number(config: dict[str, Any], keys: tuple[str, ...]) -> int:
    """The value of the first of `keys` that the model's config has, or 0: ONNX Runtime then looks in the graph."""
    return next((int(config[key]) for key in keys if isinstance(config.get(key), int)), 0)


def fusions(operators: dict[str, int], config: dict[str, Any]) -> dict[str, dict[str, int]]:
    """How many attentions, normalizations (two in each layer) and, if they are GELU, activations were fused, and how
    many the layers have."""
    layers = config_number(config, LAYER_COUNT_KEYS)
    expected = {
        "attention": (("Attention", "MultiHeadAttention", GROUPED), layers),
        "normalization": (
            ("LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization",
             "SkipSimplifiedLayerNormalization", "EmbedLayerNormalization"),
            2 * layers,
        ),
    }  # fmt: skip
    activation = next((config[key] for key in ACTIVATION_KEYS if isinstance(config.get(key), str)), "")
    if "gelu" in activation:
        expected["activation"] = (("Gelu", "BiasGelu", "FastGelu", "QuickGelu"), layers)
    return {
        part: {"found": min(sum(operators.get(name, 0) for name in names), count), "expected": count}
        for part, (names, count) in expected.items()
    }


def build(variant: str, onnx: Path, row: Optimize, out: Path) -> None:
    """Make the variant's folder `out` from the exported graph in `onnx`, or skip it if ONNX Runtime has no fusions for
    the architecture."""
    config = checkpoint_folder.config(onnx)
    if reason := unsupported(config, row):
        variant_folder.skip(out, variant, reason)
        say(f"{out}: ", ("skipped", "yellow"), f", {reason}")
        return
    with files.replacing_folder(out) as partial:
        target = variant_folder.prepare(partial, onnx, variant)
        with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
            graph = onnx_graph.without_head(variant_folder.weights_path(onnx, "onnx"), Path(scratch))
            operators = optimize(graph, target, config, row)
        record: dict[str, Any] = (
            {} if row.level == "O1" else {"operators": operators, "fusions": fusions(operators, config)}
        )
        if is_fp16(row) and GROUPED in operators:
            record[variant_folder.ATTENTION] = variant_folder.WRITTEN_OUT
        record[variant_folder.HEAD] = adding.add(partial, variant)
        variant_folder.write_record(partial, onnx, record)
    say(f"{out}: {', '.join(f'{count} {name}' for name, count in operators.items()) or 'basic optimizations'}")
    for name, fusion in record.get("fusions", {}).items():
        if fusion["found"] < fusion["expected"]:
            say("  ", (f"{fusion['found']} of {fusion['expected']} {name} fused", "yellow"))


def optimize(graph: Path, target: Path, config: dict[str, Any], row: Optimize) -> dict[str, int]:
    """Write the optimized graph to `target`; return how many of each fused operator it has.

    Only for an architecture that is not `unsupported`.

    Raises:
        FoundryError: when the graph cannot be read.
    """
    from onnxruntime.transformers.onnx_model import OnnxModel

    target = target.absolute()
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        # O4 is for GPUs. Without one, optimum runs none of the session optimizers for it, and with one the bytes would
        # depend on the machine.
        start = graph if row.level == "O4" else run_session_optimizers(graph, row, Path(scratch))
        with graph_files.without_weights(start, Path(scratch)) as model:
            if row.level == "O1":
                graph_files.save(OnnxModel(model), target)
                return {}
            from onnxruntime.transformers.optimizer import optimize_by_fusion

            ort_type = ORT_MODEL_TYPES[config["model_type"]]
            optimizer = optimize_by_fusion(
                model,
                ort_type,
                config_number(config, HEAD_COUNT_KEYS),
                config_number(config, HIDDEN_SIZE_KEYS),
                fusion_options(ort_type, row),
            )
            if is_fp16(row):
                convert_to_fp16(optimizer, row)
            graph_files.save(optimizer, target)
    counts: dict[str, int] = optimizer.get_fused_operator_statistics()
    counts[GROUPED] = len(optimizer.get_nodes_by_op_type(GROUPED))  # which ONNX Runtime leaves out here
    return {name: count for name, count in counts.items() if count}


def is_fp16(row: Optimize) -> bool:
    """Whether a row's graph is in half precision."""
    return row.level == "O4" if row.fp16 is None else row.fp16


def convert_to_fp16(optimizer: Any, row: Optimize) -> None:
    """Convert a graph without weights to half precision. Inputs and outputs stay fp32, so that all variants are called
    alike."""
    import numpy as np
    from onnxruntime.transformers.float16 import convert_np_to_float16

    # ONNX Runtime changes a tensor's type first and then reads its values in the new type, but those on the disk are
    # still fp32. With half the length it reads without an error, and the values are converted below.
    large = {tensor.name for tensor in optimizer.model.graph.initializer if is_large_fp32(tensor)}
    for tensor in optimizer.model.graph.initializer:
        if tensor.name in large:
            set_sidecar_length(tensor, sidecar_length(tensor) // 2)
    # Shapes are not inferred through the grouped operator without a past, and the attempt leaves a file where it runs.
    infers = row.fusions.shape_inference is not False and not optimizer.get_nodes_by_op_type(GROUPED)
    optimizer.convert_float_to_float16(use_symbolic_shape_infer=infers, keep_io_types=True)
    for tensor in optimizer.model.graph.initializer:
        if tensor.name not in large:
            continue
        set_sidecar_length(tensor, sidecar_length(tensor) * 2)
        if tensor.data_type == tensor.FLOAT16:
            values = convert_np_to_float16(np.frombuffer(graph_files.read_values(tensor), np.float32))
            graph_files.store_inside(tensor, values.tobytes())


def is_large_fp32(tensor: Any) -> bool:
    """Whether a tensor's values are fp32 in a sidecar."""
    return graph_files.is_external(tensor) and tensor.data_type == tensor.FLOAT


def sidecar_length(tensor: Any) -> int:
    """How many bytes of the sidecar belong to an external tensor."""
    return next(int(entry.value) for entry in tensor.external_data if entry.key == "length")


def set_sidecar_length(tensor: Any, length: int) -> None:
    """Change how many bytes of the sidecar belong to an external tensor."""
    next(entry for entry in tensor.external_data if entry.key == "length").value = str(length)


def run_session_optimizers(graph: Path, row: Optimize, scratch: Path) -> Path:
    """Write the graph into `scratch`, with a sidecar, after the optimizations that ONNX Runtime makes when it opens a
    session and before the fusions in Python; return its path.

    `onnxruntime.transformers.optimizer.optimize_model` does the same, but imports torch for it.

    Raises:
        FoundryError: when the graph cannot be read.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidProtobuf

    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a graph that cannot be read is reported once, by the error below
    options.graph_optimization_level = levels.ORT_ENABLE_BASIC if row.level == "O1" else levels.ORT_ENABLE_EXTENDED
    disabled = ["ConstantSharing"] if row.level == "O1" else ["ConstantSharing", *HIDING_OPTIMIZERS]
    optimized = scratch / graph.name
    options.optimized_model_filepath = str(optimized)
    prefix = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{prefix}_file_name", graph_files.sidecar_path(optimized).name)
    options.add_session_config_entry(f"{prefix}_min_size_in_bytes", str(graph_files.SMALLEST_EXTERNAL_BYTES))
    try:
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled)
    except (Fail, InvalidArgument, InvalidProtobuf) as error:
        files.require_space(scratch)
        raise FoundryError(f"{graph} is truncated or no ONNX graph: {error}") from error
    return optimized


def fusion_options(ort_type: str, row: Optimize) -> Any:
    """ONNX Runtime's options for a row: its defaults, changed by what optimum sets, then by what the row sets."""
    from onnxruntime.transformers.fusion_options import FusionOptions

    options = FusionOptions(ort_type)
    options.enable_embed_layer_norm = False  # optimum's choice: what it fuses could not be quantized afterwards
    options.enable_gelu_approximation = row.level in ("O3", "O4")
    for name, value in row.fusions.model_dump(exclude_none=True).items():
        setattr(options, OPTION_NAMES.get(name, f"enable_{name}"), value)
    return options
