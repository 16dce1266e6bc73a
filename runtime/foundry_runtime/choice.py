"""Which file of a model to run here, by what foundry.json says of each variant.

Only a variant that passed for processors like this one is ever taken. On a machine like the one that measured it is the
one that its report recommends without loss of quality; on any other, of those nearest to torch the one that was fastest
there.
"""

import importlib.util
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from foundry_runtime import machine, run_settings
from foundry_runtime.errors import UnusableModel
from foundry_runtime.folder import ModelFolder
from foundry_runtime.graphs import FINISHED_OUTPUTS
from foundry_runtime.layout import join

RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}  # the package, by the beginning of a variant's name
ENDINGS = {"onnx": ".onnx", "openvino": ".xml"}
STEMS = {"onnx": "model", "openvino": "openvino_model"}
# A variant whose lowest cosine to torch is at least this is as near as rounding allows.
NEAR = 0.9999
DEVICES = ("cpu", "cuda")
PREFERRED = ("throughput", "latency")  # of the uses that a report has recommendations for


@dataclass(frozen=True)
class Choice:
    """A variant, the file of its graph, all files that belong to it, and what its runtime is to compute in.

    `finished` is the file of the graph that ends at the embedding: of ONNX the same, of OpenVINO one that shares the
    weights of the other; None where there is none. `measured` are threads, streams and tokens of a batch that were
    fastest on a machine like this.
    """

    variant: str
    graph: str
    files: tuple[str, ...]
    precision: str
    finished: str | None = None
    measured: Mapping[str, int] = field(default_factory=dict)

    @property
    def runtime(self) -> str:
        """`onnx` or `openvino`."""
        return self.variant.partition("_")[0]


def installed() -> list[str]:
    """The runtimes that are installed: `onnx`, `openvino`."""
    return [name for name, package in RUNTIMES.items() if importlib.util.find_spec(package) is not None]


def choose(
    folder: ModelFolder,
    variant: str | None = None,
    precision: str | None = None,
    transformer: str = "",
    device: str = "cpu",
) -> Choice:
    """What to run of a model; `variant` and `precision` (`f32`, `bf16`, `f16`) where they are wished for.

    `transformer` is where the transformer stands in a folder that has no record. On the device `cuda`, an NVIDIA GPU,
    only what was validated on one is run, in `f32` or `tf32`.

    Raises:
        UnusableModel: when there is no such variant, it did not pass for a processor like this one or in this
            precision, or its runtime is not installed.
    """
    if device not in DEVICES:
        raise UnusableModel(f"device is {device!r}, must be {' or '.join(DEVICES)}")
    if not folder.is_verified:
        return _by_name(folder, variant, precision or "f32", transformer, device)
    if device == "cuda":
        return _on_cuda(folder, variant, precision)
    entries: Mapping[str, Any] = folder.record["variants"]
    reasons = {name: _why_not(name, entry) for name, entry in entries.items()}
    usable = [name for name, reason in reasons.items() if reason is None]
    recommended = _recommended(folder.record, usable)
    if variant is None:
        if not usable:
            said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if reason)
            raise UnusableModel(f"{folder.name} has no variant for this machine. {said}")
        variant, suggested = recommended or (_fastest_of_nearest(entries, usable), "f32")
        precision = precision or (suggested if machine.computes_in(suggested) else "f32")
    if variant not in entries:
        raise UnusableModel(f"{folder.name} has no variant {variant!r}; it has {', '.join(entries)}")
    if reason := reasons[variant]:
        raise UnusableModel(f"{folder.name}: {variant} cannot be run here: {reason}")
    _check_precision(folder, variant, precision := precision or "f32", entries[variant])
    measured = _measured_settings(folder, variant, precision)
    return _of_entry(variant, entries[variant], precision, measured)


def _of_entry(variant: str, entry: Mapping[str, Any], precision: str, measured: Mapping[str, int]) -> Choice:
    """The files of a variant by what foundry.json says of it."""
    files = tuple(entry["files"])
    graphs = sorted((name for name in files if name.endswith(ENDINGS[variant.partition("_")[0]])), key=len)
    return Choice(variant, graphs[0], files, precision, graphs[-1], measured)


def _on_cuda(folder: ModelFolder, variant: str | None, precision: str | None) -> Choice:
    """What to run on an NVIDIA GPU: what is wished for or recommended there, of what passed there."""
    entries: Mapping[str, Any] = folder.record["variants"]
    passed = {name: entry["cuda"] for name, entry in entries.items() if name.startswith("onnx") and entry.get("cuda")}
    if not passed:
        raise UnusableModel(f"{folder.name}: no ONNX file was validated on a GPU")
    if variant is None:
        wanted = [row for row in folder.record.get("recommended") or () if row.get("device") == "cuda"]
        answers = [row for row in wanted if row["budget"] == 0 and row["variant"] in passed]
        answers.sort(key=_preference)
        if not answers:
            raise UnusableModel(f"{folder.name}: nothing is recommended for a GPU: name one of {', '.join(passed)}")
        variant, precision = answers[0]["variant"], precision or answers[0]["precision"]
    if variant not in passed:
        raise UnusableModel(f"{folder.name}: {variant} was not validated on a GPU; {', '.join(passed)} were")
    if (precision := precision or "f32") not in passed[variant]:
        tried = ", ".join(passed[variant])
        raise UnusableModel(f"{folder.name}: {variant} was not validated in {precision} on a GPU; it was in {tried}")
    return _of_entry(variant, entries[variant], precision, {})


def _why_not(variant: str, entry: Mapping[str, Any]) -> str | None:
    """Why a variant is not run here; None where it is."""
    kind = variant.partition("_")[0]
    if kind not in RUNTIMES:
        return "torch is what this package does without"
    if entry["verdict"] != "passed":
        return f"its verdict is {entry['verdict']}"
    if not any(name.endswith(ENDINGS[kind]) for name in entry["files"]):
        return f"it has no {ENDINGS[kind]} file"
    if kind not in installed():
        return f"{RUNTIMES[kind]} is not installed: `pip install 'foundry-runtime[{RUNTIMES[kind]}]'`"
    families = entry.get("processors") or {}
    here = machine.family(machine.architecture(), machine.instruction_sets())
    judged = [families[here]] if here in families else list(families.values()) if here is None else []
    if failed := [row for row in judged if row["verdict"] != "passed"]:
        return f"on processors {failed[0].get('name', 'like this one')} its verdict is {failed[0]['verdict']}"
    return None


def _recommended(record: Mapping[str, Any], usable: Iterable[str]) -> tuple[str, str] | None:
    """The variant and precision that the report recommends without loss of quality, where its machine is like this."""
    if not _is_alike(record.get("host") or {}):
        return None
    answers = [row for row in record.get("recommended") or () if row["budget"] == 0 and row["variant"] in usable]
    answers = [row for row in answers if row["use"] in PREFERRED and row.get("device", "cpu") == "cpu"]
    answers.sort(key=_preference)
    return (answers[0]["variant"], answers[0]["precision"]) if answers else None


def _preference(answer: Mapping[str, Any]) -> tuple[int, bool]:
    """Where a recommendation stands among others: of the lengths of text, the middle one is most like a paragraph."""
    uses = [*PREFERRED, answer["use"]]
    return uses.index(answer["use"]), answer["texts"] != "medium"


def _is_alike(host: Mapping[str, Any]) -> bool:
    """Whether a machine has the architecture of this one, adds int8 as it does, and computes in the same precisions."""
    theirs, ours = set(host.get("instruction_sets") or ()), machine.instruction_sets()
    here = machine.architecture()
    return (
        host.get("architecture") == here
        and machine.family(here, theirs) == machine.family(here, ours)
        and all(bool(flags & theirs) == bool(flags & ours) for flags in machine.PRECISION_FLAGS.values())
    )


def _measured_settings(folder: ModelFolder, variant: str, precision: str) -> dict[str, int]:
    """What was fastest for this way to run the file, where it was measured on a machine like this."""
    if not _is_alike(folder.record.get("host") or {}):
        return {}
    way = (folder.record["variants"][variant].get("ways") or {}).get(precision) or {}
    return run_settings.measured_here(way, f"{folder.name}: the settings of {variant} in {precision}")


def _fastest_of_nearest(entries: Mapping[str, Any], usable: list[str]) -> str:
    def cosine(name: str) -> float:
        return float(entries[name]["figures"].get("min_cosine") or 0.0)

    def speed(name: str) -> float:
        ratios = [row["median"] for row in entries[name]["speed"].values() if row and row["median"]]
        return math.prod(ratios) ** (1 / len(ratios)) if ratios else 0.0

    near = [name for name in usable if cosine(name) >= NEAR] or [max(usable, key=cosine)]
    return max(near, key=speed)


def _check_precision(folder: ModelFolder, variant: str, precision: str, entry: Mapping[str, Any]) -> None:
    ways = entry.get("ways") or {"f32": {}}
    if precision not in ways:
        raise UnusableModel(f"{folder.name}: {variant} was not validated in {precision}; it was in {', '.join(ways)}")
    if not machine.computes_in(precision):
        raise UnusableModel(f"this machine's processor does not compute in {precision}")


def _by_name(folder: ModelFolder, variant: str | None, precision: str, transformer: str, device: str) -> Choice:
    """The graph of a folder that is not verified, by the names that Sentence Transformers gives to files."""
    if variant is None:
        raise UnusableModel(f"{folder.name} is not verified, so that nothing says which variant is good: name one")
    kind, _, suffix = variant.partition("_")
    if kind not in RUNTIMES:
        raise UnusableModel(f"variant {variant!r} is neither onnx nor openvino")
    if kind == "openvino" and device == "cuda":
        raise UnusableModel("OpenVINO does not run on an NVIDIA GPU")
    if kind == "onnx" and precision not in ({"f32"} if device == "cpu" else {"f32", "tf32"}):
        raise UnusableModel(f"{variant} computes in the types of its file, not in {precision}")
    if kind not in installed():
        raise UnusableModel(f"{RUNTIMES[kind]} is not installed: `pip install 'foundry-runtime[{RUNTIMES[kind]}]'`")
    stem = f"{STEMS[kind]}_{suffix}" if suffix else STEMS[kind]
    for place in (join(transformer, kind), transformer):
        graph = join(place, f"{stem}{ENDINGS[kind]}")
        if folder.path(graph) is not None:
            if kind == "onnx":
                return Choice(variant, graph, (graph, f"{graph}_data"), precision, graph)
            named = (join(place, f"{stem}.{output}.xml") for output in FINISHED_OUTPUTS)
            finished = [name for name in named if folder.path(name) is not None]
            files = (graph, join(place, f"{stem}.bin"), *finished)
            return Choice(variant, graph, files, precision, finished[0] if finished else None)
    raise UnusableModel(f"{folder.name} has no {kind}/{stem}{ENDINGS[kind]}")
