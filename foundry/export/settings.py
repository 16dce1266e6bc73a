"""Settings of the export."""

from typing import Annotated, Literal

from pydantic import Field

from foundry.base.settings import Empty, Section

Format = Literal["onnx", "openvino"]


class OnnxExport(Section):
    """The exported ONNX graph."""

    opset: Annotated[int, Field(ge=11, le=21)] | None = Field(
        default=None, description="By default what the exporter chooses: 17 when traced, 18 by torch.export."
    )


class Export(Section):
    """Which formats are exported."""

    onnx: OnnxExport | None = None
    openvino: Empty | None = None
