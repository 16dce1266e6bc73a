"""Settings of the export."""

from typing import Annotated

from pydantic import (
    Field,
)

from foundry.base.settings import Empty, Section


class OnnxExport(Section):
    """The exported ONNX graph."""

    opset: Annotated[int, Field(ge=11, le=21)] | None = Field(
        default=None, description="By default what optimum chooses for the architecture."
    )


class Export(Section):
    """Which formats are exported."""

    onnx: OnnxExport | None = None
    openvino: Empty | None = None
