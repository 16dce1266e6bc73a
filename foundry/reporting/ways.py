"""The ways to run a file that a benchmark measured beside the plain one, and their verdicts.

A row of the benchmark that is a setting has no verdict of its own name. Where all that it sets is the precision and
what runs it, the verdict is the one that validation gave the variant in this precision, if foundry_runtime was tried on
it; a setting without one is never recommended.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from foundry.benchmarking.settings import Runner, Setting
from foundry.benchmarking.speeds import Benchmark, VariantBenchmark
from foundry.validation.results import Validation
from foundry.variants import precisions
from foundry.variants.precisions import Device, InferencePrecision

# Settings of foundry_runtime in words, for one and for several.
WORDS = {
    "streams": ("stream", "streams"),
    "threads": ("thread in all", "threads in all"),
    "single_threads": ("thread", "threads"),
    "batch_tokens": ("token a batch", "tokens a batch"),
}


class WayToRun(NamedTuple):
    """A file, what it is told to compute in, what runs it, and where."""

    file: str  # the variant whose file it is
    precision: InferencePrecision = "f32"
    runner: Runner = "sentence_transformers"
    device: Device = "cpu"

    @property
    def label(self) -> str:
        """What a reader is to run: a variant by its name, or such as `openvino_fp16 in bf16 by foundry_runtime`."""
        by = " by foundry_runtime" if self.runner == "foundry_runtime" else ""
        return f"{precisions.way(self.file, self.precision, self.device)}{by}"


def validation_in(validation: Validation, precision: str, device: Device = "cpu") -> Validation | None:
    """The verdict on a variant in another precision than f32 or on a GPU, in the form of the one in f32; None where
    there is none.

    Only a variant that passed in f32 on the processor is validated in others.
    """
    judged = validation["cuda" if device == "cuda" else "precisions"].get(precision)
    if validation["verdict"] != "passed" or judged is None or judged["verdict"] == "not computed":
        return None
    file_class = validation["precision"]
    computed: dict[str, Any] = {
        "precision": file_class if precision == "f32" or file_class not in ("fp32", "fp16") else precision,
        "verdict": judged["verdict"],
        "reason": judged["reason"],
        "checks": judged["checks"],
        "precisions": {},
        "cuda": {},
        "worst": [],
        "contexts": {},
        "search": None,
    }
    if device == "cuda":  # where no family of processors has a say
        computed["processors"] = {}
    return cast(Validation, {**validation, **computed})


def on_device(validations: Mapping[str, Validation], device: Device) -> dict[str, Validation]:
    """The verdicts that hold on a device: on a GPU, of what was validated there, and no other."""
    if device == "cpu":
        return dict(validations)
    judged = {name: validation_in(validation, "f32", device) for name, validation in validations.items()}
    return {name: verdict for name, verdict in judged.items() if verdict is not None}


def of_settings(benchmark: Benchmark, validations: Mapping[str, Validation]) -> dict[str, Validation]:
    """The verdict of each setting of a benchmark that has one, by the setting's name."""
    judged = {
        name: _of_setting(of_row(name, record), record["compiled"], validations)
        for name, record in benchmark["variants"].items()
        if record["setting_of"] is not None
    }
    return {name: verdict for name, verdict in judged.items() if verdict is not None}


def validated_settings(
    settings: Mapping[str, Setting], validations: Mapping[str, Validation]
) -> dict[str, tuple[Setting, Validation]]:
    """The settings of params.yaml that have a verdict, each with it."""
    judged = {
        name: _of_setting(
            WayToRun(setting.of, setting.precision, setting.runner, setting.device), setting.compile, validations
        )
        for name, setting in settings.items()
    }
    return {name: (settings[name], verdict) for name, verdict in judged.items() if verdict is not None}


def _of_setting(way: WayToRun, compiled: bool, validations: Mapping[str, Validation]) -> Validation | None:
    """The verdict of a setting that changes a variant's precision and runner alone; None of any other, and where there
    is none."""
    if way.file not in validations or compiled:
        return None
    validation = validations[way.file]
    trial = validation["runtime"]
    if way.runner == "foundry_runtime" and (trial is None or trial["refuses"] or trial["error"]):
        return None
    if way.precision == "f32" and way.device == "cpu":
        return validation if way.runner == "foundry_runtime" else None
    return validation_in(validation, way.precision, way.device)


def of_row(name: str, record: VariantBenchmark | None) -> WayToRun:
    """The way that a row of a benchmark is."""
    if record is None or record["setting_of"] is None:
        return WayToRun(name, device="cpu" if record is None else record["device"])
    return WayToRun(record["setting_of"], record["computes_in"] or "f32", record["runner"], record["device"])


def in_words(settings: Mapping[str, int]) -> str:
    """`2 streams, 2 threads in all, 1,024 tokens a batch`."""
    order = [name for name in WORDS if name in settings]
    return ", ".join(f"{settings[name]:,} {WORDS[name][settings[name] != 1]}" for name in order)
