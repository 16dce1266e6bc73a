"""The typed schema of params.yaml, and the one way to read it.

Unknown keys are errors: a typo must not silently change what is built. `read` reports every mistake at once.
"""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)

from stages.shared.command import StageError

PARAMS = Path("params.yaml")

# A dot would break DVC's tracking of `section.key`, a slash its paths.
Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Repo = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Share = Annotated[float, Field(gt=0, le=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Precision = Literal["fp32", "fp16", "int8_dynamic", "int8_static", "int8_weights", "int4_weights"]


class Section(BaseModel):
    """A mapping in params.yaml whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


# --- Where models and texts come from -------------------------------------------------------------------------


class HubSource(Section):
    """A repository on the Hugging Face Hub, pinned."""

    hub: Repo = Field(description="org/name")
    revision: Revision = Field(description="The commit, 40 hexadecimal digits; a branch would move.")


class PathSource(Section):
    """A folder or file on this machine."""

    path: str


class PackageSource(Section):
    """Files that an installed Python package ships."""

    package: str = Field(description="The module's name, as in `import`.")
    path: str = Field(description="The folder or file inside the module.")


class TextColumn(Section):
    """How texts stand in a file or data set."""

    format: Literal["text", "csv", "json", "parquet"] | None = Field(
        default=None,
        description="By default from the file's ending; `json` is JSON Lines; `text` is one a line.",
    )
    column: str = Field(default="text", description="The column that holds the text.")
    encoding: str = Field(default="utf-8", description="Of text and CSV files.")


class HubTexts(HubSource):
    """A data set on the Hugging Face Hub, pinned."""

    config: str | None = None
    split: str = "train"
    column: str = "text"


class PathTexts(PathSource, TextColumn):
    """Texts in a local file."""


class PackageTexts(PackageSource, TextColumn):
    """Texts in a file that an installed Python package ships."""


def _source_kind(value: Any) -> str:
    keys = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, BaseModel) else ()
    return "hub" if "hub" in keys else "package" if "package" in keys else "path"


Source = Annotated[
    Annotated[HubSource, Tag("hub")] | Annotated[PathSource, Tag("path")] | Annotated[PackageSource, Tag("package")],
    Discriminator(_source_kind),
]
LocalSource = Annotated[
    Annotated[PathSource, Tag("path")] | Annotated[PackageSource, Tag("package")], Discriminator(_source_kind)
]
TextSource = Annotated[
    Annotated[HubTexts, Tag("hub")] | Annotated[PathTexts, Tag("path")] | Annotated[PackageTexts, Tag("package")],
    Discriminator(_source_kind),
]

# --- Sections, in the order of the stages ----------------------------------------------------------------------


Kind = Literal["SentenceTransformer", "SparseEncoder", "CrossEncoder"]  # Sentence Transformers' classes
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


class Empty(Section):
    """A row without settings."""


class SimilarityPairs(Section):
    """A task: pairs of texts with a human similarity score each."""

    pairs: TextSource = Field(description="CSV, JSON Lines, Parquet or a Hub data set; `column` is not used.")
    columns: tuple[str, str, str] = Field(
        default=("sentence1", "sentence2", "score"), description="Both texts and the score.", strict=False
    )


class SimilarityMatrix(Section):
    """A task: documents, one a line, and a matrix of human similarity scores between them."""

    documents: TextSource
    matrix: LocalSource = Field(description="A text file: one row a line, numbers with white space between.")


class Retrieval(Section):
    """A task: a corpus, queries and judgements in BEIR's layout."""

    beir: LocalSource = Field(description="A folder with corpus.jsonl, queries.jsonl and qrels/<split>.tsv.")
    split: str = "test"


class NanoBeir(Section):
    """Tasks: NanoBEIR's small retrieval sets, from the Hub."""

    nanobeir: Annotated[list[str], Field(min_length=1)] = Field(description="Names, such as msmarco, nq, scifact.")


def _task_kind(value: Any) -> str:
    keys = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, BaseModel) else ()
    return next((kind for kind in ("matrix", "beir", "nanobeir") if kind in keys), "pairs")


Task = Annotated[
    Annotated[SimilarityPairs, Tag("pairs")]
    | Annotated[SimilarityMatrix, Tag("matrix")]
    | Annotated[Retrieval, Tag("beir")]
    | Annotated[NanoBeir, Tag("nanobeir")],
    Discriminator(_task_kind),
]


class TextGroup(Section):
    """Texts of one length within a set."""

    count: Annotated[int, Field(ge=1)]
    cut: Literal["document", "sentence"] | Annotated[int, Field(ge=1)] = Field(
        default="document",
        description="`document` as it stands, its sentences, or pieces of about so many characters.",
    )


class TextSet(Section):
    """One set of frozen texts: calibration, validation or benchmark."""

    share: Annotated[dict[Slug, Share], Field(min_length=1)] = Field(
        description="Of each source, the share of its documents that this set alone may use."
    )
    groups: Annotated[dict[Slug, TextGroup], Field(min_length=1)]


class Sample(Section):
    """Which texts are frozen for calibration, validation and benchmark."""

    seed: int
    sources: Annotated[dict[Slug, TextSource], Field(min_length=1)]
    calibration: TextSet
    validation: TextSet
    benchmark: TextSet
    tasks: dict[Slug, Task] = Field(default={}, description="Labelled data on which quality is compared with torch's.")

    @property
    def sets(self) -> dict[str, TextSet]:
        return {"calibration": self.calibration, "validation": self.validation, "benchmark": self.benchmark}

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        for name, texts in self.sets.items():
            if unknown := texts.share.keys() - self.sources.keys():
                raise ValueError(
                    f"{name}.share names {', '.join(sorted(unknown))}; sources are {', '.join(sorted(self.sources))}"
                )
        for source in self.sources:
            total = sum(texts.share.get(source, 0) for texts in self.sets.values())
            if total > 1 + 1e-9:
                raise ValueError(
                    f"the shares of source {source} add up to {total:g}; at most 1, because sets do not overlap"
                )
        return self


class OnnxExport(Section):
    """The exported ONNX graph."""

    opset: Annotated[int, Field(ge=11, le=21)] | None = Field(
        default=None, description="By default what optimum chooses for the architecture."
    )


class Export(Section):
    """Which formats are exported."""

    onnx: OnnxExport | None = None
    openvino: Empty | None = None


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


class Budget(Section):
    """What a searched variant must hold; these replace the thresholds of its precision class."""

    mean_cosine: Fraction | None = None
    min_cosine: Fraction | None = None
    recall_at_10: Fraction | None = None
    task_ratio: Positive | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError(f"is empty; it sets one or more of {', '.join(type(self).model_fields)}")
        return self


class SearchLimits(Section):
    """How long the search for a budget may take."""

    trials: Annotated[int, Field(ge=2)] = Field(default=100, description="Graphs that are built and measured.")
    minutes: Positive = Field(default=60, description="After these it ends with the best so far; results then vary.")


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
    reduce_range: bool = Field(
        default=False, description="7-bit weights, for targets without VNNI, where 8 bits can saturate."
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
        dynamic = {"per_channel", "reduce_range", "operators"} & self.model_fields_set
        if self.weights and dynamic:
            raise ValueError(f"{', '.join(sorted(dynamic))} belong to dynamic int8; `weights` has `block_size`")
        if self.isa and self.block_size:
            raise ValueError("block_size belongs to `weights`")
        return self


class IgnoredScope(Section):
    """Products that stay in floating point."""

    names: list[str] = []
    patterns: list[str] = Field(default=[], description="Regular expressions that match anywhere in a product's name.")


class Calibrate(Section):
    """One static int8 graph."""

    samples: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="How many of the frozen calibration texts; by default all."
    )
    preset: Literal["mixed", "performance"] = Field(
        default="mixed", description="`mixed`: asymmetric activations; `performance`: symmetric ones."
    )
    smooth_quant_alpha: Fraction | None = Field(
        default=None, description="By default chosen for each product, by its error on the calibration texts."
    )
    outlier_copies: Annotated[int, Field(ge=0)] = Field(
        default=16, description="Channels that are added to each feed-forward layer, for copies of its outliers."
    )
    error_feedback: bool = Field(
        default=True, description="Round each weight so that it makes up for the rounding of others (GPTQ)."
    )
    bias_correction: bool = Field(default=True, description="Take the mean error on the calibration texts back.")
    reduce_range: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Smaller weights, for targets without VNNI, where 8 bits can saturate; `auto`: where they could.",
    )
    int8_embeddings: bool = Field(default=True, description="Store the table of word embeddings in int8, too.")
    ignored_scope: IgnoredScope = IgnoredScope()
    budget: Budget | None = None
    search: SearchLimits = SearchLimits()


class Compress(Section):
    """One OpenVINO graph with smaller weights."""

    weights: Literal["fp16", "int8"]


class Thresholds(Section):
    """What a variant must hold against torch to pass."""

    mean_cosine: Fraction
    p5_cosine: Fraction = Field(description="5th percentile.")
    p1_cosine: Fraction = Field(description="1st percentile.")
    min_cosine: Fraction
    max_abs_diff: Positive = Field(description="The largest difference of any value of any embedding.")
    hard_min_cosine: Fraction = Field(description="The lowest cosine on the fixed set of hard texts.")
    consistency_mean_cosine: Fraction = Field(
        description="The same text alone and in a batch, the mean over texts, in the worst kind of batch."
    )
    consistency_min_cosine: Fraction = Field(description="The same, for the worst text.")
    recall_at_10: Fraction = Field(description="Of torch's ten nearest neighbours of each text, the share found.")
    similarity_spearman: Fraction = Field(description="Rank correlation of all similarities with torch's.")
    task_ratio: Positive = Field(description="The lowest score on a task, as a ratio to torch's.")
    active_dimensions: Fraction = Field(
        description="Of a SparseEncoder: the dimensions that are active in both, of those that are in either; the mean."
    )
    passage_order: Fraction = Field(
        description="Of a CrossEncoder: any two passages of a query in torch's order, weighted by their distance."
    )


class ThresholdOverrides(Section):
    """Thresholds that differ for one variant; what is left out is its precision class's."""

    mean_cosine: Fraction | None = None
    p5_cosine: Fraction | None = None
    p1_cosine: Fraction | None = None
    min_cosine: Fraction | None = None
    max_abs_diff: Positive | None = None
    hard_min_cosine: Fraction | None = None
    consistency_mean_cosine: Fraction | None = None
    consistency_min_cosine: Fraction | None = None
    recall_at_10: Fraction | None = None
    similarity_spearman: Fraction | None = None
    task_ratio: Positive | None = None
    active_dimensions: Fraction | None = None
    passage_order: Fraction | None = None


class ThresholdsByPrecision(Section):
    """One set of thresholds per precision class."""

    fp32: Thresholds
    fp16: Thresholds
    int8_dynamic: Thresholds
    int8_static: Thresholds
    int8_weights: Thresholds
    int4_weights: Thresholds


class Validate(Section):
    """What a variant must hold against torch to pass."""

    batch_size: Annotated[int, Field(ge=1)] = 32
    on_failure: Literal["exclude", "stop"] = Field(
        default="exclude", description="A failed variant is left out of what is published, or stops the pipeline."
    )
    thresholds: ThresholdsByPrecision
    overrides: dict[Slug, ThresholdOverrides] = {}


class Effort(Section):
    """How long a benchmark measures, and what."""

    minutes: Positive = Field(description="No round begins that would not end within so many, once `rounds` are done.")
    rounds: Annotated[int, Field(ge=3)] = Field(description="At least so many.")
    interval: Positive = Field(
        description="With half the 95% interval of every ratio to torch this narrow, relative to it, no round follows."
    )
    batch_sizes: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = Field(
        description="Beside single texts. A group of texts that cannot fill a batch is not measured at that size."
    )
    seconds: Positive = Field(description="A measurement takes as many texts as torch embeds in about so many.")


class Setting(Section):
    """A row of the benchmark that is no file, but another way to load a variant."""

    of: Slug = Field(description="The variant that is loaded.")
    dtype: Literal["float16", "bfloat16"] | None = Field(default=None, description="Of torch's weights.")
    inference_precision: Literal["f32", "bf16", "f16"] | None = Field(
        default=None, description="What OpenVINO computes in, where the processor can."
    )
    compile: bool = Field(default=False, description="By torch.compile.")

    @model_validator(mode="after")
    def _suits_its_backend(self) -> Self:
        backend = self.of.partition("_")[0]
        if (self.dtype or self.compile) and backend != "torch":
            raise ValueError(f"dtype and compile are torch's; this is a setting of {self.of}")
        if self.inference_precision and backend != "openvino":
            raise ValueError(f"inference_precision is OpenVINO's; this is a setting of {self.of}")
        if self.dtype is None and self.inference_precision is None and not self.compile:
            raise ValueError("needs one of dtype, inference_precision and compile")
        return self


class Benchmark(Section):
    """How speed is measured."""

    effort: Slug = Field(description="One of `efforts`.")
    efforts: Annotated[dict[Slug, Effort], Field(min_length=1)]
    settings: dict[Slug, Setting] = {}

    @model_validator(mode="after")
    def _effort_is_known(self) -> Self:
        if self.effort not in self.efforts:
            raise ValueError(f"effort is {self.effort!r}; efforts are {', '.join(self.efforts)}")
        return self


class Report(Section):
    """What the report recommends for."""

    quality_budgets: Annotated[list[Fraction], Field(min_length=1)] = Field(
        description="How much quality may be lost, as shares: 0 is none, 0.01 is 1%."
    )


class Publish(Section):
    """Where what passed goes."""

    to: Literal["folder", "hub"] = "folder"
    repos: dict[Slug, Repo] = Field(default={}, description="With `to: hub`, the repository of each model: org/name.")
    create_pr: bool = Field(default=True, description="Open a pull request instead of committing to main.")
    private: bool = Field(default=True, description="Whether a repository that is not there yet is made a private one.")
    licences: list[str] = Field(
        default=[],
        description="Licences whose models may go to the Hub, as model cards name them; `unknown`: none is named.",
    )
    sign: bool = Field(default=False, description="Sign foundry.json with the key that FOUNDRY_SIGNING_KEY names.")
    dry_run: bool = Field(default=False, description="Only say what would change on the Hub, file by file.")


class FanOut(Section):
    """On which machines `stages.fan_out` runs stages; patterns are of their names in DVC, such as `benchmark@*`."""

    placement: dict[str, dict[str, Positive]] = Field(
        default={}, description="What the machine of a stage must offer: Ray resources, by pattern."
    )
    alone: list[str] = Field(default=["benchmark@*"], description="Stages that share their machine with no other.")


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
                    told = [_explain(detail) for detail in error.errors(include_url=False)]
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


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := sorted({key for key in own if own.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read(path: Path = PARAMS) -> Params:
    """Read and check the whole of params.yaml.

    Raises:
        StageError: with one line per mistake: the key, the value, and what is allowed.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError as error:
        raise StageError(f"{path} is not there; run from the project's root") from error
    except yaml.YAMLError as error:
        raise StageError(f"{path} is not valid YAML: {error}") from error
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors(include_url=False)]
        raise StageError(f"{path} has {len(lines)} mistake(s):\n" + "\n".join(f"  {line}" for line in lines)) from error


def _explain(detail: Any) -> str:
    """One mistake in a line: the key, the value, and what is allowed."""
    kind, value = detail["type"], detail["input"]
    key, allowed = _place(detail["loc"], unknown=kind == "extra_forbidden")
    if kind == "extra_forbidden":
        return f"{key}: unknown key, with value {value!r}; allowed are {', '.join(allowed)}"
    if kind == "missing":
        return f"{key}: is missing"
    if kind == "value_error":
        return f"{key}: {detail['ctx']['error']}"
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    if value is None:
        return f"{key}: is empty; {message}. An empty section is written {{}}"
    return f"{key}: got {value!r}; {message}"


def _place(location: tuple[Any, ...], unknown: bool) -> tuple[str, list[str]]:
    """A place as the user wrote it; where its last part is an `unknown` key, also the keys that are allowed there.

    Pydantic's locations hold what the user never wrote, too: the chosen branch of a union, and `[key]`.
    """
    kind: Any = Params
    written: list[str] = []
    for part in location:
        step = _step(kind, part)
        if step is not None:
            kind, is_branch = step
            written += [] if is_branch else [str(part)]
    allowed: list[str] = []
    if unknown:
        written.append(str(location[-1]))
        allowed = sorted(key for _, leaf in _leaves(kind) if _is_section(leaf) for key in _keys(leaf))
    return ".".join(written) or "the whole file", allowed


def _step(kind: Any, part: Any) -> tuple[Any, bool] | None:
    """What stands at `part` of type `kind`, and whether `part` only chose a branch of a union."""
    for tag, leaf in _leaves(kind):
        if tag is not None and tag == part:
            return leaf, True
        if get_origin(leaf) in (dict, list):
            return get_args(leaf)[-1], False
        if _is_section(leaf) and part in (keys := _keys(leaf)):
            return keys[part], False
    return None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _keys(section: type[Section]) -> dict[str, Any]:
    """The keys of a section as they stand in the file, and their types."""
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _leaves(kind: Any, tag: str | None = None) -> Iterator[tuple[str | None, Any]]:
    """The types that a union, or one type, may be, each with its tag in a discriminated union."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        yield from _leaves(inner, next((mark.tag for mark in marks if isinstance(mark, Tag)), tag))
    elif get_origin(kind) in (Union, UnionType):
        for option in get_args(kind):
            yield from _leaves(option, tag)
    else:
        yield tag, kind
