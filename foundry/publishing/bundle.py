"""The folder that is published: torch's files, the graphs of what passed, the model card, its charts, foundry.json."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.publishing import card, provenance, signature
from foundry.publishing.changes import CARD, Changes
from foundry.publishing.hub.reading import MARK, PROPOSES
from foundry.publishing.provenance import Provenance
from foundry.publishing.settings import PublishModel
from foundry.reporting.recommendation import Answer
from foundry.reporting.rendering import loading_lines, render
from foundry.reporting.rows import Row
from foundry.validation.results import Validation
from foundry.variants import model_card, naming, variant_folder


def copy_files(models_folder: Path, passed: list[str], validation: Path, target: Path) -> dict[str, dict[str, str]]:
    """Copy torch and the graphs of the variants into `target`; give the hash of each variant's files there.

    Raises:
        FoundryError: when what was copied is not what was checked.
    """
    for path in files.files_below(models_folder / "torch"):
        if path.name != variant_folder.SOURCE_RECORD:
            files.copy(models_folder / "torch" / path, target / path)
    published: dict[str, dict[str, str]] = {}
    for variant in passed:
        folder = models_folder / variant
        weights = [path.relative_to(folder) for path in variant_folder.weights_files(folder, variant)]
        for path in weights:
            files.copy(folder / path, target / path)
        published[variant] = {path.as_posix(): files.sha256(target / path) for path in weights}
        checked = files.read_json(validation / f"{variant}.json")["files"]
        if wrong := [name for name, digest in published[variant].items() if checked[name] != digest]:
            raise FoundryError(f"{wrong[0]} changed while it was copied; run again")
    return published


def copy_charts(report: Path, model: str, target: Path) -> list[str]:
    """Copy the charts that the report has for the card; give their paths in the folder."""
    charts = []
    for path in sorted((report / "card" / model).glob("*.png")):
        files.copy(path, target / "charts" / path.name)
        charts.append(f"charts/{path.name}")
    return charts


@dataclass(frozen=True)
class Bundle:
    """All that is known of one model's variants that passed: what the card, foundry.json and the pull request say."""

    model: str
    folder: Path
    checkpoint_card: str  # the README.md that came with the checkpoint
    rows: list[Row]  # of the report
    host: dict[str, Any]
    answers: list[Answer]  # what the report recommends
    charts: list[str]  # their paths in the folder
    source: dict[str, Any]  # the record of `download`
    variants: dict[str, provenance.Variant]
    left_out: dict[str, str]  # why, by variant
    lowest_cosine: dict[str, float]  # that each variant was validated for
    signed: bool

    @property
    def names(self) -> list[str]:
        """Every file but foundry.json and its signature."""
        paths = (path.as_posix() for path in files.files_below(self.folder))
        return [name for name in paths if name not in (provenance.NAME, provenance.SIGNATURE)]

    @property
    def graphs(self) -> dict[str, list[str]]:
        """The files of each variant but torch."""
        return {name: list(entry["files"]) for name, entry in self.variants.items() if name != "torch"}

    def write_card(self, where: str, existing: str | None) -> None:
        """Write the model card: `existing`, or the checkpoint's own, with the section on the variants."""
        source = self.source["source"]
        section = card.section(self.rows, self.host, where, self.charts, self.answers, source)
        backends = {naming.backend(name) for name in self.graphs}
        base_model = source.get("hub") if source.get("hub") != where else None
        card.write(
            self.folder / CARD, self.checkpoint_card if existing is None else existing, backends, base_model, section
        )

    def write_record(self, uploaded: list[str], earlier: Provenance | None) -> Provenance:
        """Write foundry.json, the last file of the folder, and its signature."""
        record = provenance.write(self.folder, self.model, self.source, self.host, self.variants, uploaded, earlier)
        if self.signed:
            signature.sign(self.folder / provenance.NAME, self.folder / provenance.SIGNATURE)
        return record

    def title(self, changed: Changes, earlier: Provenance | None) -> str:
        """What a commit does, in one line: the variants whose graphs it adds, changes or takes out."""
        if earlier is None:
            return "Add ONNX and OpenVINO variants, each checked against torch"
        before = {name: list(entry["files"]) for name, entry in earlier["variants"].items() if name != "torch"}
        graphs = before | self.graphs
        parts = [
            f"{verb} {', '.join(variants)}"
            for verb, names in (("add", changed.added), ("update", changed.changed), ("remove", changed.deleted))
            if (variants := [variant for variant, paths in graphs.items() if any(path in names for path in paths)])
        ]
        title = "; ".join(parts) or "update the figures"
        return f"{title[0].upper()}{title[1:]}"

    def pull_request(self, repo: str, num: int | None, against_main: Changes, record: Provenance) -> str:
        """The text of a pull request; without its number where it has none yet."""
        shown = next(iter(self.graphs), "torch")
        lines = loading_lines(repo, shown, self.rows[0], f"refs/pr/{'N' if num is None else num}")
        return render(
            "pull_request.md.j2", mark=MARK, proposes=PROPOSES.format(provenance.digest(record)), lines=lines,
            rows=self.rows, groups=card.groups(self.rows), host=self.host, answers=self.answers, charts=self.charts,
            source=self.source["source"], git_revision=record["git_revision"], changes=against_main,
            left_out=self.left_out, texts=record["variants"]["torch"]["texts"], **card.FORMATS,
        )  # fmt: skip


def assemble(
    model: str,
    models_folder: Path,
    passed: list[str],
    left_out: dict[str, str],
    validation: Path,
    report: Path,
    hashes: dict[str, str],
    settings: PublishModel,
    target: Path,
) -> Bundle:
    """Copy all but the model card and foundry.json into `target`, and gather what these will say.

    `hashes` are DVC's, by path; empty where DVC has no part in it.

    Raises:
        FoundryError: when what was copied is not what was checked.
    """
    published = copy_files(models_folder, passed, validation, target)
    measured = files.read_json(report / "report.json")
    checked: dict[str, Validation] = {name: files.read_json(validation / f"{name}.json") for name in passed}
    rows: list[Row] = [row for row in measured["rows"] if row["model"] == model and row["variant"] in passed]
    variants = {
        name: provenance.variant_entry(
            checked[name],
            file_hashes,
            card.speeds(next(row for row in rows if row["variant"] == name)),
            variant_folder.built(models_folder / name),
            settings.variants[name],
            hashes.get((models_folder / name).as_posix()),
        )
        for name, file_hashes in published.items()
    }
    return Bundle(
        model=model,
        folder=target,
        checkpoint_card=model_card.read(models_folder / "torch" / CARD),
        rows=rows,
        host=measured["host"],
        answers=files.read_json(report / "recommendation.json")["models"][model],
        charts=copy_charts(report, model, target),
        source=files.read_json(models_folder / "torch" / variant_folder.SOURCE_RECORD),
        variants=variants,
        left_out=left_out,
        lowest_cosine={
            name: next(row["threshold"] for row in verdict["checks"] if row["check"] == "min_cosine")
            for name, verdict in checked.items()
        },
        signed=settings.sign,
    )
