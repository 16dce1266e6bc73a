"""The folder that is published: torch's files, the graphs of what passed, the model card, its charts, foundry.json."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.credentials import hidden
from foundry.publishing import (
    card,
    provenance,
    readers,
    report_rows,
    signature,
    standalone,
    tool_names,
)
from foundry.publishing.changes import CARD, Changes
from foundry.publishing.copying import check_tokenizer, copy_files, require_hashes
from foundry.publishing.hub.reading import MARK, PROPOSES
from foundry.publishing.local_paths import without_local_paths
from foundry.publishing.provenance import Provenance
from foundry.publishing.publishable import Verdicts, holds_here
from foundry.publishing.settings import PublishModel
from foundry.reference import tokenizer_files
from foundry.reference.reference import Reference
from foundry.reference.tokenizer_files import TokenizerRecord
from foundry.reporting.recommendation import Answer
from foundry.reporting.rendering import loading_lines, render
from foundry.reporting.rows import Row
from foundry.validation.results import head_output, threshold_of
from foundry.variants import model_card, naming, variant_folder
from foundry.variants.facts import Facts


def copy_charts(report: Path, model: str, target: Path) -> list[str]:
    """Copy the charts that the report has for the card; give their paths in the folder."""
    charts = []
    for path in sorted((report / "card" / model).glob("*.png")):
        files.copy(path, target / "charts" / path.name)
        charts.append(f"charts/{path.name}")
    return charts


ANY_COSINE = -1.0  # of what fails on processors like this one: nothing that runs here is compared with torch


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
    # The hash of each file as it was validated; of the tokenizer's files as they are written anew. Without the card, to
    # which a section is added.
    copied: dict[str, str]
    originals: dict[str, str]  # the hash that the checkpoint's own file has, of those that are written anew
    tokenizer: TokenizerRecord | None
    runtime_refuses: str | None  # why foundry_runtime does not run the model; None where it does
    embed_left_out: str | None  # why there is no embed.py; None where there is one
    for_others: tool_names.Names
    source: dict[str, Any]  # the record of `download`
    variants: dict[str, provenance.Variant]
    left_out: dict[str, str]  # why, by variant
    lowest_cosine: dict[str, float]  # that each variant was validated for; -1 where it fails on processors like this
    facts: Facts  # of the model
    dimensions: int  # of the embeddings; of a CrossEncoder, how many scores
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
        fails_on = {row["variant"]: row["fails_on"] for row in self.rows if row["variant"] in self.variants}
        tools = readers.readers(
            where,
            fails_on,
            self.facts,
            self.dimensions,
            has_runtime=self.runtime_refuses is None,
            has_embed=self.embed_left_out is None,
            dtypes=self.for_others.dtypes,
            has_special_tokens=self.for_others.has_special_tokens,
        )
        section = card.section(self.rows, self.host, where, self.charts, self.answers, source, tools)
        section = without_local_paths(section)
        backends = {naming.backend(name) for name in self.graphs}
        base_model = source.get("hub") if source.get("hub") != where else None
        card.write(
            self.folder / CARD, self.checkpoint_card if existing is None else existing, backends, base_model, section
        )

    def write_record(self, uploaded: list[str], earlier: Provenance | None) -> Provenance:
        """Write foundry.json, the last file of the folder, and its signature."""
        record = provenance.write(
            self.folder, self.model, self.source, self.host, self.variants, self.answers, self.tokenizer,
            self.runtime_refuses, self.embed_left_out, self.for_others.aliases, self.for_others.left_out, uploaded,
            earlier,
        )  # fmt: skip
        require_hashes(record["files"], self.copied)
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
        text = render(
            "pull_request.md.j2", mark=MARK, proposes=PROPOSES.format(provenance.digest(record)), lines=lines,
            rows=self.rows, groups=card.groups(self.rows), host=self.host, answers=self.answers, charts=self.charts,
            source=self.source["source"], git_revision=record["git_revision"], changes=against_main,
            left_out=self.left_out, texts=record["variants"]["torch"]["texts"], **card.FORMATS,
        )  # fmt: skip
        return hidden(str(without_local_paths(text)))


def assemble(
    model: str,
    models_folder: Path,
    verdicts: Verdicts,
    report: Path,
    hashes: dict[str, str],
    settings: PublishModel,
    target: Path,
    expected: Reference,
    validation_texts: Sequence[str],
) -> Bundle:
    """Copy all but the model card and foundry.json into `target`, and gather what these will say.

    `hashes` are DVC's, by path; empty where DVC has no part in it. `expected` is torch's of the `validation_texts`.

    Raises:
        FoundryError: when what was copied is not what was checked.
    """
    passed = verdicts.passed
    copied = copy_files(models_folder, passed, target)
    tokenizer, rewritten = tokenizer_files.align(target, expected, validation_texts)
    originals = {name: copied.files[name] for name in rewritten if name in copied.files}
    copied.files.update({name: files.sha256(target / name) for name in rewritten})
    check_tokenizer(passed, {name: copied.files[name] for name in rewritten})
    lowest_cosine = {
        name: threshold_of(verdict, "min_cosine") if holds_here(verdict) else ANY_COSINE
        for name, verdict in passed.items()
    }
    trials = [verdict["runtime"] for verdict in passed.values() if verdict["runtime"] is not None]
    runtime_refuses = next((trial["refuses"] for trial in trials if trial["refuses"] is not None), None)
    for_others = tool_names.add(
        target, settings.names, passed, settings.variants, validation_texts, expected.facts["trust_remote_code"]
    )
    copied.files.update({name: copied.files[source] for name, source in for_others.aliases.items()})
    outputs = {name: head_output(verdict) for name, verdict in passed.items()}
    if (embed_left_out := standalone.why_not(target, outputs, tokenizer)) is None:
        graph = standalone.graph_variant(passed)
        standalone.add(target, graph, expected, validation_texts, lowest_cosine[graph])
    measured = files.read_json(report / "report.json")
    rows = {name: report_rows.of_verdict(measured["rows"], model, name, verdict) for name, verdict in passed.items()}
    variants = {
        name: provenance.variant_entry(
            passed[name],
            file_hashes,
            card.speeds(rows[name]),
            variant_folder.built(models_folder / name),
            settings.variants[name],
            hashes.get((models_folder / name).as_posix()),
            report_rows.run_settings(measured["rows"], model, name),
        )
        for name, file_hashes in copied.variants.items()
    }
    return Bundle(
        model=model,
        folder=target,
        checkpoint_card=model_card.read(models_folder / "torch" / CARD),
        # The ways to run their files in another precision that passed stand in the card beside them.
        rows=[
            row
            for row in measured["rows"]
            if row["model"] == model and (row["variant"] in passed or report_rows.is_way_that_passed(row, passed))
        ],
        host=measured["host"],
        answers=files.read_json(report / "recommendation.json")["models"][model],
        charts=copy_charts(report, model, target),
        source=files.read_json(models_folder / "torch" / variant_folder.SOURCE_RECORD),
        originals=originals,
        tokenizer=tokenizer,
        runtime_refuses=runtime_refuses,
        embed_left_out=embed_left_out,
        for_others=for_others,
        copied={name: digest for name, digest in copied.files.items() if name != CARD},
        variants=variants,
        left_out=verdicts.left_out,
        lowest_cosine=lowest_cosine,
        facts=expected.facts,
        dimensions=expected.embeddings.shape[-1],
        signed=settings.sign,
    )
