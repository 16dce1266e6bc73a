"""Export a checkpoint to ONNX or OpenVINO, and compare the graph with torch on a few texts at once.

There are several exporters, and none takes every architecture, so they are tried in turn until one gives torch's
numbers: optimum's, which knows most encoders; then the library's own by tracing, whose graph ONNX Runtime's optimizer
can fuse; then its own by torch.export, which reaches the most architectures. Which one it was stands in the folder's
built.json, and why the ones before it were not. This is the only stage that imports optimum.
"""

import gc
import importlib.metadata
import inspect
import logging
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from stages.shared import command, files, models, onnx_files, params
from stages.shared.command import StageError
from stages.shared.progress import say

Format = Literal["onnx", "openvino"]

# Different lengths in one batch, so that padding is looked at, too; the last one is longer than any model takes.
PROBES = (
    "A man is playing a guitar.",
    "Short",
    "Wie wird das Wetter morgen in Zürich? 明日の天気は?",
    "The committee met twice, and on the second evening it agreed on every point of the draft. " * 200,
)
# Of the largest value in torch's output. Faithful fp32 exports stay around 1e-6.
TOLERANCE = 1e-4
# optimum's names of the tasks, transformers' class, and what transformers and optimum call the output.
TASKS: dict[models.Task, tuple[str, str, str]] = {
    "feature-extraction": ("feature-extraction", "AutoModel", "last_hidden_state"),
    "fill-mask": ("fill-mask", "AutoModelForMaskedLM", "logits"),
    "sequence-classification": ("text-classification", "AutoModelForSequenceClassification", "logits"),
}
# torch.onnx's own choice by torch.export; by tracing, the newest that ONNX Runtime's fusions were written for.
OPSET, TRACED_OPSET = 18, 17
# What exporters and the models inside them raise for an architecture that they do not take. A full disk or a lack of
# memory is none of these, or is looked for.
REFUSALS = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError, AssertionError)


class Checkpoint(NamedTuple):
    """What an exporter gets."""

    transformer: Path  # the folder that transformers loads
    task: models.Task
    inputs: dict[str, np.ndarray]  # the probes as the tokenizer gives them: (texts, tokens), int64
    trusted: bool  # whether its own code may run
    opset: int | None


# --- Torch ---------------------------------------------------------------------------------------------


def load_torch(checkpoint: Checkpoint, **how: Any) -> Any:
    """The model that Sentence Transformers would run: of T5 and its like, the encoder."""
    import transformers

    options = {"local_files_only": True, "trust_remote_code": checkpoint.trusted}
    config = transformers.AutoConfig.from_pretrained(checkpoint.transformer, **options)
    loading = getattr(transformers, TASKS[checkpoint.task][1])
    if checkpoint.task == "feature-extraction" and type(config) in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING:
        loading = transformers.AutoModelForTextEncoding
    return loading.from_pretrained(checkpoint.transformer, **options, **how).eval()


def expected_output(checkpoint: Checkpoint) -> np.ndarray:
    """Torch's output for the probes.

    Raises:
        StageError: when the checkpoint does not load.
    """
    try:
        return torch_output(load_torch(checkpoint), checkpoint.inputs)
    except (ValueError, OSError, ImportError) as error:
        raise StageError(f"{checkpoint.transformer} does not load with transformers: {error}") from error


def tokenized(folder: Path, trusted: bool) -> dict[str, np.ndarray]:
    import transformers

    transformer = folder / models.transformer_path(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        transformer, local_files_only=True, trust_remote_code=trusted
    )
    length = min(models.max_seq_length(folder) or tokenizer.model_max_length, 512)
    given = tokenizer(list(PROBES), padding=True, truncation=True, max_length=length, return_tensors="np")
    return {name: value.astype(np.int64) for name, value in given.items()}


def torch_output(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    import torch

    with torch.inference_mode():
        output: np.ndarray = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})[0].numpy()
    return output


def traceable(checkpoint: Checkpoint) -> tuple[Any, tuple[Any, ...]]:
    """A module that takes the tokenizer's inputs in their order and gives one tensor, and example inputs for it."""
    import torch

    # Written out, attention is a pattern that ONNX Runtime fuses, and gives numbers where a row is all padding; as one
    # operator, OpenVINO gives NaN there.
    model = load_torch(checkpoint, attn_implementation="eager")
    names = list(checkpoint.inputs)
    options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}

    class Traceable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True)), **options)[0]

    some = tuple(torch.from_numpy(value[:2, -64:].copy()) for value in checkpoint.inputs.values())
    return Traceable().eval(), some


# --- Exporters -----------------------------------------------------------------------------------------


def by_optimum_onnx(checkpoint: Checkpoint, scratch: Path) -> Path:
    from optimum.exporters.onnx import main_export

    main_export(
        model_name_or_path=str(checkpoint.transformer),
        output=scratch,
        task=TASKS[checkpoint.task][0],
        library_name="transformers",
        local_files_only=True,
        trust_remote_code=checkpoint.trusted,
        do_validation=False,
        no_post_process=True,
        opset=checkpoint.opset,
    )
    return scratch / models.file_name("onnx")


def by_optimum_openvino(checkpoint: Checkpoint, scratch: Path) -> Path:
    from optimum.exporters.openvino import main_export

    main_export(
        model_name_or_path=str(checkpoint.transformer),
        output=scratch,
        task=TASKS[checkpoint.task][0],
        library_name="transformers",
        local_files_only=True,
        trust_remote_code=checkpoint.trusted,
        stateful=False,
        convert_tokenizer=False,
    )
    return scratch / models.file_name("openvino")


def _by_torch_onnx(checkpoint: Checkpoint, scratch: Path, dynamo: bool) -> Path:
    import onnx
    import torch
    from onnxruntime.transformers.onnx_model import OnnxModel

    module, some = traceable(checkpoint)
    names, output = list(checkpoint.inputs), TASKS[checkpoint.task][2]
    target = scratch / models.file_name("onnx")
    options: dict[str, Any]
    if dynamo:
        options = {"dynamic_shapes": (_any_shape(some),), "external_data": True, "verbose": False}
    else:
        axes = {0: "batch_size", 1: "sequence_length"}
        outputs = axes if checkpoint.task != "sequence-classification" else {0: "batch_size"}
        options = {"dynamic_axes": {**dict.fromkeys(names, axes), output: outputs}}
    opset = checkpoint.opset or (OPSET if dynamo else TRACED_OPSET)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        made = Path(folder) / "exported.onnx"
        torch.onnx.export(
            module, some, made, dynamo=dynamo, opset_version=opset, input_names=names, output_names=[output], **options
        )
        # A large model's weights are in many files, or in one of another name.
        onnx_files.save(OnnxModel(onnx.load(made)), target)
    return target


def by_tracing_onnx(checkpoint: Checkpoint, scratch: Path) -> Path:
    return _by_torch_onnx(checkpoint, scratch, dynamo=False)


def by_torch_export_onnx(checkpoint: Checkpoint, scratch: Path) -> Path:
    return _by_torch_onnx(checkpoint, scratch, dynamo=True)


def _any_shape(some: tuple[Any, ...]) -> tuple[dict[int, Any], ...]:
    import torch

    return tuple(dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC) for _ in some)


def _write_openvino(model: Any, checkpoint: Checkpoint, scratch: Path) -> Path:
    """Write a converted model with the inputs and the output named, of any batch size and length."""
    import openvino

    for node, name in zip(model.inputs, checkpoint.inputs, strict=True):
        node.get_tensor().set_names({name})
        node.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
    model.outputs[0].get_tensor().set_names({TASKS[checkpoint.task][2]})
    model.validate_nodes_and_infer_types()
    target = scratch / models.file_name("openvino")
    openvino.save_model(model, target, compress_to_fp16=False)
    return target


def by_tracing_openvino(checkpoint: Checkpoint, scratch: Path) -> Path:
    import openvino

    module, some = traceable(checkpoint)
    return _write_openvino(openvino.convert_model(module, example_input=some), checkpoint, scratch)


def by_torch_export_openvino(checkpoint: Checkpoint, scratch: Path) -> Path:
    import openvino
    import torch

    module, some = traceable(checkpoint)
    program = torch.export.export(module, some, dynamic_shapes=(_any_shape(some),), strict=False)
    return _write_openvino(openvino.convert_model(program), checkpoint, scratch)


Exporter = Callable[[Checkpoint, Path], Path]
EXPORTERS: dict[Format, dict[str, tuple[str, Exporter]]] = {
    "onnx": {
        "optimum": ("optimum-onnx", by_optimum_onnx),
        "torch.onnx.export, traced": ("torch", by_tracing_onnx),
        "torch.onnx.export, by torch.export": ("torch", by_torch_export_onnx),
    },
    "openvino": {
        "optimum": ("optimum-intel", by_optimum_openvino),
        "openvino.convert_model, traced": ("openvino", by_tracing_openvino),
        "openvino.convert_model, by torch.export": ("openvino", by_torch_export_openvino),
    },
}


# --- The graph -----------------------------------------------------------------------------------------


def run_graph(graph: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The first output of a graph, in fp32: (texts, tokens, hidden size or vocabulary), or (texts, labels).

    Raises:
        StageError: when the graph asks for what the tokenizer does not give.
    """
    if graph.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        first: np.ndarray = session.run(None, _wanted({node.name for node in session.get_inputs()}, inputs))[0]
        return first
    import openvino

    compiled = openvino.Core().compile_model(graph, "CPU", models.EXACT)
    return np.array(compiled(_wanted({name for node in compiled.inputs for name in node.get_names()}, inputs))[0])


def _wanted(names: set[str], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if missing := names - inputs.keys():
        raise StageError(f"the graph asks for {', '.join(sorted(missing))}, which the tokenizer does not give")
    return {name: inputs[name] for name in inputs if name in names}


def difference(got: np.ndarray, expected: np.ndarray, mask: np.ndarray | None) -> float:
    """The largest difference of a graph's output to torch's, as a share of torch's largest value.

    Raises:
        StageError: when the shapes differ.
    """
    if got.shape != expected.shape:
        raise StageError(f"the graph gives shape {got.shape}, torch {expected.shape}")
    # What stands at padding is nobody's; scores have no tokens.
    real = slice(None) if mask is None else mask.astype(bool)
    return float(np.abs(got - expected)[real].max() / np.abs(expected[real]).max())


def export(
    checkpoint: Checkpoint, scratch: Path, format: Format, expected: np.ndarray
) -> tuple[Path | None, dict[str, Any]]:
    """Write the graph, with its sidecar, into `scratch`, by the first exporter whose graph gives torch's numbers.

    Gives its path, or None when there is no such exporter, and the record of what was tried.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    refusals = (*REFUSALS, StageError, ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.NotImplemented)
    mask = None if checkpoint.task == "sequence-classification" else checkpoint.inputs["attention_mask"]
    tried: dict[str, str] = {}
    for name, (package, exporter) in EXPORTERS[format].items():
        said = f"{name} ({package} {importlib.metadata.version(package)})"
        files.remove(scratch)
        scratch.mkdir()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tracing warns about every constant that it folds
                logging.disable(logging.WARNING)
                graph = exporter(checkpoint, scratch)
            gc.collect()  # what the exporter left of the model, before the graph is loaded beside it
            worst = difference(run_graph(graph, checkpoint.inputs), expected, mask)
        except refusals as error:
            files.require_space(scratch)
            tried[said] = f"{type(error).__name__}: {first_line(str(error).replace(str(scratch), scratch.name))}"
            continue
        finally:
            logging.disable(logging.NOTSET)
        if worst <= TOLERANCE:  # not when it is NaN
            say(f"{format}: within {worst:.1e} of torch on {len(PROBES)} texts, by {said}")
            # Without the difference, which is the machine's: the record is the same wherever the graph is.
            return graph, {"exporter": said, "tried_before": tried}
        tried[said] = f"its graph is {worst:.1e} of torch's largest value away from torch"
    return None, {"tried_before": tried}


def first_line(message: str) -> str:
    """What an exporter says first, without the colours of a terminal."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", message)
    return next((line.strip() for line in plain.splitlines() if line.strip()), "")[:200]


def main(format: Format, torch: Path, out: Path) -> None:
    settings = params.read().of(out.parent.name)
    if models.left_out(out, format, torch, settings):
        return
    opset = settings.export.onnx.opset if format == "onnx" and settings.export.onnx else None
    trusted = models.has_own_code(torch)
    inputs = tokenized(torch, trusted)
    checkpoint = Checkpoint(torch / models.transformer_path(torch), models.task(torch), inputs, trusted, opset)
    expected = expected_output(checkpoint)
    with files.replacing_folder(out) as partial:
        # The graph, and the same again while it is written.
        files.require_space(partial, 2 * sum(path.stat().st_size for path in models.weights_files(torch, "torch")))
        graph, record = export(checkpoint, partial / "exported", format, expected)
        tried = "; ".join(f"{name}: {reason}" for name, reason in record["tried_before"].items())
        if graph is not None:
            target = models.prepare(partial, torch, format)
            for path in graph.parent.glob(f"{graph.stem}.*"):
                path.rename(target.parent / path.name)
            models.write_record(partial, torch, record)
            files.remove(partial / "exported")
    if graph is None:
        models.skip(out, format, f"no exporter gives torch's numbers for this architecture: {tried}")
        say(f"{out}: ", ("skipped", "yellow"), f", {tried}")
        return
    if tried:
        say(f"  not by {tried}")


if __name__ == "__main__":
    command.run(main)
