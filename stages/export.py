"""Export a checkpoint to ONNX or OpenVINO through optimum, and compare the graph with torch on a few texts at once.

This is the only stage that imports optimum: what replaces it one day is replaced here.
"""

import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.shared import command, files, models, params
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


# optimum's names of the tasks.
TASKS = {"feature-extraction": "feature-extraction", "fill-mask": "fill-mask",
         "sequence-classification": "text-classification"}  # fmt: skip


def export(torch_folder: Path, target: Path, format: Format, opset: int | None, task: models.Task) -> Path:
    """Write the graph, with its sidecar, into `target` under optimum's own name, and give its path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns about every constant that it folds
        logging.disable(logging.WARNING)
        if format == "onnx":
            from optimum.exporters.onnx import main_export

            options: dict[str, Any] = {"do_validation": False, "no_post_process": True, "opset": opset}
        else:
            from optimum.exporters.openvino import main_export

            options = {"stateful": False, "convert_tokenizer": False}
        main_export(
            model_name_or_path=str(torch_folder),
            output=target,
            task=TASKS[task],
            library_name="transformers",
            local_files_only=True,
            **options,
        )
    return target / models.file_name(format)


def run_graph(graph: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The first output of a graph, in fp32: (texts, tokens, hidden size or vocabulary), or (texts, labels)."""
    if graph.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        wanted = {node.name for node in session.get_inputs()}
        first: np.ndarray = session.run(None, {name: value for name, value in inputs.items() if name in wanted})[0]
        return first
    import openvino

    # Without the hint, OpenVINO would compute in bf16 where the processor has it.
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    wanted = {name for node in compiled.inputs for name in node.get_names()}
    return np.array(compiled({name: value for name, value in inputs.items() if name in wanted})[0])


def worst_difference(torch_folder: Path, graph: Path) -> float:
    """The largest difference of the graph's output to torch on the probes, as a share of torch's largest value."""
    import torch
    import transformers

    transformer = torch_folder / models.transformer_path(torch_folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(transformer, local_files_only=True)
    length = min(models.max_seq_length(torch_folder) or tokenizer.model_max_length, 512)
    inputs = tokenizer(list(PROBES), padding=True, truncation=True, max_length=length, return_tensors="np")
    heads = {
        "feature-extraction": transformers.AutoModel,
        "fill-mask": transformers.AutoModelForMaskedLM,
        "sequence-classification": transformers.AutoModelForSequenceClassification,
    }
    task = models.task(torch_folder)
    model = heads[task].from_pretrained(transformer, local_files_only=True).eval()
    with torch.inference_mode():
        expected = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})[0].numpy()
    got = run_graph(graph, {name: value.astype(np.int64) for name, value in inputs.items()})
    if got.shape != expected.shape:
        raise StageError(f"the exported graph gives shape {got.shape}, torch {expected.shape}")
    # What stands at padding is nobody's; scores have no tokens.
    real = slice(None) if task == "sequence-classification" else inputs["attention_mask"].astype(bool)
    return float(np.abs(got - expected)[real].max() / np.abs(expected[real]).max())


def main(format: Format, torch: Path, out: Path) -> None:
    settings = params.read().export
    opset = settings.onnx.opset if format == "onnx" and settings.onnx else None
    with files.replacing_folder(out) as partial:
        models.copy_companions(torch, partial)
        files.require_space(partial, sum(path.stat().st_size for path in models.weights_files(torch, "torch")))
        scratch = partial / "exported"
        graph = export(torch / models.transformer_path(torch), scratch, format, opset, models.task(torch))
        worst = worst_difference(torch, graph)
        if not worst <= TOLERANCE:  # also when it is NaN
            raise StageError(
                f"the {format} graph is {worst:.1e} away from torch, more than {TOLERANCE:.0e} of its largest value; "
                "this architecture does not export faithfully with this toolchain"
            )
        target = models.weights_path(partial, format)
        target.parent.mkdir(parents=True)
        for path in scratch.glob(f"{graph.stem}.*"):
            path.rename(target.parent / path.name)
        files.remove(scratch)
    say(f"{out}: within {worst:.1e} of torch on {len(PROBES)} texts")


if __name__ == "__main__":
    command.run(main)
