"""Settings of ONNX graphs: optimization levels, dynamic int8, weights in blocks."""

from typing import Literal, Self

from pydantic import Field, model_validator

from foundry.base.settings import Section
from foundry.int8.settings import Budget, SearchLimits


class Fusions(Section):
    """ONNX Runtime's fusions, on or off; what is left out keeps the level's setting."""

    attention: bool | None = None
    bias_gelu: bool | None = None
    bias_skip_layer_norm: bool | None = None
    embed_layer_norm: bool | None = None
    gelu: bool | None = None
    gelu_approximation: bool | None = None
    gemm_fast_gelu: bool | None = None
    layer_norm: bool | None = None
    multi_head_attention: bool | None = Field(default=None, description="Instead of the packed Attention operator.")
    rotary_embeddings: bool | None = None
    shape_inference: bool | None = None
    skip_layer_norm: bool | None = None


Level = Literal["O1", "O2", "O3", "O4"]


class Optimize(Section):
    """One optimized graph: a level with optimum's meaning, and what differs from it."""

    level: Level
    fusions: Fusions = Fusions()
    fp16: bool | None = Field(default=None, description="Weights and nodes in half precision; O4 has it.")

    @model_validator(mode="after")
    def _o1_has_no_fusions(self) -> Self:
        if self.level == "O1" and (self.fusions != Fusions() or self.fp16):
            raise ValueError(
                "level O1 runs ONNX Runtime's basic optimizations alone; take O2 or O3 to set fusions or fp16"
            )
        return self


class Quantize(Section):
    """One ONNX graph in int8 without calibration: dynamic, or its weights alone."""

    isa: Literal["arm64", "avx2", "avx512", "avx512_vnni"] | None = Field(
        default=None, description="Dynamic int8 for a target with optimum's meaning."
    )
    weights: Literal["int4", "int8"] | None = Field(
        default=None, description="Instead of `isa`: weights in blocks of 4 or 8 bits (MatMulNBits), computed in fp32."
    )
    block_size: Literal[16, 32, 64, 128, 256] | None = Field(
        default=None, description="With `weights`: how many weights share a scale; by default 32."
    )
    source: Literal["onnx", "onnx_O1", "onnx_O2", "onnx_O3"] = Field(
        default="onnx", alias="from", description="The graph that is quantized. O4 is fp16 and cannot be."
    )
    per_channel: bool = True
    reduce_range: bool | Literal["auto"] = Field(
        default=False,
        description="7-bit weights, for targets without VNNI, where 8 bits can saturate; `auto`: where they could.",
    )
    attention_products: bool = Field(
        default=True, description="Also quantize products of two activations, as Sentence Transformers' function does."
    )
    int8_embeddings: bool = Field(
        default=False, description="Store the table of word embeddings in int8 with a scale for each row."
    )
    operators: list[str] | None = Field(
        default=None, description="Operator types to quantize; by default every one that ONNX Runtime knows."
    )
    exclude_nodes: list[str] = Field(default=[], description="Names of nodes to leave in fp32.")
    budget: Budget | None = None
    search: SearchLimits = SearchLimits()

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if (self.isa is None) == (self.weights is None):
            raise ValueError("needs either `isa`, for dynamic int8, or `weights`, for weights alone")
        dynamic = {
            "per_channel",
            "reduce_range",
            "operators",
            "attention_products",
            "int8_embeddings",
        } & self.model_fields_set
        if self.weights and dynamic:
            raise ValueError(f"{', '.join(sorted(dynamic))} belong to dynamic int8; `weights` has `block_size`")
        if self.isa == "avx2" and self.reduce_range == "auto":
            raise ValueError("reduce_range: auto is for signed weights; those of avx2 are unsigned and never saturate")
        if self.isa and self.block_size:
            raise ValueError("block_size belongs to `weights`")
        return self
