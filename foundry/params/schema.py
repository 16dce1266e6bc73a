"""The typed schema of params.yaml, and the one way to read it.

Unknown keys are errors: a typo must not silently change what is built. `read` reports every mistake at once.
"""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from foundry.base.settings import Section, Slug
from foundry.benchmarking.settings import Benchmark
from foundry.cluster.settings import FanOut
from foundry.data.settings import Sample, Source
from foundry.export.settings import Export
from foundry.int8.settings import Budget, Calibrate
from foundry.onnx.settings import Level, Optimize, Quantize
from foundry.openvino.settings import Compress
from foundry.params.mistakes import explain
from foundry.publishing.settings import Publish
from foundry.reporting.settings import Report
from foundry.validation.settings import Precision, Thresholds, Validate
from foundry.variants.checkpoint_folder import Kind

Overridable = Literal[
    "sample", "export", "optimize", "quantize", "calibrate_onnx", "compress", "calibrate", "validate"
]  # fmt: skip


class Model(Section):
    """One checkpoint to build from, and what is different for it."""

    source: Source
    kind: Kind | None = Field(default=None, description="By default what the checkpoint itself says.")
    trust_remote_code: bool = Field(
        default=False, description="Run the Python code that the checkpoint brings along. Read it first."
    )
    skip: list[Slug] = Field(default=[], description="Variants that this model goes without.")
    overrides: dict[Overridable, dict[str, Any]] = Field(
        default={}, description="Keys of the sections below that have another value for this model, each as a whole."
    )


class Params(Section):
    """The whole of params.yaml."""

    models: Annotated[dict[Slug, Model], Field(min_length=1)]
    sample: Sample
    export: Export
    optimize: dict[Slug, Optimize]
    quantize: dict[Slug, Quantize]
    calibrate: dict[Slug, Calibrate] = Field(description="Static int8 in OpenVINO.")
    calibrate_onnx: dict[Slug, Calibrate] = Field(default={}, description="Static int8 in ONNX.")
    compress: dict[Slug, Compress] = Field(default={}, description="Smaller weights in OpenVINO.")
    variants: dict[Slug, Any] = Field(description="Every row above, merged, for the stages that take all variants.")
    validate_: Validate = Field(alias="validate")
    benchmark: Benchmark
    report: Report
    publish: Publish
    fan_out: FanOut = FanOut()

    @model_validator(mode="after")
    def _rows_agree(self) -> Self:
        rows = self.variant_names
        mistakes = [f"variant {name} stands in two sections" for name in sorted({r for r in rows if rows.count(r) > 1})]
        for section, prefix, needs in (
            (self.optimize, "onnx_", "onnx"),
            (self.quantize, "onnx_", "onnx"),
            (self.calibrate_onnx, "onnx_", "onnx"),
            (self.calibrate, "openvino_", "openvino"),
            (self.compress, "openvino_", "openvino"),
        ):
            mistakes += [
                f"variant {name}: its name starts with {prefix}" for name in section if not name.startswith(prefix)
            ]
            if section and needs not in rows:
                mistakes.append(f"{', '.join(section)}: built from {needs}, which `export` leaves out")
        mistakes += [
            f"variant {name}: level {row.level}; a name that ends in a level means that level"
            for name, row in self.optimize.items()
            if (said := name.removeprefix("onnx_")) in get_args(Level) and said != row.level
        ]
        expected = set(rows)
        if expected != self.variants.keys():
            mistakes.append(
                f"variants holds {', '.join(sorted(self.variants))}; expected torch and every row of export, optimize, "
                f"quantize, calibrate_onnx, calibrate and compress: {', '.join(sorted(expected))}"
            )
        if unknown := self.validate_.overrides.keys() - expected:
            mistakes.append(
                f"validate.overrides names {', '.join(sorted(unknown))}; variants are {', '.join(sorted(expected))}"
            )
        if unknown := {row.of for row in self.benchmark.settings.values()} - expected:
            mistakes.append(
                f"benchmark.settings are of {', '.join(sorted(unknown))}; variants are {', '.join(sorted(expected))}"
            )
        if twice := self.benchmark.settings.keys() & expected:
            mistakes.append(f"benchmark.settings has {', '.join(sorted(twice))}, which are names of variants")
        for name, model in self.models.items():
            if unknown := set(model.skip) - (expected - {"torch"}):
                mistakes.append(
                    f"models.{name}.skip names {', '.join(sorted(unknown))}; "
                    f"variants are {', '.join(sorted(expected - {'torch'}))}"
                )
        if unknown := self.publish.repos.keys() - self.models.keys():
            mistakes.append(f"publish.repos names {', '.join(sorted(unknown))}; models are {', '.join(self.models)}")
        if self.publish.to == "hub" and (homeless := self.models.keys() - self.publish.repos.keys()):
            mistakes.append(f"publish.repos lacks {', '.join(sorted(homeless))}, which `to: hub` needs")
        for name, model in self.models.items():
            if model.overrides and not mistakes:
                try:
                    self.of(name)
                except ValidationError as error:
                    told = [explain(detail, Params) for detail in error.errors(include_url=False)]
                    mistakes += [f"models.{name}.overrides: {line}" for line in told]
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def of(self, model: str) -> "Params":
        """What holds for one model: these settings with its overrides in their places.

        Raises:
            ValidationError: when an override is not allowed where it stands.
        """
        row = self.models.get(model)
        if row is None or not row.overrides:
            return self
        raw = self.model_dump(by_alias=True, exclude_unset=True)
        for one in raw["models"].values():
            one.pop("overrides", None)
        for section, keys in row.overrides.items():
            raw[section] = {**raw.get(section, {}), **keys}
        return Params.model_validate(raw)

    def skips(self, model: str, variant: str) -> bool:
        """Whether a model goes without a variant because params.yaml says so."""
        return model in self.models and variant in self.models[model].skip

    def row(self, variant: str) -> dict[str, Any]:
        """The settings of one variant, with their defaults; none of torch's."""
        sections = ("export", "optimize", "quantize", "calibrate_onnx", "compress", "calibrate")
        raw = self.model_dump(mode="json", by_alias=True, include=set(sections))
        return next((dict(raw[section][variant]) for section in sections if variant in raw[section]), {})

    @property
    def variant_names(self) -> list[str]:
        """Every variant, in the order that people read them in: torch, then each backend from plain to int8."""
        onnx = ["onnx"] if self.export.onnx is not None else []
        openvino = ["openvino"] if self.export.openvino is not None else []
        in_onnx = [*onnx, *self.optimize, *self.quantize, *self.calibrate_onnx]
        return ["torch", *in_onnx, *openvino, *self.compress, *self.calibrate]

    def precision(self, variant: str) -> Precision:
        """The precision class of a variant: which thresholds are its."""
        if variant in self.calibrate or variant in self.calibrate_onnx:
            return "int8_static"
        if (quantized := self.quantize.get(variant)) is not None:
            kinds: dict[str | None, Precision] = {"int8": "int8_weights", "int4": "int4_weights"}
            return kinds.get(quantized.weights, "int8_dynamic")
        if (compressed := self.compress.get(variant)) is not None:
            return "int8_weights" if compressed.weights == "int8" else "fp16"
        row = self.optimize.get(variant)
        half = row is not None and (row.fp16 if row.fp16 is not None else row.level == "O4")
        return "fp16" if half else "fp32"

    def thresholds(self, variant: str) -> Thresholds:
        """The thresholds of a variant: its precision class's, then its row's budget, then its own overrides."""
        base = getattr(self.validate_.thresholds, self.precision(variant))
        budget = self.budget(variant)
        own = self.validate_.overrides.get(variant)
        changes = [one.model_dump(exclude_none=True) for one in (budget, own) if one is not None]
        return base.model_copy(update={key: value for change in changes for key, value in change.items()})

    def budget(self, variant: str) -> Budget | None:
        """What a searched variant must hold, or None for a row without a budget."""
        row = self.quantize.get(variant) or self.calibrate_onnx.get(variant) or self.calibrate.get(variant)
        return None if row is None else row.budget


# --- Reading -----------------------------------------------------------------------------------------------------
