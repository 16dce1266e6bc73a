"""How much quality a variant loses: the one measure by which variants are recommended, whatever the model is."""

from collections.abc import Sequence
from typing import NamedTuple

from foundry.reference.closeness import SAME_EMBEDDING
from foundry.validation.results import Check


class QualityLoss(NamedTuple):
    """The largest of the losses that were measured on a variant."""

    share: float  # from 0, torch's own embeddings, to 1
    measure: str | None  # in what it is lost: one of the keys of `losses`; None where nothing is


def quality_loss(checks: Sequence[Check]) -> QualityLoss:
    """How much quality a variant loses by the checks of its verdict: the worst of what was measured, and in which.

    An embedding that is torch's but for rounding has lost nothing; a score that moves all the same is a tie broken
    differently. What was not measured counts as lost.
    """
    mean = next((row["value"] for row in checks if row["check"] == "mean_centred_cosine"), None)
    if mean is None:
        return QualityLoss(1.0, None)
    if mean >= SAME_EMBEDDING:
        return QualityLoss(0.0, None)
    measured = losses(checks)
    measure = max(measured, key=measured.__getitem__)
    return QualityLoss(measured[measure], measure)


def losses(checks: Sequence[Check]) -> dict[str, float]:
    """What a variant loses by each measure that was made, as shares on one scale.

    The scale is that of the centred cosine, which is the same for every model: embeddings that are shifted by a share
    e of what tells texts apart lose about e²/2. Of ten neighbours, a share in proportion to e changes, so their loss
    is squared; that makes it as large as the cosine's for int8 of MiniLM and MPNet (DECISIONS.md, *closeness that
    means the same for every model*). The order of a CrossEncoder's passages is weighted by their distance, which
    makes it go with e² already.
    """
    values = {row["check"]: row["value"] for row in checks}
    measured = {"centred cosine": _loss(values.get("mean_centred_cosine"))}
    if "passage_order" in values:
        measured["order of passages"] = _loss(values["passage_order"])
    elif "recall_at_10" in values:
        measured["neighbours"] = _loss(values["recall_at_10"]) ** 2
    if "between_sides_recall_at_10" in values:
        measured["documents of queries"] = _loss(values["between_sides_recall_at_10"]) ** 2
    for check, value in values.items():
        if check.startswith("task_ratio_"):
            measured[f"task {check.removeprefix('task_ratio_')}"] = _loss(value)
    return measured


def _loss(share: float | None) -> float:
    return 1.0 if share is None else max(1 - share, 0.0)
