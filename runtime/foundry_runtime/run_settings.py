"""How a file is run: threads, streams, and tokens of a batch.

By default one stream for each core and about 512 tokens in a batch. On a machine like the one that measured the file,
what was fastest there: foundry.json says so of each way to run a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from foundry_runtime import machine
from foundry_runtime.batches import TOKENS_PER_BATCH, TOKENS_PER_BATCH_ON_GPU
from foundry_runtime.errors import UnusableModel

MANY, ONE = "throughput", "latency"  # the uses that foundry.json has settings for, each by length of texts
USUAL_TEXTS = "medium"  # of the lengths of text: it is the most like a paragraph


class Layout(NamedTuple):
    """How a graph is loaded."""

    threads: int  # of one run
    runs: int  # that may go on at once


@dataclass(frozen=True)
class RunSettings:
    """Threads, streams, and tokens of a batch. See `Model` for what each means."""

    threads: int
    streams: int
    single_threads: int
    batch_tokens: int

    @property
    def single(self) -> Layout:
        """For one batch alone; several callers may each have one."""
        return Layout(self.single_threads, max(self.threads // self.single_threads, 1))

    def many(self, runtime: str) -> Layout:
        """For many batches, by `onnx` or `openvino`."""
        if runtime == "onnx":
            # Streams are threads that call, each of which works itself; the rest of the threads helps all of them.
            return Layout(max(self.threads - self.streams + 1, 1), self.streams)
        return Layout(max(self.threads // self.streams, 1), self.streams)


def choose(
    measured: Mapping[str, int],
    threads: int | None = None,
    streams: int | None = None,
    single_threads: int | None = None,
    batch_tokens: int | None = None,
    device: str = "cpu",
) -> RunSettings:
    """What is asked for; where nothing is, what was `measured` on a machine like this, or else the device's rule.

    Measured threads and streams belong together: they are left aside where either is asked for.

    Raises:
        ValueError: when a number is below 1.
    """
    asked = {"threads": threads, "streams": streams, "single_threads": single_threads, "batch_tokens": batch_tokens}
    for name, value in asked.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}, must be at least 1")
    if threads or streams:
        measured = {name: value for name, value in measured.items() if name == "batch_tokens"}
    threads = threads or measured.get("threads") or machine.threads()
    default_tokens = TOKENS_PER_BATCH_ON_GPU if device == "cuda" else TOKENS_PER_BATCH
    return RunSettings(
        threads,
        streams or measured.get("streams") or (1 if device == "cuda" else threads),
        single_threads or measured.get("single_threads") or threads,
        batch_tokens or measured.get("batch_tokens") or default_tokens,
    )


def measured_here(way: Mapping[str, Any], label: str) -> dict[str, int]:
    """What was fastest for texts of the usual length, by a way's entry in foundry.json of a machine like this one.

    Empty where nothing was measured, or on another number of cores. `label` stands in errors.

    Raises:
        UnusableModel: when a number in it cannot be one.
    """
    settings = way.get("settings")
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UnusableModel(f"{label} are of type {type(settings).__name__}, must be an object")
    if settings.get("cores") != machine.threads():
        return {}
    return usual(settings, label)


def usual(settings: Mapping[str, Any], label: str) -> dict[str, int]:
    """Of settings by use and length of texts, those for texts of the usual length."""
    values = {**_of_usual_texts(settings.get(ONE), label), **_of_usual_texts(settings.get(MANY), label)}
    return {name: _checked(name, values[name], label) for name in RunSettings.__annotations__ if name in values}


def _of_usual_texts(by_texts: Any, label: str) -> dict[str, Any]:
    """The settings for texts of medium length; where there are no such texts, of the middle of all lengths."""
    rows = by_texts or {}
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise UnusableModel(f"{label} are damaged: {by_texts!r:.80}")
    row: dict[str, Any] = rows.get(USUAL_TEXTS) or next(iter([*rows.values()][len(rows) // 2 :]), {})
    return row


def _checked(name: str, value: Any, label: str) -> int:
    """A number of foundry.json, which a hand may have changed."""
    most = machine.threads() if name != "batch_tokens" else None
    if type(value) is not int or value < 1 or (most is not None and value > most):
        allowed = "a whole number of at least 1" + (f" and at most {most}, the cores" if most else "")
        raise UnusableModel(f"{label} have {name} {value!r:.80}, must be {allowed}")
    return value
