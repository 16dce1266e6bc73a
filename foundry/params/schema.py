"""The schema of params.yaml as a whole: its sections, each of which stands in the folder that it is about.

Unknown keys are errors: a typo must not silently change what is built.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from foundry.base.errors import FoundryError
from foundry.base.settings import Section, Slug
from foundry.benchmarking.settings import Benchmark
from foundry.checkpoints.settings import Download
from foundry.cluster.settings import Cluster
from foundry.data.settings import Sample
from foundry.export.settings import Export
from foundry.int8.settings import Calibrate
from foundry.onnx.settings import Optimize, Quantize
from foundry.openvino.settings import CalibrateOpenVino, Compress
from foundry.publishing.settings import Publish
from foundry.reporting.settings import Report
from foundry.validation.settings import Validate

Overridable = Literal[
    "sample", "export", "optimize", "quantize", "calibrate_onnx", "compress", "calibrate", "validate"
]  # fmt: skip


class Model(Download):
    """One checkpoint to build from, and what is different for it."""

    skip: list[Slug] = Field(default=[], description="Variants that this model goes without.")
    overrides: dict[Overridable, dict[str, Any]] = Field(
        default={}, description="Keys of the sections below that have another value for this model, each as a whole."
    )


class Params(Section):
    """The whole of params.yaml. What must hold between its sections stands in `rules`."""

    models: Annotated[dict[Slug, Model], Field(min_length=1)]
    sample: Sample
    export: Export
    optimize: dict[Slug, Optimize]
    quantize: dict[Slug, Quantize]
    calibrate: dict[Slug, CalibrateOpenVino] = Field(description="Static int8 in OpenVINO.")
    calibrate_onnx: dict[Slug, Calibrate] = Field(default={}, description="Static int8 in ONNX.")
    compress: dict[Slug, Compress] = Field(default={}, description="Smaller weights in OpenVINO.")
    variants: dict[Slug, Any] = Field(description="Every row above, merged, for the stages that take all variants.")
    validate_: Validate = Field(alias="validate")
    benchmark: Benchmark
    report: Report
    publish: Publish
    cluster: Cluster = Cluster()

    def require_model(self, name: str) -> None:
        """Check that there is such a model.

        Raises:
            FoundryError: when no model has this name.
        """
        if name not in self.models:
            raise FoundryError(f"{name} is no model; params.yaml has {', '.join(self.models)}")

    @property
    def variant_names(self) -> list[str]:
        """Every variant, in the order that people read them in: torch, then each backend from plain to int8."""
        onnx = ["onnx"] if self.export.onnx is not None else []
        openvino = ["openvino"] if self.export.openvino is not None else []
        in_onnx = [*onnx, *self.optimize, *self.quantize, *self.calibrate_onnx]
        return ["torch", *in_onnx, *openvino, *self.compress, *self.calibrate]
