"""What a child of a fork server measures: one variant on the benchmark's texts, or the texts themselves."""

import math
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple, Protocol

from foundry_runtime.batches import TOKENS_PER_BATCH

from foundry.base.errors import FoundryError
from foundry.benchmarking import machine_profile, other_load, speeds
from foundry.benchmarking.by_runtime import Chosen, RuntimeVariant, bulk, cycled
from foundry.benchmarking.other_load import Stopwatch, Taken
from foundry.benchmarking.settings import Runner
from foundry.loading import loader, precisions
from foundry.loading.by_foundry_runtime import dense
from foundry.loading.items import PASSAGES_PER_QUERY, Item
from foundry.loading.variant import LoadedVariant
from foundry.variants.precisions import Device

TIMED_PASSES = 2  # a round more says more than a pass more
EMBEDDED_AT_ONCE = 16  # of the texts on which closeness is measured
LONGER = 4  # times as long as it should, a measurement may take so that it has a batch
LARGEST_BATCH = 256  # when torch's speed is first looked at
MOST_SINGLES = 64  # of a group, however fast torch is
# So long a pass takes of a group's single texts, and of Sentence Transformers' batches of one size: of a fast row, less
# would say little. torch's batches take longer, because all ratios are to them.
SECONDS_AT_LEAST, SECONDS_OF_TORCH = 0.1, 0.25
FEWEST_SINGLES = 4  # texts that are timed one by one in a pass
COUNTED_TEXTS = 8  # of each group, for the operations that a text takes


class Encoder(Protocol):
    """A variant that is loaded, by Sentence Transformers or foundry_runtime."""

    def items(self, texts: Sequence[str], passages_per_query: int) -> list[Item]: ...

    def encode(self, items: Sequence[Item], batch_size: Any) -> Any: ...


class Way(NamedTuple):
    """A file, and how it is opened."""

    folder: Path  # of the variant
    variant: str
    options: loader.Options
    runner: Runner
    tokenizer: Mapping[str, Path]  # files that foundry_runtime reads in place of the folder's, by name
    chosen: Chosen | None = None  # its threads, streams and tokens of a batch


@dataclass(frozen=True)
class Group:
    """Texts of one length, and how many of them a measurement takes; of a CrossEncoder, each with one passage."""

    texts: list[str]
    batch_sizes: list[int]  # without 1, which is `singles`
    singles: int  # how many are embedded one at a time
    bulk: int  # how many foundry_runtime embeds at once, the texts over and over


@dataclass(frozen=True)
class Measured:
    """What one child saw of one variant."""

    load_seconds: float
    memory_mb: float  # the peak memory of the process, with the libraries
    texts_per_second: dict[str, dict[str, float]] = field(default_factory=dict)  # by group and batch size
    latency_ms: dict[str, list[float]] = field(default_factory=dict)  # by group: of each single text
    gave_up: bool = False  # the time ran out before all was measured
    embeddings: Any = None  # (texts, dimensions), where asked for
    taken: Taken | None = None  # what other jobs took of the processor during the timed passes
    gpu_memory_mb: float | None = None  # what the process took of a GPU's memory


def measure(
    way: Way,
    groups: dict[str, Group],
    give_up: float,
    embed: Sequence[str],
    at_least: float = SECONDS_AT_LEAST,
) -> Measured:
    """Load the variant and time it on every group, in single texts and in batches, in several passes over all of them.

    What disturbs a machine comes in bursts, so a value is the median of passes that lie apart. The pass before them is
    not timed: runtimes prepare themselves for each new shape of input. After `give_up` seconds no pass begins.

    Where foundry_runtime's settings load the file several times, the memory is that of the model for texts of the usual
    length alone, as it is deployed.
    """
    gpu_memory_mb = None
    memory_before = machine_profile.gpu_memory_used_mb() if way.options.get("device") == "cuda" else None
    started = time.perf_counter()
    loaded = open_way(way)
    load_seconds = time.perf_counter() - started
    embeddings = dense(loaded.encode(loaded.items(embed, PASSAGES_PER_QUERY), EMBEDDED_AT_ONCE)) if embed else None
    items = {name: loaded.items(group.texts, passages_per_query=1) for name, group in groups.items()}
    rates: dict[str, dict[str, list[float]]] = {name: {} for name in groups}
    latencies: dict[str, list[float]] = {name: [] for name in groups}
    if way.runner == "foundry_runtime":  # which embeds more texts than torch, whose time this was
        give_up *= max(group.bulk / len(group.texts) for group in groups.values())
    memory_mb = _memory_of_usual(loaded, items, groups)
    deadline = time.perf_counter() + give_up
    passes = 0  # the first one is not timed
    stopwatch = Stopwatch()
    while passes <= TIMED_PASSES and (passes < 2 or time.perf_counter() < deadline):
        for name, group in groups.items():
            alone = [[item] for item in items[name][: group.singles]]
            if isinstance(loaded, RuntimeVariant):
                single, many = (
                    partial(loaded.encode_for, "latency", name),
                    partial(loaded.encode_for, "throughput", name),
                )
                texts = cycled(items[name], group.bulk)
                singles = _seconds_of_each(single, alone, SECONDS_AT_LEAST)
                batches = {speeds.BY_TOKENS: _seconds(many, texts) / len(texts)}
            else:
                singles = _seconds_of_each(loaded.encode, alone, SECONDS_AT_LEAST, 1)
                batches = {
                    str(size): mean(_seconds_of_each(loaded.encode, [items[name]], at_least, size)) / len(group.texts)
                    for size in group.batch_sizes
                }
            if passes:
                latencies[name] += [1000 * seconds for seconds in singles]
                rates[name].setdefault(speeds.SINGLE, []).append(len(singles) / sum(singles))
                for size, seconds in batches.items():
                    rates[name].setdefault(size, []).append(1 / seconds)
        passes += 1
        if passes == 1:
            stopwatch = Stopwatch()
    taken = stopwatch.taken()
    if memory_before is not None:  # while all that was allocated is still held
        gpu_memory_mb = machine_profile.gpu_memory_used_mb() - memory_before
    typical = {name: {size: median(values) for size, values in sizes.items()} for name, sizes in rates.items()}
    memory_mb = memory_mb or peak_memory_mb()
    return Measured(
        load_seconds, memory_mb, typical, latencies, passes <= TIMED_PASSES, embeddings, taken, gpu_memory_mb
    )


def combined(measurements: Sequence[Measured]) -> Measured:
    """What several children saw of one variant in a round, as one: median speeds, all latencies, the most memory."""
    first = measurements[0]
    if len(measurements) == 1:
        return first
    gpu_memory = [measured.gpu_memory_mb for measured in measurements if measured.gpu_memory_mb is not None]
    return Measured(
        load_seconds=median(measured.load_seconds for measured in measurements),
        memory_mb=max(measured.memory_mb for measured in measurements),
        texts_per_second={
            group: {size: _median_rate(measurements, group, size) for size in sizes}
            for group, sizes in first.texts_per_second.items()
        },
        latency_ms={
            group: [value for measured in measurements for value in measured.latency_ms.get(group, [])]
            for group in first.latency_ms
        },
        gave_up=any(measured.gave_up for measured in measurements),
        embeddings=first.embeddings,
        taken=other_load.total(measured.taken for measured in measurements),
        gpu_memory_mb=max(gpu_memory, default=None),
    )


def _median_rate(measurements: Sequence[Measured], group: str, size: str) -> float:
    """The median of the texts per second, of those that measured a group at this size."""
    rates = [measured.texts_per_second.get(group, {}).get(size) for measured in measurements]
    return median(rate for rate in rates if rate is not None)


def open_way(way: Way) -> Encoder:
    """What embeds by a variant's file.

    Raises:
        FoundryError: when Sentence Transformers would compute in another precision than the one that is asked for, or
            by code that is too slow to be measured.
    """
    precision, device = way.options.get("precision", "f32"), way.options.get("device", "cpu")
    if way.runner == "foundry_runtime":
        return RuntimeVariant(way.folder, way.variant, precision, way.tokenizer, device, way.chosen)
    loaded = loader.load(way.folder, way.variant, way.options)
    if reason := precisions.why_not_computed(loaded, precision):
        raise FoundryError(reason)
    return loaded


def _seconds(encode: Callable[..., Any], items: Sequence[Item], *batch_size: int) -> float:
    """How long it takes to encode the items."""
    started = time.perf_counter()
    encode(items, *batch_size)
    return time.perf_counter() - started


def _seconds_of_each(
    encode: Callable[..., Any], calls: Sequence[Sequence[Item]], at_least: float, *batch_size: int
) -> list[float]:
    """How long each call takes, all of them as often as take `at_least` so many seconds together."""
    seconds: list[float] = []
    while sum(seconds) < at_least:
        seconds += [_seconds(encode, items, *batch_size) for items in calls]
    return seconds


def _memory_of_usual(loaded: Encoder, items: Mapping[str, Sequence[Item]], groups: Mapping[str, Group]) -> float | None:
    """The memory once the model for texts of the usual length has run everything; None where there is no other."""
    if not isinstance(loaded, RuntimeVariant) or len(loaded.layouts) == 1:
        return None
    for name, group in groups.items():
        loaded.encode(items[name][:1])
        loaded.encode(cycled(items[name], group.bulk))
    return peak_memory_mb()


def peak_memory_mb() -> float:
    """The most memory that this process has had so far: Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def describe(folder: Path, groups: dict[str, list[str]], device: Device = "cpu") -> dict[str, Any]:
    """Of each group: tokens and operations per text, tokenization time, torch's speed in a batch; and torch's threads.

    Operations are those of all matrix products, as torch counts them, of a text without padding.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    # The counter knows plain attention's products, not those of the fused operator.
    loaded = loader.load(folder, "torch", {"model_kwargs": {"attn_implementation": "eager"}, "device": device})
    facts: dict[str, dict[str, float]] = {}
    for name, texts in groups.items():
        items = loaded.items(texts, passages_per_query=1)
        tokens = [int(loaded.tokenize([item])["attention_mask"].sum()) for item in items]
        counted = items[:COUNTED_TEXTS]
        with FlopCounterMode(display=False) as counter:
            for item in counted:
                loaded.encode([item])
        timed = items if device == "cuda" else counted  # a GPU is at its speed with many alone
        # The fastest, because a disturbed one would leave a group with so few texts that all its figures are noise.
        seconds = min(_seconds(loaded.encode, timed, min(len(timed), LARGEST_BATCH)) for _ in range(TIMED_PASSES))
        facts[name] = {
            "texts": len(texts),
            "tokens_per_text": sum(tokens) / len(texts),
            "gflop_per_text": counter.get_total_flops() / len(counted) / 1e9,
            "tokenization_ms_per_text": _tokenization_ms(loaded, items),
            "texts_per_second": len(timed) / seconds,
        }
    return {"groups": facts, "threads": torch.get_num_threads()}


def _tokenization_ms(loaded: LoadedVariant, items: Sequence[Item], batch_size: int = 8, repeats: int = 5) -> float:
    """Milliseconds per text, as the median of several passes over all texts in batches."""
    passes = []
    for _ in range(repeats):
        started = time.perf_counter()
        for start in range(0, len(items), batch_size):
            loaded.tokenize(items[start : start + batch_size])
        passes.append(1000 * (time.perf_counter() - started) / len(items))
    return median(passes)


def plan_group(
    texts: list[str],
    texts_per_second: float,
    seconds: float,
    batch_sizes: Sequence[int],
    tokens_per_text: float,
    batch_tokens: int = TOKENS_PER_BATCH,
    device: Device = "cpu",
) -> Group:
    """As many of the texts as torch embeds in about so many seconds, and the batch sizes that they can fill.

    The number is a power of two, so that a noisy first measurement seldom changes it. For foundry_runtime there are so
    many that each stream has several batches of `batch_tokens`.
    """
    affordable = max(1.0, seconds * texts_per_second)
    count = min(len(texts), 2 ** round(math.log2(affordable)))
    # Without a batch, torch would be compared at what it does one by one; with a slow model that takes too long.
    if count < min(batch_sizes) <= LONGER * affordable:
        count = min(len(texts), min(batch_sizes))
    sizes = [size for size in batch_sizes if 1 < size <= count]
    singles = min(count, max(FEWEST_SINGLES, count // 8), MOST_SINGLES)
    return Group(texts[:count], sizes, singles, bulk(count, affordable, tokens_per_text, batch_tokens, device))
