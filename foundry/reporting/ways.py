"""The ways to run a file that a benchmark measured beside f32, and their verdicts.

A row of the benchmark that is a setting has no verdict of its own name. Where all that it sets is the precision, the
verdict is the one that validation gave the variant in this precision; a setting without one is never recommended.
"""

from collections.abc import Mapping
from typing import Any, cast

from foundry.benchmarking.settings import Setting
from foundry.benchmarking.speeds import Benchmark, VariantBenchmark
from foundry.validation.results import Validation
from foundry.variants import precisions
from foundry.variants.precisions import InferencePrecision


def validation_in(validation: Validation, precision: str) -> Validation | None:
    """The verdict on a variant in another precision than f32, in the form of the one in f32; None where there is none.

    Only a variant that passed in f32 is validated in others.
    """
    judged = validation["precisions"].get(precision)
    if validation["verdict"] != "passed" or judged is None or judged["verdict"] == "not computed":
        return None
    file_class = validation["precision"]
    computed: dict[str, Any] = {
        "precision": precision if file_class in ("fp32", "fp16") else file_class,
        "verdict": judged["verdict"],
        "reason": judged["reason"],
        "checks": judged["checks"],
        "precisions": {},
        "worst": [],
        "contexts": {},
        "search": None,
    }
    return cast(Validation, {**validation, **computed})


def of_settings(benchmark: Benchmark, validations: Mapping[str, Validation]) -> dict[str, Validation]:
    """The verdict of each setting of a benchmark that has one, by the setting's name."""
    judged = {
        name: _of_setting(record["setting_of"], record["computes_in"], record["compiled"], validations)
        for name, record in benchmark["variants"].items()
    }
    return {name: verdict for name, verdict in judged.items() if verdict is not None}


def validated_settings(
    settings: Mapping[str, Setting], validations: Mapping[str, Validation]
) -> dict[str, tuple[Setting, Validation]]:
    """The settings of params.yaml that have a verdict, each with it."""
    judged = {
        name: _of_setting(setting.of, setting.precision, setting.compile, validations)
        for name, setting in settings.items()
    }
    return {name: (settings[name], verdict) for name, verdict in judged.items() if verdict is not None}


def _of_setting(
    variant: str | None, precision: str | None, compiled: bool, validations: Mapping[str, Validation]
) -> Validation | None:
    """The verdict of a setting that changes a variant's precision alone; None of any other, and where there is none."""
    if variant is None or variant not in validations or precision is None or compiled:
        return None
    return validation_in(validations[variant], precision)


def file_and_precision(name: str, record: VariantBenchmark | None) -> tuple[str, InferencePrecision]:
    """The variant whose file a row of a benchmark runs, and what it computes in."""
    if record is None or record["setting_of"] is None:
        return name, "f32"
    return record["setting_of"], record["computes_in"] or "f32"


def label(name: str, record: VariantBenchmark | None) -> str:
    """What a reader is to run: a variant by its name, a setting with a verdict as `openvino_fp16 in bf16`."""
    return precisions.way(*file_and_precision(name, record))
