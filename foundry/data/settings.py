"""Settings: where texts and labelled data come from, and which of them are frozen."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Discriminator, Field, StringConstraints, Tag, model_validator

from foundry.base.settings import Repo, Revision, Section, Share, Slug


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


def _known_encoding(name: str) -> str:
    try:
        "".encode(name)
        if name.replace("-", "_").endswith("unicode_escape"):
            raise LookupError(f"{name} is a notation of Python's")  # its \\ud800 is no text that a file can hold
    except LookupError as error:
        raise ValueError(f"{error}; known are utf-8, utf-16, latin-1, cp1252 and Python's others") from error
    return name


Encoding = Annotated[str, AfterValidator(_known_encoding)]


class TextColumn(Section):
    """How texts stand in a file or data set."""

    format: Literal["text", "csv", "json", "parquet", "yaml"] | None = Field(
        default=None,
        description="By default from the file's ending. `text` is one text a line; `csv` has a line of column names; "
        "`json` is JSON Lines, or one array of objects; `yaml` is a mapping, in which `column` is the key of a list of "
        "texts, or of lists of them. A file that ends in .gz is decompressed.",
    )
    column: str = Field(default="text", description="The column or key that holds the text.")
    encoding: Encoding = Field(default="utf-8", description="Of text, CSV, JSON and YAML files.")
    delimiter: Annotated[str, StringConstraints(pattern=r"^(\t|[^\s\"])$")] | None = Field(
        default=None,
        description="What separates the cells of a CSV file. By default what the header shows: , ; a tab or |.",
    )
    quotes: bool = Field(
        default=True,
        description="Whether quotation marks enclose a CSV file's cells; `false` where they are ordinary characters.",
    )


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

    beir: LocalSource = Field(
        description="A folder with corpus.jsonl, queries.jsonl and qrels/<split>.tsv; .gz may follow each."
    )
    split: str = "test"


class NanoBeir(Section):
    """Tasks: NanoBEIR's small retrieval sets, from the Hub."""

    nanobeir: Annotated[list[str], Field(min_length=1)] = Field(description="Names, such as msmarco, nq, scifact.")


def _task_kind(value: Any) -> str:
    keys = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, BaseModel) else ()
    return next((kind for kind in ("matrix", "beir", "nanobeir") if kind in keys), "pairs")


TaskSettings = Annotated[
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
    max_words: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Only documents or sentences of at most so many words."
    )

    @model_validator(mode="after")
    def _pieces_have_their_length(self) -> Self:
        if self.max_words is not None and isinstance(self.cut, int):
            raise ValueError("max_words is for whole documents and sentences; `cut` has the length of pieces")
        return self


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
    tasks: dict[Slug, TaskSettings] = Field(
        default={}, description="Labelled data on which quality is compared with torch's."
    )

    @property
    def sets(self) -> dict[str, TextSet]:
        """The sets by their names."""
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
