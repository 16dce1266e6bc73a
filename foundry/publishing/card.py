"""The section of a model card on its variants, and the front matter that goes with it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundry.benchmarking.timings import Ratio
from foundry.publishing import front_matter
from foundry.publishing.leads import leads
from foundry.publishing.readers import Reader
from foundry.reporting.recommendation import Answer, budget_label
from foundry.reporting.rendering import ratio_text, render
from foundry.reporting.rows import Row, ratio_to_torch
from foundry.variants import model_card

MARK_START = "<!-- embedding-foundry: start -->"
MARK_END = "<!-- embedding-foundry: end -->"
# From a start mark to the next end mark; where another start mark comes first, the end mark of the first was lost.
SECTION = re.compile(f"{MARK_START}(?:(?!{MARK_START}).)*?{MARK_END}", re.DOTALL)
NOT_YAML = "The front matter of this card could not be read ({}), and stands here as it was:"
FORMATS: dict[str, Any] = {"budget_label": budget_label, "ratio_text": ratio_text}


def write(path: Path, text: str, backends: set[str], base_model: str | None, section: str) -> None:
    """Write a model card: `text`, the existing one, with the marked section added or replaced.

    Its front matter keeps what it says, and how, and gains tags, and the model that this is derived from where that is
    another repository.
    """
    parsed = model_card.parse(text)
    match = model_card.FRONT_MATTER.match(text)
    front = (match[1] or "") if match and parsed.mistake is None else ""
    front += "\n" if front else ""
    tags = list(dict.fromkeys(model_card.texts(parsed.data.get("tags"))))
    tags += [tag for tag in ("sentence-transformers", *sorted(backends)) if tag not in tags]
    front = front_matter.with_texts(front, "tags", tags)
    bases = model_card.texts(parsed.data.get("base_model"))
    if base_model is not None and base_model not in bases:
        front = front_matter.with_texts(front, "base_model", [*bases, base_model] if bases else base_model)
    if not model_card.are_texts(written := parsed.data.get("tags")):  # which the Hub refuses
        was = front_matter.dumped({"tags were": written}).splitlines()
        front = "".join(f"# {line}\n" for line in was) + front
    body = parsed.text
    if match and parsed.mistake is not None:
        # The Hub refuses a card with front matter that is broken; as text, nothing of it is lost.
        body = f"{NOT_YAML.format(parsed.mistake)}\n\n{fenced(match[1] or '')}\n\n{body}"
    content = f"---\n{front.rstrip()}\n---\n{with_section(body, section)}"
    path.write_text(content, encoding="utf-8", newline="")


def fenced(text: str) -> str:
    """A text as a block of code, whatever is in it."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}\n{text}\n{fence}"


def with_section(body: str, section: str) -> str:
    """The text of a card with the marked section replaced, or added at its end.

    Where a mark was lost, nothing that stands below is taken for the old section: the new one stands in the place of
    the mark that is left.
    """
    marked = f"{MARK_START}\n{section.strip()}\n{MARK_END}"
    between = SECTION.search(body)
    start = body.find(MARK_START)
    if between:
        before, after = body[: between.start()], body[between.end() :]
    elif start >= 0:
        before, after = body[:start], body[start + len(MARK_START) :]
    else:
        before, after = body, ""
    return f"{before.rstrip()}\n\n{marked}\n{after.lstrip()}"


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
    readers: Sequence[Reader],
) -> str:
    """The marked section: each variant that was published, its figures, what to deploy, and how to load it.

    Args:
        rows: Of the report, those of the published variants.
        where: The repository or folder that Sentence Transformers loads them from.
        charts: Their paths in the repository.
        answers: What the report recommends.
        source: Where the checkpoint comes from.
        readers: The tools beside Sentence Transformers with optimum that load them, and how.
    """
    files = [row["variant"] for row in rows if row["setting_of"] is None]
    return render(
        "card.md.j2", rows=rows, groups=groups(rows), host=host, where=where, charts=charts, answers=answers,
        leads=leads(answers, files, rows[0], where), source=source, readers=readers, **FORMATS,
    )  # fmt: skip
