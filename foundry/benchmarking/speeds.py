"""The file that a benchmark writes, and the speeds in it: of a variant, and of one variant against another."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypedDict

from foundry.base import files
from foundry.base.progress import say
from foundry.benchmarking import other_load
from foundry.benchmarking.other_load import OtherLoad
from foundry.benchmarking.settings import Runner
from foundry.benchmarking.timings import FEWEST_ROUNDS, Ratio, ratio, ratio_by_logarithms
from foundry.variants.precisions import Device, InferencePrecision

BASELINE = "torch"
FORMAT = 3  # of a benchmark's file; those of another are not read
USUAL_TEXTS = "medium"  # foundry_runtime has the same name for them
SINGLE = "1"  # the batch size of single texts
BY_TOKENS = "by tokens"  # that of foundry_runtime, which cuts batches by tokens

Rounds = Sequence[float | None]


class Latency(TypedDict):
    """The time of a single text, over all rounds."""

    median_ms: float
    p95_ms: float
    p99_ms: float
    samples: int


class Closeness(TypedDict):
    """How far a row without a verdict is from torch, on some texts of the benchmark."""

    mean_cosine: float
    min_cosine: float


class SettingTrial(TypedDict):
    """What the search for foundry_runtime's settings measured of one."""

    use: str  # `throughput` or `latency`
    group: str
    settings: dict[str, int]
    texts_per_second: list[float | None]  # in each pass; None where it was no longer tried, or the time was used up


class Search(TypedDict):
    """The settings of foundry_runtime that were tried for one row, and those that were chosen."""

    cores: int  # as foundry_runtime counts them
    rule: dict[str, dict[str, int]]  # its own, by use and name
    chosen: dict[str, dict[str, dict[str, int]]]  # by use, group of texts, and name
    trials: list[SettingTrial]


class TriedServing(TypedDict):
    """A way to serve requests that was tried in the first round."""

    callers: int
    single_threads: int | None
    p95_ms: float


class RequestTimes(TypedDict):
    """How long requests of one text each take that arrive at random, counted from their arrival."""

    callers: int  # threads that each answer one request at a time
    single_threads: int | None  # of one answer by foundry_runtime
    p50_ms: list[float]  # in each round
    p95_ms: list[float]
    samples: int
    unanswered: int  # when nobody waited any longer
    tried: list[TriedServing]


class RequestLoad(TypedDict):
    """The requests that arrive."""

    per_second: float
    torch_share: float | None  # of what torch serves one after another; None where `per_second` was set
    groups: list[str]  # whose texts they are
    seconds: float  # for which they arrive in a measurement
    other_load: OtherLoad | None  # what other jobs took of the processor meanwhile; None where it is not known


class VariantBenchmark(TypedDict):
    """One variant on one machine, or one way to load it."""

    setting_of: str | None  # the variant that a setting loads
    computes_in: InferencePrecision | None  # of a setting
    runner: Runner  # whose `encode` was measured
    device: Device
    compiled: bool  # by torch.compile
    same_bytes_as: str | None  # the variant that was measured for this one
    size_mb: float
    load_seconds: float | None  # the median over the rounds; without importing the libraries
    memory_mb: float | None  # the most that any round's process held, with the libraries
    gpu_memory_mb: float | None  # the most that any round's process took of a GPU's memory, with the libraries
    # By group of texts and batch size: one number a round, in the order of the rounds. None where it was not measured.
    texts_per_second: dict[str, dict[str, list[float | None]]]
    latency: dict[str, Latency]  # by group
    closeness: Closeness | None  # of a setting, which has no verdict of its own
    search: Search | None  # of what foundry_runtime ran
    requests: RequestTimes | None  # of torch, and the rows that may serve them best
    settled: bool  # too far behind others to be measured in all rounds
    note: str | None  # why it was measured less than others
    error: str | None  # why it was not measured


class TextGroup(TypedDict):
    """Texts of one length, as measured."""

    texts: int
    tokens_per_text: float
    gflop_per_text: float  # of all matrix products, without padding
    tokenization_ms_per_text: float


class Benchmark(TypedDict):
    """artifacts/benchmarks/<model>/<host>.json, and <host>-cuda.json of a GPU"""

    format: int
    model: str
    host: str
    machine: dict[str, Any]  # its profile, as in host.json
    device: Device
    effort: str
    rounds: int
    stopped: Literal["narrow enough", "time"]  # what ended the rounds
    widest_interval: float | None  # half of the widest of what competes, relative to its median
    seconds: float  # that the whole took
    other_load: OtherLoad | None  # what other jobs took of the processor; None where it is not known
    groups: dict[str, TextGroup]
    peak_gflops: dict[str, dict[str, float]]  # of a matrix product, by precision and runtime
    torch_threads: int
    requests: RequestLoad | None  # None where none were measured
    variants: dict[str, VariantBenchmark]


def usual_group(groups: Sequence[str]) -> str:
    """The group of texts that stands for all, in a picture and in what foundry_runtime takes by default: of texts of
    medium length, which are most like a paragraph; else the middle one."""
    return USUAL_TEXTS if USUAL_TEXTS in groups else groups[len(groups) // 2]


def measured_on(host: str, device: Device) -> str:
    """The name of a benchmark: the host's, and of another device than its processor, that of the device."""
    return host if device == "cpu" else f"{host}-{device}"


def read(paths: Iterable[Path]) -> dict[str, Benchmark]:
    """The benchmarks of several hosts, by host; a file of an earlier version is left out with a message."""
    benchmarks: dict[str, Benchmark] = {}
    for path in sorted(paths):
        content = files.read_json(path)
        if content.get("format") == FORMAT:
            content.setdefault("other_load", None)  # earlier files do not have it, nor these
            content.setdefault("device", "cpu")
            content.setdefault("requests", None)
            if content["requests"]:
                content["requests"].setdefault("other_load", None)
            for record in content["variants"].values():
                record.setdefault("runner", "sentence_transformers")
                record.setdefault("settled", False)
                record.setdefault("device", "cpu")
                record.setdefault("gpu_memory_mb", None)
                record.setdefault("search", None)
                record.setdefault("requests", None)
            benchmarks[path.stem] = content
        else:
            say(f"{path} is of an earlier version and left out; measure again on that machine, or delete it")
    return benchmarks


def best_batch(record: VariantBenchmark, group: str) -> str | None:
    """The batch size at which a variant embeds most texts a second, by the median over the rounds."""
    typical = {
        size: median(values)
        for size, rounds in record["texts_per_second"].get(group, {}).items()
        if (values := known(rounds))
    }
    return max(typical, key=lambda size: typical[size]) if typical else None


def batch_sizes(benchmark: Benchmark, group: str) -> list[str]:
    """The batch sizes at which anything was measured on a group of texts: torch's first."""
    records = [benchmark["variants"][BASELINE], *benchmark["variants"].values()]
    return list(dict.fromkeys(size for record in records for size in record["texts_per_second"].get(group, {})))


def texts_in(batch_size: str | None) -> int | None:
    """The number of texts in a batch of this size; None where batches are cut by tokens."""
    return int(batch_size) if batch_size not in (None, BY_TOKENS) else None


def rounds_of(record: VariantBenchmark, group: str, batch_size: str | None = None) -> Rounds:
    """Texts per second in each round, at a batch size or at the variant's best; empty where it was not measured."""
    size = batch_size or best_batch(record, group)
    return record["texts_per_second"].get(group, {}).get(size, []) if size else []


def typical(rounds: Rounds) -> float | None:
    """The median of the rounds in which there is a value."""
    return median(values) if (values := known(rounds)) else None


def versus(benchmark: Benchmark, variant: str, other: str, group: str, batch_size: str | None = None) -> Ratio | None:
    """The speed of one variant as a ratio to another's in the same rounds; each at its best batch size, or at one."""
    records = benchmark["variants"]
    if variant not in records or other not in records:
        return None
    return ratio(rounds_of(records[variant], group, batch_size), rounds_of(records[other], group, batch_size))


def request_speeds(records: Mapping[str, VariantBenchmark]) -> dict[str, float]:
    """For each row that answered all requests, in rounds enough to say so: how many times sooner than a yardstick, in
    the same rounds. That is the row with most rounds and the lowest p95, because it varies less than torch does."""
    rounds = {
        name: times["p95_ms"]
        for name, record in records.items()
        if (times := record["requests"]) and not times["unanswered"] and len(known(times["p95_ms"])) >= FEWEST_ROUNDS
    }
    if not rounds:
        return {}
    yardstick = min(rounds, key=lambda name: (-len(known(rounds[name])), median(known(rounds[name]))))
    ratios = {name: ratio(rounds[yardstick], series) for name, series in rounds.items()}
    return {name: value["median"] for name, value in ratios.items() if value}


def known(rounds: Rounds) -> list[float]:
    """The values of the rounds in which there is one."""
    return [value for value in rounds if value is not None]


def rounds_of_requests(records: Mapping[str, VariantBenchmark]) -> int:
    """In how many rounds torch answered requests, with which every other row is compared."""
    times = records[BASELINE]["requests"]
    return sum(value is not None for value in times["p95_ms"]) if times else 0


def requests_versus(records: Mapping[str, VariantBenchmark], variant: str, other: str) -> Ratio | None:
    """The other's p95 as a ratio to the variant's, in rounds with the same arrivals: above 1, it answers sooner."""
    ours, theirs = (records[name]["requests"] if name in records else None for name in (variant, other))
    return ratio_by_logarithms(theirs["p95_ms"], ours["p95_ms"]) if ours and theirs else None


def chosen_settings(record: VariantBenchmark, use: str, group: str) -> dict[str, int]:
    """The settings of foundry_runtime that a row was measured with; empty where nothing was searched."""
    search = record["search"]
    return dict(search["chosen"].get(use, {}).get(group, {})) if search else {}


def to_torch(benchmark: Benchmark, variant: str, group: str, batch_size: str | None = None) -> Ratio | None:
    """The speed as a ratio to torch in fp32."""
    return versus(benchmark, variant, BASELINE, group, batch_size)


def peak_share(benchmark: Benchmark, variant: str, group: str, precision: str) -> float | None:
    """The share of the machine's fastest matrix product that a variant's useful arithmetic reaches, at its best.

    None where only the weights are quantized: the processor decides in what those products are computed.
    """
    if precision.endswith("_weights"):
        return None
    rate = typical(rounds_of(benchmark["variants"][variant], group))
    kinds = {"int8_dynamic": "int8", "int8_static": "int8", "bf16": "bf16"}
    if benchmark["device"] == "cuda":  # a processor computes a file of fp16 in fp32
        kinds |= {"fp16": "fp16", "f16": "fp16", "tf32": "tf32"}
    kind = kinds.get(precision, "fp32")
    peak = max(benchmark["peak_gflops"].get(kind, {}).values(), default=None)
    return None if rate is None or peak is None else rate * benchmark["groups"][group]["gflop_per_text"] / peak


def tokenization_share(benchmark: Benchmark, variant: str, group: str) -> float | None:
    """The share of a variant's time that goes to tokenization, at its best batch size."""
    rate = typical(rounds_of(benchmark["variants"][variant], group))
    return None if rate is None else benchmark["groups"][group]["tokenization_ms_per_text"] / 1000 * rate


def summary(benchmark: Benchmark) -> list[str]:
    """A benchmark's results, in a line for each variant and one for the whole."""
    lines = []
    for variant, row in benchmark["variants"].items():
        ratios = {group: to_torch(benchmark, variant, group) for group in benchmark["groups"]}
        shown = ", ".join(f"{group} {value['median']:.2f}x" for group, value in ratios.items() if value)
        lines.append(f"{variant}: {row['error'] or ', '.join(part for part in (shown, row['note']) if part)}")
    widest = benchmark["widest_interval"]
    certainty = f"; of what competes, the least certain ratio is known to ±{100 * widest:.0f}%" if widest else ""
    ended = f"{benchmark['rounds']} rounds in {benchmark['seconds']:.0f} s; ended by: {benchmark['stopped']}"
    return [*lines, ended + certainty, other_load.describe(benchmark["other_load"])]
