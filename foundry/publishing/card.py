"""The section of a model card on its variants, and the front matter that goes with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundry.benchmarking.timings import Ratio
from foundry.reporting.recommendation import Answer, budget_label
from foundry.reporting.rendering import ratio_text, render
from foundry.reporting.rows import Row, ratio_to_torch
from foundry.variants import model_card

MARK_START = "<!-- embedding-foundry: start -->"
MARK_END = "<!-- embedding-foundry: end -->"
FORMATS: dict[str, Any] = {"budget_label": budget_label, "ratio_text": ratio_text}


def write(path: Path, text: str, backends: set[str], base_model: str | None, section: str) -> None:
    """Write a model card: `text`, the existing one, with the marked section added or replaced.

    Its front matter keeps what it says, and gains tags, and the model that this is derived from where that is another
    repository.
    """
    from huggingface_hub import ModelCard

    # Front matter that is broken goes: the Hub refuses a card with it.
    parsed = model_card.parse(text)
    card = ModelCard(text if parsed.mistake is None else parsed.text, ignore_metadata_errors=True)
    data: Any = card.data
    tags = list(dict.fromkeys(model_card.texts(parsed.data.get("tags"))))
    data.tags = tags + [tag for tag in ("sentence-transformers", *sorted(backends)) if tag not in tags]
    if base_model is not None:
        listed = data.base_model or []
        bases = [listed] if isinstance(listed, str) else list(listed)
        bases += [base_model] if base_model not in bases else []
        data.base_model = bases if len(bases) > 1 else bases[0]
    before, _, rest = card.text.partition(MARK_START)
    after = rest.partition(MARK_END)[2]
    card.text = f"{before.rstrip()}\n\n{MARK_START}\n{section.strip()}\n{MARK_END}\n{after.lstrip()}"
    path.write_text(str(card), encoding="utf-8")


def groups(rows: Sequence[Row]) -> list[str]:
    """The groups of texts that the report's rows have speeds for."""
    return list(rows[0]["speeds"])


def speeds(row: Row) -> dict[str, Ratio]:
    """A row's speeds in batches as ratios to torch, by group of texts."""
    return {group: ratio for group in row["speeds"] if (ratio := ratio_to_torch(row, group)) is not None}


def section(
    rows: Sequence[Row],
    host: dict[str, Any],
    where: str,
    charts: list[str],
    answers: Sequence[Answer],
    source: dict[str, Any],
) -> str:
    """The marked section: each variant that was published, its figures, what to deploy, and how to load it.

    Args:
        rows: Of the report, those of the published variants.
        where: The repository or folder that Sentence Transformers loads them from.
        charts: Their paths in the repository.
        answers: What the report recommends.
        source: Where the checkpoint comes from.
    """
    return render(
        "card.md.j2", rows=rows, groups=groups(rows), host=host, where=where, charts=charts, answers=answers,
        source=source, **FORMATS,
    )  # fmt: skip
