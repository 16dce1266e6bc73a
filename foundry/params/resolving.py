"""What holds for one model, and the settings file of each of its stages.

DVC cannot track "this row, unless this model overrides it" by itself: `configure` writes it down, and a stage depends
on its own file, so that a changed setting reruns what it touches and nothing else.
"""

from typing import Any

from pydantic import ValidationError

from foundry.base.errors import FoundryError
from foundry.base.settings import Section
from foundry.benchmarking.settings import BenchmarkModel
from foundry.checkpoints.settings import Download
from foundry.int8.settings import Budget
from foundry.params import rules
from foundry.params.mistakes import explain
from foundry.params.schema import Params
from foundry.publishing.settings import PublishModel
from foundry.reference.settings import Embed
from foundry.reporting.settings import ReportAll
from foundry.validation.settings import Precision, Thresholds, ValidateVariant, looser
from foundry.variants.precisions import FurtherPrecision, InferencePrecision, further_precisions, on_cuda
from foundry.variants.settings import Build


def validated(raw: Any) -> Params:
    """The settings, checked.

    Raises:
        FoundryError: with a line for each mistake: the key, the value, and what is allowed.
    """
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        lines = [explain(detail, Params) for detail in error.errors(include_url=False)]
        raise FoundryError("\n".join(lines)) from error
    lines = rules.violations(params)
    for model in params.models if not lines else ():
        try:
            for_model(params, model)
        except FoundryError as error:
            lines += [f"models.{model}.overrides: {line}" for line in str(error).splitlines()]
    if lines:
        raise FoundryError("\n".join(lines))
    return params


def for_model(params: Params, model: str) -> Params:
    """What holds for one model: the settings with its overrides in their places.

    Raises:
        FoundryError: when an override is not allowed where it stands.
    """
    overrides = params.models[model].overrides
    if not overrides:
        return params
    raw = params.model_dump(by_alias=True, exclude_unset=True)
    for row in raw["models"].values():
        row.pop("overrides", None)
    for section, keys in overrides.items():
        raw[section] = {**raw.get(section, {}), **keys}
    return validated(raw)


def row(params: Params, variant: str) -> Section | None:
    """The row of one variant; None for torch."""
    if variant in ("onnx", "openvino"):
        return getattr(params.export, variant, None)
    sections = (params.optimize, params.quantize, params.calibrate_onnx, params.compress, params.calibrate)
    return next((section[variant] for section in sections if variant in section), None)


def precision(params: Params, variant: str) -> Precision:
    """The precision class of a variant: which thresholds are its."""
    if variant in params.calibrate or variant in params.calibrate_onnx:
        return "int8_static"
    if (quantized := params.quantize.get(variant)) is not None:
        kinds: dict[str | None, Precision] = {"int8": "int8_weights", "int4": "int4_weights"}
        return kinds.get(quantized.weights, "int8_dynamic")
    if (compressed := params.compress.get(variant)) is not None:
        return "int8_weights" if compressed.weights == "int8" else "fp16"
    optimized = params.optimize.get(variant)
    if optimized is None:
        return "fp32"
    is_half = optimized.fp16 if optimized.fp16 is not None else optimized.level == "O4"
    return "fp16" if is_half else "fp32"


def thresholds(params: Params, variant: str) -> Thresholds:
    """The thresholds of a variant: its precision class's, then its row's budget, then its own overrides."""
    return _changed(getattr(params.validate_.thresholds, precision(params, variant)), params, variant)


def _changed(limits: Thresholds, params: Params, variant: str) -> Thresholds:
    for changes in (budget(params, variant), params.validate_.overrides.get(variant)):
        if changes is not None:
            limits = limits.model_copy(update=changes.model_dump(exclude_none=True))
    return limits


def precisions(params: Params, variant: str) -> dict[FurtherPrecision, Thresholds]:
    """The thresholds of a variant in each precision beside f32 that its runtime can be told, and that is validated.

    A budget, and what is overridden for the variant, hold in every precision.
    """
    return {
        name: _in_precision(params, variant, name)
        for name in further_precisions(variant)
        if name in params.validate_.precisions
    }


def precisions_on_cuda(params: Params, variant: str) -> dict[InferencePrecision, Thresholds]:
    """The thresholds of a variant in each precision that it is validated in on an NVIDIA GPU.

    TF32 rounds what it multiplies as fp16 does.
    """
    return {
        name: _in_precision(params, variant, name)
        for name in on_cuda(variant, precision(params, variant))
        if name in params.validate_.cuda
    }


def _in_precision(params: Params, variant: str, name: InferencePrecision) -> Thresholds:
    """The thresholds of a variant that is computed in a precision: the looser ones of its file's class and of this."""
    classes = params.validate_.thresholds
    of_file: Thresholds = getattr(classes, precision(params, variant))
    of_precision = {"f32": of_file, "tf32": classes.fp16, "bf16": classes.bf16, "f16": classes.fp16}
    return _changed(looser(of_file, of_precision[name]), params, variant)


def budget(params: Params, variant: str) -> Budget | None:
    """What a searched variant must hold, or None for a row without a budget."""
    return getattr(row(params, variant), "budget", None)


def model_settings(params: Params, model: str) -> dict[str, Section]:
    """The settings of every stage of one model, by the name of its file."""
    effective = for_model(params, model)
    checkpoint = params.models[model]
    settings: dict[str, Section] = {
        "download": Download.model_validate(checkpoint.model_dump(include=set(Download.model_fields))),
        "sample": effective.sample,
        "embed": Embed(batch_size=effective.validate_.batch_size),
        "benchmark": BenchmarkModel(
            variants={name: precision(effective, name) for name in effective.variant_names},
            effort_name=effective.benchmark.effort,
            effort=effective.benchmark.efforts[effective.benchmark.effort],
            cuda_effort_name=effective.benchmark.cuda_effort,
            cuda_effort=effective.benchmark.efforts.get(effective.benchmark.cuda_effort or ""),
            settings=effective.benchmark.settings,
        ),
        "publish": PublishModel(
            **effective.publish.model_dump(exclude={"repos"}),
            repo=effective.publish.repos[model] if effective.publish.to == "hub" else None,
            variants={name: _dumped_row(effective, name) for name in effective.variant_names},
        ),
    }
    for variant in effective.variant_names:
        variant_row = row(effective, variant)
        if variant_row is not None:
            build = Build[Any]
            settings[f"build/{variant}"] = build(skip=variant in checkpoint.skip, row=variant_row)
        settings[f"validate/{variant}"] = ValidateVariant(
            batch_size=effective.validate_.batch_size,
            on_failure=effective.validate_.on_failure,
            precision=precision(effective, variant),
            thresholds=thresholds(effective, variant),
            precisions=precisions(effective, variant),
            cuda=precisions_on_cuda(effective, variant),
        )
    return settings


def report_settings(params: Params) -> ReportAll:
    """The settings of the report, which is of all models."""
    return ReportAll(
        models=list(params.models),
        variants=params.variant_names,
        quality_budgets=params.report.quality_budgets,
    )


def _dumped_row(params: Params, variant: str) -> dict[str, Any]:
    variant_row = row(params, variant)
    return {} if variant_row is None else variant_row.model_dump(mode="json", by_alias=True)
