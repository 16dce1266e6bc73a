"""The rows of the report on what is published, each of the verdict that it is published with."""

from collections.abc import Mapping, Sequence
from typing import Any

from foundry.base.errors import FoundryError
from foundry.publishing import published_ways
from foundry.reporting.rows import Row
from foundry.validation.results import Validation


def of_verdict(rows: Sequence[Row], model: str, variant: str, verdict: Validation) -> Row:
    """The row of the report on a variant.

    Raises:
        FoundryError: when there is none, or it is of another verdict.
    """
    row = next((row for row in rows if (row["model"], row["variant"]) == (model, variant)), None)
    figures = published_ways.figures(verdict["checks"])
    in_others = {precision: judged["verdict"] for precision, judged in verdict["precisions"].items()}
    if (
        row is None
        or row["verdict"] != "passed"
        or row["precisions"] != in_others
        or any(row["checks"].get(name) != value for name, value in figures.items())
    ):
        raise FoundryError(
            f"the report is not of the verdict on {model}, {variant}. Run `dvc repro`, which writes it again"
        )
    return row


def is_way_that_passed(row: Row, passed: Mapping[str, Validation]) -> bool:
    """Whether a row of the report is another way to run a file of what is published, and passed in its precision."""
    verdict = passed.get(row["setting_of"] or "")
    if verdict is None or row["verdict"] != "passed":
        return False
    judged = verdict["precisions"].get(row["inference_precision"])
    return row["inference_precision"] == "f32" or (judged is not None and judged["verdict"] == "passed")


def run_settings(rows: Sequence[Row], model: str, variant: str) -> dict[str, dict[str, Any]]:
    """The settings with which foundry_runtime was fastest, by the precision that it computed in, with the number of
    cores that it had. None that were found on a busy machine.
    """
    return {
        row["inference_precision"]: {"cores": search["cores"], **search["chosen"]}
        for row in rows
        if (row["model"], row["setting_of"]) == (model, variant)
        and (search := row["search"]) is not None
        and not row["on_busy_machine"]
    }
