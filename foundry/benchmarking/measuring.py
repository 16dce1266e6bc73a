"""Measure one variant in a process of its own, that has the libraries already.

Importing the libraries costs more than most measurements. So one process for each backend imports them, and forks a
child for every measurement: the child has fresh memory that is all given back, one variant is in memory at a time, and
one that crashes or is killed takes nothing with it.
"""

import math
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from foundry.loading import loader
from foundry.loading.encoders import Item, items, tokenizable

PASSES = 3  # that are timed
COUNTED_TEXTS = 8  # of each group, for the operations that a text takes


@dataclass(frozen=True)
class Group:
    """Texts of one length, and how many of them a measurement takes; of a CrossEncoder, each with one passage."""

    texts: list[str]
    batch_sizes: list[int]  # without 1, which is `singles`
    singles: int  # how many are embedded one at a time


@dataclass(frozen=True)
class Measured:
    """What one child saw of one variant."""

    load_seconds: float
    memory_mb: float  # the most that the process held, with the libraries
    texts_per_second: dict[str, dict[str, float]] = field(default_factory=dict)  # by group and batch size
    latency_ms: dict[str, list[float]] = field(default_factory=dict)  # by group: of each single text
    gave_up: bool = False  # the time ran out before all was measured
    embeddings: Any = None  # (texts, dimensions), where asked for


class MeasurementFailed(Exception):
    """A variant did not load, crashed, or was killed; the text says which."""


# --- Processes --------------------------------------------------------------------------------------------


class Workshop:
    """A process that has imported what a backend needs, and forks a child for each call."""

    def __init__(self, backend: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, backend), daemon=False)
        self._process.start()
        theirs.close()

    def call(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        """The function's result, from a child that ends within so many seconds.

        Raises:
            MeasurementFailed: with what it raised, or the signal that ended it.
        """
        try:
            self._connection.send((function, arguments, seconds))
            ok, value = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self._process.join()
            raise MeasurementFailed(f"its libraries cannot be imported: {_ending(self._process.exitcode)}") from error
        if not ok:
            raise MeasurementFailed(value)
        return value

    def close(self) -> None:
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()


class Workshops:
    """One workshop for each backend, opened when it is first needed; a context manager, which closes them."""

    def __init__(self) -> None:
        self._open: dict[str, Workshop] = {}

    def __enter__(self) -> "Workshops":
        return self

    def __exit__(self, *_: object) -> None:
        for workshop in self._open.values():
            workshop.close()

    def of(self, backend: str) -> Workshop:
        if backend not in self._open:
            self._open[backend] = Workshop(backend)
        return self._open[backend]


def _serve(connection: Connection, backend: str) -> None:
    """The workshop's own loop: import, then fork a child for each call, until the other side closes."""
    import gc
    import importlib

    importlib.import_module("sentence_transformers")
    if backend != "torch":
        importlib.import_module({"onnx": "optimum.onnxruntime", "openvino": "optimum.intel.openvino"}[backend])
    gc.freeze()  # or the first collection in a child would copy every page
    fork = multiprocessing.get_context("fork")
    while True:
        try:
            function, arguments, seconds = connection.recv()
        except EOFError:
            return
        with tempfile.TemporaryFile() as log:
            ours, theirs = fork.Pipe(duplex=False)
            child = fork.Process(target=_run, args=(theirs, log.fileno(), function, arguments))
            child.start()
            theirs.close()
            connection.send(_await(ours, child, seconds, log))
            ours.close()


def _await(ours: Connection, child: Any, seconds: float, log: Any) -> tuple[bool, Any]:
    if not ours.poll(seconds):
        child.kill()
        child.join()
        return False, f"it did not end within {seconds:.0f} s"
    try:
        answer: tuple[bool, Any] = ours.recv()
    except EOFError:
        child.join()
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
        return False, _ending(child.exitcode) + (f": {lines[-1][:300]}" if lines else "")
    child.join()
    return answer


def _run(connection: Connection, log: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """The child: what libraries print goes to a log, whose last line explains a crash."""
    sys.stdout.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        connection.send((True, function(*arguments)))
    except loader.load_errors() as error:
        connection.send((False, f"{type(error).__name__}: {error}".splitlines()[0][:500]))


def _ending(exit_code: int | None) -> str:
    """How a process ended, in words."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"ended with exit code {exit_code}"


# --- What a child does ------------------------------------------------------------------------------------


def measure(
    folder: Path, variant: str, options: loader.Options, groups: dict[str, Group], give_up: float, embed: Sequence[str]
) -> Measured:
    """Load the variant and time it on every group, in single texts and in batches, in several passes over all of them.

    What disturbs a machine comes in bursts, so a value is the median of passes that lie apart. The pass before them is
    not timed: runtimes prepare themselves for each new shape of input. After `give_up` seconds no pass begins.
    """
    started = time.perf_counter()
    model = loader.load(folder, variant, options)
    load_seconds = time.perf_counter() - started
    of_pairs = loader.of_pairs(model)
    embeddings = model.encode(items(embed, of_pairs), show_progress_bar=False) if embed else None
    chosen = {name: items(group.texts, of_pairs, passages=1) for name, group in groups.items()}
    speeds: dict[str, dict[str, list[float]]] = {name: {} for name in groups}
    latencies: dict[str, list[float]] = {name: [] for name in groups}
    deadline = time.perf_counter() + give_up

    def seconds(texts: list[Item], batch_size: int) -> float:
        begun = time.perf_counter()
        model.encode(texts, batch_size=batch_size, show_progress_bar=False)
        return time.perf_counter() - begun

    done = 0
    while done <= PASSES and (done < 2 or time.perf_counter() < deadline):
        for name, group in groups.items():
            singles = [seconds([text], 1) for text in chosen[name][: group.singles]]
            batches = {size: seconds(chosen[name], size) for size in group.batch_sizes}
            if done:
                latencies[name] += [1000 * value for value in singles]
                speeds[name].setdefault("1", []).append(len(singles) / sum(singles))
                for size, value in batches.items():
                    speeds[name].setdefault(str(size), []).append(len(group.texts) / value)
        done += 1
    typical = {name: {size: median(values) for size, values in sizes.items()} for name, sizes in speeds.items()}
    return Measured(load_seconds, peak_memory_mb(), typical, latencies, done <= PASSES, embeddings)


def peak_memory_mb() -> float:
    """The most memory that this process ever held: Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def describe(folder: Path, groups: dict[str, list[str]]) -> dict[str, Any]:
    """Of each group: tokens and operations per text, tokenization time, torch's speed in a batch; and torch's threads.

    Operations are those of all matrix products, as torch counts them, of a text without padding.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    # The counter knows plain attention's products, not those of the fused operator.
    model = loader.load(folder, "torch", {"model_kwargs": {"attn_implementation": "eager"}})
    found: dict[str, dict[str, float]] = {}
    for name, texts in groups.items():
        whole = items(texts, loader.of_pairs(model), passages=1)
        tokens = [int(model.preprocess([tokenizable(one)])["attention_mask"].sum()) for one in whole]
        some = whole[:COUNTED_TEXTS]
        with FlopCounterMode(display=False) as counter:
            for text in some:
                model.encode([text], show_progress_bar=False)
        started = time.perf_counter()
        model.encode(some, batch_size=len(some), show_progress_bar=False)
        seconds = time.perf_counter() - started
        found[name] = {
            "texts": len(texts),
            "tokens_per_text": sum(tokens) / len(texts),
            "gflop_per_text": counter.get_total_flops() / len(some) / 1e9,
            "tokenization_ms_per_text": _tokenization_ms(model, [tokenizable(one) for one in whole]),
            "texts_per_second": len(some) / seconds,
        }
    return {"groups": found, "threads": torch.get_num_threads()}


def _tokenization_ms(model: Any, texts: list[Any], batch_size: int = 8, repeats: int = 5) -> float:
    """Milliseconds per text, as the median of several passes over all texts in batches."""
    passes = []
    for _ in range(repeats):
        started = time.perf_counter()
        for start in range(0, len(texts), batch_size):
            model.preprocess(texts[start : start + batch_size])
        passes.append(1000 * (time.perf_counter() - started) / len(texts))
    return median(passes)


def plan_group(texts: list[str], texts_per_second: float, seconds: float, batch_sizes: Sequence[int]) -> Group:
    """As many of the texts as torch embeds in about so many seconds, and the batch sizes that they can fill.

    The number is a power of two, so that a noisy first measurement seldom changes it.
    """
    wanted = max(1.0, seconds * texts_per_second)
    count = min(len(texts), 2 ** round(math.log2(wanted)))
    chosen = texts[:count]
    return Group(chosen, [size for size in batch_sizes if 1 < size <= count], min(count, max(2, count // 8)))


def capable(precision: str) -> bool:
    """Whether this processor has `fp32`, `bf16` or `fp16`, as OpenVINO says; it would fall back without a word."""
    import openvino

    known = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return precision.upper() in known
