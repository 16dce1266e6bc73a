"""Settings of the benchmark."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from foundry.base.settings import Fraction, Positive, Section, Share, Slug
from foundry.variants.precisions import OF_TORCH_DTYPE, Device, InferencePrecision


class Search(Section):
    """The search for the streams, threads and tokens of a batch with which foundry_runtime is fastest."""

    share: Fraction = Field(
        default=0.1,
        description="Of `minutes`, how much it may take at most. 0: foundry_runtime is measured by its own rule.",
    )
    batch_tokens: Annotated[list[Annotated[int, Field(ge=16, le=65536)]], Field(min_length=1)] = Field(
        default=[256, 512, 1024], description="Tokens of a batch that are tried, beside those of its own rule."
    )


class Requests(Section):
    """Requests of one text each that arrive at random, whether or not those before them are served."""

    share: Fraction = Field(
        default=0.2,
        description="Of `minutes`, how much is kept for them, though there are three rounds in any case. 0: none are "
        "measured.",
    )
    per_second: Positive | None = Field(
        default=None, description="How many arrive a second; by default `torch_share` of what torch serves one by one."
    )
    torch_share: Share = Field(default=0.5, description="See `per_second`.")


class Effort(Section):
    """How long a benchmark measures, and what."""

    minutes: Positive = Field(description="No round begins that would not end within so many, once `rounds` are done.")
    rounds: Annotated[int, Field(ge=3)] = Field(description="At least so many, of what competes.")
    interval: Positive = Field(
        description="With half the 95% interval of every ratio to torch that a recommendation may rest on this narrow, "
        "relative to it, no round follows."
    )
    batch_sizes: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = Field(
        description="Beside single texts. A group of texts that cannot fill a batch is not measured at that size."
    )
    seconds: Positive = Field(
        description="A measurement takes as many texts as torch embeds in about so many; up to four times as many, if "
        "they then fill the smallest batch."
    )
    busy_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.1,
        description="A round in which other jobs took more than this share of the cores' time is disturbed. With less "
        "than three others, the benchmark is of a busy machine, and nothing is recommended by speed.",
    )
    search: Search = Search()
    requests: Requests = Requests()


Runner = Literal["sentence_transformers", "foundry_runtime"]


class Setting(Section):
    """A row of the benchmark that is no file, but another way to run one.

    One that differs in its precision, or in what runs it, has a verdict where a machine that computes in that precision
    validated the variant, and foundry_runtime was tried on it.
    """

    of: Slug = Field(description="The variant that is loaded.")
    dtype: Literal["float16", "bfloat16"] | None = Field(default=None, description="Of torch's weights.")
    inference_precision: InferencePrecision | None = Field(
        default=None,
        description="What OpenVINO computes in, where the processor can; or tf32, for products of fp32 on a GPU.",
    )
    device: Device = Field(
        default="cpu", description="Where it is measured: on `cuda` beside what else is, if `cuda_effort` is named."
    )
    compile: bool = Field(default=False, description="By torch.compile.")
    runner: Runner = Field(
        default="sentence_transformers", description="What runs it: `encode` of either, with the defaults of its own."
    )

    @property
    def precision(self) -> InferencePrecision:
        """What is computed in, by one name for torch and OpenVINO."""
        of_torch: InferencePrecision = OF_TORCH_DTYPE.get(self.dtype or "", "f32")
        return self.inference_precision or of_torch

    @model_validator(mode="after")
    def _suits_its_backend(self) -> Self:
        backend = self.of.partition("_")[0]
        if (self.dtype or self.compile) and backend != "torch":
            raise ValueError(f"dtype and compile are torch's; this is a setting of {self.of}")
        if self.device == "cuda":
            if backend == "openvino":
                raise ValueError(f"OpenVINO does not run on an NVIDIA GPU; this is a setting of {self.of}")
            if self.inference_precision not in (None, "f32", "tf32") or (self.inference_precision and self.dtype):
                raise ValueError("on cuda, inference_precision is tf32, without a dtype")
        elif self.inference_precision == "tf32":
            raise ValueError("a processor does not compute in tf32: it is of `device: cuda`")
        elif self.inference_precision and backend != "openvino":
            raise ValueError(f"inference_precision is OpenVINO's; this is a setting of {self.of}")
        if self.runner == "foundry_runtime" and backend == "torch":
            raise ValueError("foundry_runtime runs ONNX and OpenVINO files; this is a setting of torch")
        changes_nothing = self.dtype is None and self.inference_precision is None and not self.compile
        if changes_nothing and self.runner == "sentence_transformers":
            raise ValueError("needs one of dtype, inference_precision, compile and runner: foundry_runtime")
        return self


class Benchmark(Section):
    """How speed is measured."""

    effort: Slug = Field(description="One of `efforts`.")
    cuda_effort: Slug | None = Field(
        default=None,
        description="The one for the NVIDIA GPU of a machine that has one; left out, nothing is measured on it.",
    )
    efforts: Annotated[dict[Slug, Effort], Field(min_length=1)]
    settings: dict[Slug, Setting] = Field(default={})

    @model_validator(mode="after")
    def _effort_is_known(self) -> Self:
        for key, name in (("effort", self.effort), ("cuda_effort", self.cuda_effort)):
            if name is not None and name not in self.efforts:
                raise ValueError(f"{key} is {name!r}; efforts are {', '.join(self.efforts)}")
        return self


class BenchmarkModel(Section):
    """What is measured of one model, as `configure` resolved it."""

    variants: dict[Slug, str]  # each with its precision class, such as `fp16` or `int8_static`
    effort_name: Slug
    effort: Effort
    cuda_effort_name: Slug | None = None
    cuda_effort: Effort | None = None
    settings: dict[Slug, Setting] = Field(default={})

    def effort_on(self, device: Device) -> tuple[str, Effort]:
        """The effort with which a device is measured, with its name.

        Raises:
            ValueError: when it is not measured.
        """
        if device == "cpu":
            return self.effort_name, self.effort
        if self.cuda_effort_name is None or self.cuda_effort is None:
            raise ValueError("no cuda_effort is named")
        return self.cuda_effort_name, self.cuda_effort
