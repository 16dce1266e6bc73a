"""Export a checkpoint to ONNX or OpenVINO, and compare the graph with torch on a few texts at once.

No exporter takes every architecture, so several are tried in turn until one gives torch's numbers: for a model of long
texts, the one whose attention goes by blocks; then optimum's where it is installed, which knows most encoders; then the
library's by tracing, whose graph ONNX Runtime's optimizer can fuse; then the library's by torch.export, which takes the
most architectures. The folder's built.json records which exporter it was, and why those before it failed.
"""

import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.packages import installed_version
from foundry.base.progress import say
from foundry.base.quiet import without_warnings
from foundry.export import comparison, long_attention, optimum, torch_exporters, torch_model
from foundry.export.comparison import TOLERANCE
from foundry.export.settings import Format, OnnxExport
from foundry.export.torch_model import PER_TOKEN, PROBES, Checkpoint
from foundry.head import adding
from foundry.variants import checkpoint_folder, variant_folder

# What exporters, and the models inside them, raise for an architecture that they do not take. A lack of memory is none
# of these; a full disk can be, and is checked for.
REFUSALS = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError, AssertionError)

Exporter = Callable[[Checkpoint, Path], Path]
EXPORTERS: dict[Format, dict[str, tuple[str, Exporter]]] = {
    "onnx": {
        "optimum": ("optimum-onnx", optimum.by_optimum_onnx),
        "torch.onnx.export, traced": ("torch", torch_exporters.by_tracing_onnx),
        "torch.onnx.export, by torch.export": ("torch", torch_exporters.by_torch_export_onnx),
    },
    "openvino": {
        "optimum": ("optimum-intel", optimum.by_optimum_openvino),
        "openvino.convert_model, traced": ("openvino", torch_exporters.by_tracing_openvino),
        "openvino.convert_model, by torch.export": ("openvino", torch_exporters.by_torch_export_openvino),
    },
}
BY_BLOCKS: dict[Format, dict[str, tuple[str, Exporter]]] = {
    "onnx": {"torch.onnx.export, traced, attention by blocks": ("torch", torch_exporters.by_blocks_onnx)},
    "openvino": {
        "openvino.convert_model, traced, attention by blocks": ("openvino", torch_exporters.by_blocks_openvino)
    },
}


def exporters(checkpoint: Checkpoint, format: Format) -> dict[str, tuple[str, Exporter]]:
    """The exporters in the order in which they are tried, each with the package that it needs."""
    is_long = (checkpoint.max_tokens or 0) > long_attention.LONG_TOKENS
    return {**(BY_BLOCKS[format] if is_long else {}), **EXPORTERS[format]}


def export(
    checkpoint: Checkpoint, scratch: Path, format: Format, expected: np.ndarray
) -> tuple[Path | None, dict[str, Any]]:
    """Write the graph, with its sidecar, into `scratch`, by the first exporter whose graph gives torch's numbers.

    Returns its path, or None when there is no such exporter, and the record of what was tried. `expected` is torch's
    output for the checkpoint's inputs.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    refusals = (*REFUSALS, FoundryError, ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.NotImplemented)
    mask = checkpoint.inputs["attention_mask"] if checkpoint.task in PER_TOKEN else None
    tried: dict[str, str] = {}
    for name, (package, exporter) in exporters(checkpoint, format).items():
        if (version := installed_version(package)) is None:
            continue
        label = f"{name} ({package} {version})"
        files.remove(scratch)
        scratch.mkdir()
        try:
            with without_warnings():  # tracing warns about every constant that it folds
                graph = exporter(checkpoint, scratch)
            gc.collect()  # frees what the exporter still holds of the model before the graph is loaded
            difference = comparison.difference(comparison.run_graph(graph, checkpoint.inputs), expected, mask)
        except refusals as error:
            files.require_space(scratch)
            tried[label] = f"{type(error).__name__}: {first_line(str(error).replace(str(scratch), scratch.name))}"
            continue
        if difference <= TOLERANCE:  # false for NaN
            say(f"{format}: within {difference:.1e} of torch on {len(PROBES)} texts, by {label}")
            # The difference depends on the machine and is not recorded, so that the record is the same everywhere.
            by_blocks = {variant_folder.ATTENTION: variant_folder.BY_BLOCKS} if name in BY_BLOCKS[format] else {}
            return graph, {"exporter": label, "tried_before": tried, **by_blocks}
        tried[label] = f"its graph is {difference:.1e} of torch's largest value away from torch"
    return None, {"tried_before": tried}


def first_line(message: str) -> str:
    """The first line of an exporter's message, without terminal colours, in at most 200 characters."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", message)
    return next((line.strip() for line in plain.splitlines() if line.strip()), "")[:200]


def build(format: Format, torch: Path, row: OnnxExport, out: Path) -> None:
    """Make the folder `out` with the exported graph, or skip it if no exporter takes the architecture."""
    trusted = checkpoint_folder.trusts_code(torch)
    inputs = torch_model.tokenized(torch, trusted)
    checkpoint = Checkpoint(
        torch / checkpoint_folder.transformer_path(torch), checkpoint_folder.task(torch), inputs, trusted, row.opset,
        checkpoint_folder.max_seq_length(torch), checkpoint_folder.scored_tokens(torch),
    )  # fmt: skip
    expected = torch_model.expected_output(checkpoint)
    with files.replacing_folder(out) as partial:
        # While the graph is written, it takes its size twice.
        files.require_space(
            partial, 2 * sum(path.stat().st_size for path in variant_folder.weights_files(torch, "torch"))
        )
        graph, record = export(checkpoint, partial / "exported", format, expected)
        if graph is not None:
            target = variant_folder.prepare(partial, torch, format)
            for path in graph.parent.glob(f"{graph.stem}.*"):
                path.rename(target.parent / path.name)
            record[variant_folder.HEAD] = adding.add(partial, format)
            variant_folder.write_record(partial, torch, record)
            files.remove(partial / "exported")
    tried = "; ".join(f"{name}: {reason}" for name, reason in record["tried_before"].items())
    if graph is None:
        variant_folder.skip(out, format, f"no exporter gives torch's numbers for this architecture: {tried}")
        say(f"{out}: ", ("skipped", "yellow"), f", {tried}")
    elif tried:
        say(f"  not by {tried}")
