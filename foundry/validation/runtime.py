"""foundry_runtime on a variant, in a process that cannot import torch, beside Sentence Transformers on the same file.

The graph's own embedding or scores must be what Sentence Transformers computes behind the transformer; and the runtime
must give the tokens of torch, and the rows of Sentence Transformers and of torch, with the tokenizer's files as they
will be published. Where the runtime does not know the model, the verdict says why, and the card does not name it.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

import foundry
from foundry.base import files
from foundry.loading.items import Item, first_tokenizer_input
from foundry.loading.multi_vector import MultiVectorVariant
from foundry.loading.variant import EmbeddingVariant, LoadedVariant
from foundry.reference import queries as frozen_queries
from foundry.reference import tokenizer_files
from foundry.reference.closeness import cosines
from foundry.reference.queries import Queries
from foundry.reference.reference import Reference
from foundry.validation import queries, torch_free
from foundry.validation.results import Check, RuntimeTrial, at_least, at_most
from foundry.validation.settings import Precision, Thresholds
from foundry.variants import naming, variant_folder
from foundry.variants.precisions import Device, InferencePrecision

TRIED_TEXTS = 16
ALONE = 4  # each such a one of them is also tried alone
LONGEST_SECONDS = 3600  # of the process, which takes a few for a small model
# By the same file and the same runtime, rows differ by rounding alone.
SAME_FILE_COSINE = 0.99999
# The largest distance of what a graph gives from what Sentence Transformers makes of the same graph, as a share of the
# length of a row: that of two embeddings with a cosine of SAME_FILE_COSINE.
LARGEST_HEAD_ERROR = float(np.sqrt(2 * (1 - SAME_FILE_COSINE)))


class Outcome(NamedTuple):
    """What the process without torch gave."""

    refuses: str | None
    error: str | None
    ids: list[list[int]] | None
    rows: Mapping[str, np.ndarray]  # by the kind of batch; those of the graph itself begin with `graph `
    queries: Queries | None = None  # of a model that looks them up in a table


def same_file_cosine(precision: Precision, limits: Thresholds) -> float:
    """The least cosine of two rows by the same file and the same runtime.

    They are of one batch in two orders, whose sums differ in the last bit on some processors. Where values are rounded
    to integers, that tips some of them, as it does between a text alone and in a batch.
    """
    is_float = precision in ("fp32", "fp16")
    return SAME_FILE_COSINE if is_float else min(SAME_FILE_COSINE, limits.consistency_min_cosine)


def try_runtime(
    folder: Path,
    variant: str,
    loaded: LoadedVariant,
    texts: Sequence[str],
    expected: Reference,
    limits: Thresholds,
    precision: Precision = "fp32",
    is_close: bool = True,
) -> tuple[RuntimeTrial, list[Check]]:
    """What is said of the runtime, and the checks that could be made.

    Args:
        loaded: The variant by Sentence Transformers.
        texts: The validation texts.
        expected: torch's tokens and rows of these texts, then of the hard texts.
        precision: The class of the file.
        is_close: Whether the variant holds on this processor by Sentence Transformers: if not, it is no fault of the
            runtime's that its rows are not torch's, and where sums saturate, they change with their place in a batch.
    """
    numbers, items = tried_items(loaded, texts)
    # Those that ordinary texts do not have: empty, of one character, far beyond the maximum length.
    alone = [*items[::ALONE], *loaded.items(list(expected.hard_texts.values()))]
    batches = batches_of(items, alone)
    output = (variant_folder.built(folder).get(variant_folder.HEAD) or {}).get("output")
    with tempfile.TemporaryDirectory() as scratch:
        rewritten = align(folder, Path(scratch), expected, texts)
        if output is not None:
            inputs_of_graph: dict[str, Any] = graph_inputs(loaded, batches)
            np.savez(Path(scratch) / torch_free.INPUTS, **inputs_of_graph)
        inputs = expected.tokenizer_inputs(texts)
        asked = request(folder, variant, loaded.kind, items, alone, inputs, rewritten, output)
        outcome = run(Path(scratch), {**asked, "queries": queries.asked(texts, expected)})
        trial: RuntimeTrial = {
            "refuses": outcome.refuses,
            "error": outcome.error,
            "tokenizer": {name: files.sha256(path) for name, path in rewritten.items()},
        }
    if outcome.error is not None:
        return trial, [at_most("runtime_errors", 1, 0)]
    checks = []
    if output is not None:
        checks.append(at_most("head_error", head_error(outcome, loaded, batches), LARGEST_HEAD_ERROR))
    if outcome.ids is None:
        return trial, checks
    checks += queries.by_runtime(outcome.queries, expected)
    different = sum(mine != torchs for mine, torchs in zip(outcome.ids, expected.tokens, strict=True))
    checks.append(at_most("runtime_different_tokens", different, 0))
    if not is_close:
        return trial, checks
    lowest = min(
        lowest_cosine(outcome.rows["together"], loaded.encode(items, len(items))),
        lowest_cosine(outcome.rows["alone"], np.vstack([loaded.encode([item], 1) for item in alone])),
    )
    return trial, [
        *checks,
        at_least("runtime_min_cosine", lowest, same_file_cosine(precision, limits)),
        as_torch(outcome, numbers, expected, limits),
    ]


def in_precision(
    folder: Path,
    variant: str,
    loaded: LoadedVariant,
    texts: Sequence[str],
    expected: Reference,
    limits: Thresholds,
    precision: InferencePrecision,
    device: Device = "cpu",
) -> list[Check]:
    """The check of a variant that the runtime computes in another precision or on a GPU; none of torch, or of a model
    that it refuses.

    It is told by torch's rows alone: Sentence Transformers computes what stands behind the graph in f32.
    """
    if naming.backend(variant) == "torch":
        return []
    numbers, items = tried_items(loaded, texts)
    with tempfile.TemporaryDirectory() as scratch:
        rewritten = align(folder, Path(scratch), expected, texts)
        asked = request(folder, variant, loaded.kind, items, [], [], rewritten, None, precision, device)
        outcome = run(Path(scratch), asked)
    if outcome.error is not None:
        return [at_most("runtime_errors", 1, 0)]
    return [] if outcome.ids is None else [as_torch(outcome, numbers, expected, limits)]


def as_torch(outcome: Outcome, numbers: Sequence[int], expected: Reference, limits: Thresholds) -> Check:
    """That the runtime's rows of the texts with these numbers are as close to torch's as the file's must be, in one
    batch and in many."""
    rows = [outcome.rows[name] for name in ("together", "many batches") if name in outcome.rows]
    to_torch = min(lowest_cosine(expected.less_offsets(of_texts), expected.rows_of(numbers)) for of_texts in rows)
    return at_least("runtime_min_cosine_to_torch", to_torch, limits.min_cosine)


def lowest_cosine(rows: np.ndarray, expected: np.ndarray) -> float:
    """The least cosine of two rows at the same place; -1 where there are not as many, each of which has its token."""
    return float(cosines(rows, expected).min()) if rows.shape == expected.shape else -1.0


def tried_items(loaded: LoadedVariant, texts: Sequence[str]) -> tuple[list[int], list[Item]]:
    """Items of texts of all lengths, and the numbers of these texts."""
    numbers, items = spread(texts), loaded.items(texts)
    return numbers, [items[number] for number in numbers]


def spread(texts: Sequence[str]) -> list[int]:
    """The numbers of some texts of all lengths, the longest first: so Sentence Transformers orders a batch, too."""
    by_length = sorted(range(len(texts)), key=lambda number: (-len(texts[number]), number))
    places = np.linspace(0, len(texts) - 1, min(TRIED_TEXTS, len(texts))).round().astype(int)
    return [by_length[place] for place in places]


def align(folder: Path, scratch: Path, expected: Reference, texts: Sequence[str]) -> dict[str, Path]:
    """Write the tokenizer's files as they will be published, below `scratch`; give where they are, by name."""
    copy = scratch / "model"
    variant_folder.copy_companions(folder, copy)
    _, changed = tokenizer_files.align(copy, expected, texts)
    return {name: copy / name for name in changed}


def request(
    folder: Path,
    variant: str,
    kind: str,
    items: Sequence[Item],
    alone: Sequence[Item],
    inputs: Sequence[Any],
    rewritten: Mapping[str, Path],
    output: str | None,
    precision: str = "f32",
    device: Device = "cpu",
) -> dict[str, Any]:
    """What the process is asked for."""
    graph, weights = variant_folder.weights_path(folder, variant), None
    if naming.backend(variant) == "openvino" and output is not None:
        weights = str(graph.with_suffix(".bin"))
        graph = graph.with_name(naming.openvino_head_name(graph.name, output))
    return {
        "folder": str(folder),
        "variant": variant,
        "kind": kind,
        "precision": precision,
        "device": device,
        "items": items,
        "alone": alone,
        "inputs": inputs,
        "rewritten": {name: str(path) for name, path in rewritten.items()},
        "output": output,
        "graph": str(graph),
        "weights": weights,
    }


def run(scratch: Path, asked: Mapping[str, Any]) -> Outcome:
    """Run the process, and read what it wrote."""
    import foundry_runtime

    (scratch / torch_free.REQUEST).write_text(json.dumps(asked), "utf-8")
    roots = [str(Path(str(package.__file__)).parents[1]) for package in (foundry, foundry_runtime)]
    path = os.pathsep.join([*roots, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", torch_free.__name__, str(scratch)]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", errors="replace", timeout=LONGEST_SECONDS
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Outcome(None, last[:500], None, {})
    result = json.loads((scratch / torch_free.RESULT).read_text("utf-8"))
    with np.load(scratch / torch_free.ROWS) as rows:
        return Outcome(result["refuses"], None, result["ids"], dict(rows), frozen_queries.read(scratch))


def batches_of(items: Sequence[Item], alone: Sequence[Item]) -> dict[str, Sequence[Item]]:
    """The batches that the graph is given, by name: all items together, and each of the others alone."""
    return {"together": items, **{f"alone {number}": [item] for number, item in enumerate(alone)}}


def graph_inputs(loaded: LoadedVariant, batches: Mapping[str, Sequence[Item]]) -> dict[str, np.ndarray]:
    """What the graph takes for each batch: arrays (texts, tokens) of int64 by `<batch>:<input>`."""
    arrays = {}
    for batch, items in batches.items():
        given = {name: tensor for name, tensor in loaded.tokenize(items).items() if hasattr(tensor, "numpy")}
        ids = given["input_ids"].numpy()
        for name in loaded.graph_inputs:
            # A tokenizer that gives no token types means the first segment.
            value = given[name].numpy() if name in given else np.zeros_like(ids)
            arrays[f"{batch}:{name}"] = value.astype(np.int64)
    return arrays


def head_error(outcome: Outcome, loaded: LoadedVariant, batches: Mapping[str, Sequence[Item]]) -> float:
    """The largest distance of a row that the graph gives from that of Sentence Transformers, as a share of the mean
    length of a batch's rows."""
    largest = 0.0
    for batch, items in batches.items():
        expected = finished_rows(loaded, items)
        given = outcome.rows[f"graph {batch}"]
        if isinstance(loaded, MultiVectorVariant):
            given = given[loaded.tokenize(items)["attention_mask"].numpy().astype(bool)]  # nobody reads padding
        else:
            given = given.reshape(len(items), -1)
        if given.shape != expected.shape:
            return float("inf")
        active = getattr(loaded.model, "max_active_dims", None)
        if active is not None and active < given.shape[1]:  # Sentence Transformers keeps the largest
            given = np.where(given >= np.sort(given, axis=1)[:, -active][:, None], given, 0)
        distance = np.linalg.norm(given - expected, axis=1).max()
        largest = max(largest, float(distance / max(np.linalg.norm(expected, axis=1).mean(), 1e-12)))
    return largest


def finished_rows(loaded: LoadedVariant, items: Sequence[Item]) -> np.ndarray:
    """What Sentence Transformers gives of the items in one batch, without a prompt: embeddings, the vectors of all
    tokens, or scores after the activation of each one's first pair."""
    inputs = [first_tokenizer_input(item) for item in items]
    if isinstance(loaded, MultiVectorVariant):
        vectors, is_token = loaded.unmasked(cast(Sequence[str], inputs))
        tokens: np.ndarray = vectors[is_token]
        return tokens
    if isinstance(loaded, EmbeddingVariant):
        return loaded.embed(cast(Sequence[str], inputs), len(inputs), prompt="")
    scores = loaded.model.predict(inputs, prompt="", batch_size=len(inputs), show_progress_bar=False)
    return np.asarray(scores, dtype=np.float32).reshape(len(inputs), -1)
