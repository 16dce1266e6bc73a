"""Settings of OpenVINO graphs with smaller weights."""

from typing import Literal

from foundry.base.settings import Section


class Compress(Section):
    """One OpenVINO graph with smaller weights."""

    weights: Literal["fp16", "int8"]
