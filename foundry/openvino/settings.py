"""Settings of OpenVINO graphs in int8, or with smaller weights."""

from typing import Literal

from pydantic import Field

from foundry.base.settings import Section
from foundry.int8.settings import Calibrate


class CalibrateOpenVino(Calibrate):
    """One static int8 graph for OpenVINO."""

    attention_scores: bool = Field(
        default=False, description="Multiply queries and keys on integers, too; faster with VNNI and AMX, less close."
    )


class Compress(Section):
    """One OpenVINO graph with smaller weights."""

    weights: Literal["fp16", "int8"]
