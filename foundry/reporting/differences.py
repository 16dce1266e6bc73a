"""What got slower, faster, worse or better between two benchmarks and their validations."""

from typing import TypedDict

from foundry.benchmarking import speeds
from foundry.benchmarking.timings import SAME_SPEED, Ratio
from foundry.reporting.rendering import ratio_text
from foundry.validation import results

# A mean cosine that moves by less than this moved by rounding.
SAME_CLOSENESS = 1e-4


class Side(TypedDict):
    """The results of a model on one machine at one revision, which are compared with another's."""

    name: str
    benchmark: speeds.Benchmark | None
    validations: dict[str, results.Validation]


class Difference(TypedDict):
    """One variant on one length of texts, before and after."""

    variant: str
    what: str
    before: str
    after: str
    verdict: str  # slower, faster, worse, better, same, or what is missing


def speed_verdict(before: Ratio | None, after: Ratio | None) -> str:
    """Whether the second ratio differs from the first: `slower`, `faster` or `same`, or what is missing.

    Two ratios differ where their intervals do not overlap and their medians are further apart than SAME_SPEED.
    """
    if before is None or after is None:
        return "gone" if before else "new" if after else "same"
    if None in (before["low"], before["high"], after["low"], after["high"]):
        return "too few rounds"
    apart = (after["high"] or 0) < (before["low"] or 0) or (after["low"] or 0) > (before["high"] or 0)
    if not apart or abs(after["median"] / before["median"] - 1) < SAME_SPEED:
        return "same"
    return "slower" if after["median"] < before["median"] else "faster"


def closeness_verdict(before: results.Validation | None, after: results.Validation | None) -> str:
    """Whether the verdict changed, or the mean cosine by at least SAME_CLOSENESS: `worse`, `better`, `same`, or what is
    missing."""
    if before is None or after is None:
        return "gone" if before else "new"
    if before["verdict"] != after["verdict"]:
        return "better" if after["verdict"] == "passed" else "worse"
    old, new = (results.value_of(side, "mean_cosine") for side in (before, after))
    if old is None or new is None or abs(new - old) < SAME_CLOSENESS:
        return "same"
    return "worse" if new < old else "better"


def differences(before: Side, after: Side) -> list[Difference]:
    """Every variant's closeness, and its speed on each length of texts that both sides have."""
    rows: list[Difference] = []
    for variant in dict.fromkeys([*before["validations"], *after["validations"]]):
        old, new = before["validations"].get(variant), after["validations"].get(variant)
        rows.append(
            {
                "variant": variant,
                "what": "closeness",
                "before": _closeness(old),
                "after": _closeness(new),
                "verdict": closeness_verdict(old, new),
            }
        )
        for group in _groups(before, after):
            for what, size in (("in batches", None), ("one by one", speeds.SINGLE)):
                ratios = [_ratio(side, variant, group, size) for side in (before, after)]
                if any(ratios) and variant != speeds.BASELINE:
                    rows.append(
                        {
                            "variant": variant,
                            "what": f"{group} texts {what}",
                            "before": ratio_text(ratios[0]),
                            "after": ratio_text(ratios[1]),
                            "verdict": speed_verdict(*ratios),
                        }
                    )
    return rows


def _groups(before: Side, after: Side) -> list[str]:
    """The groups of texts that both sides measured."""
    return [
        group
        for group in (before["benchmark"] or {"groups": {}})["groups"]
        if group in (after["benchmark"] or {"groups": {}})["groups"]
    ]


def _ratio(side: Side, variant: str, group: str, size: str | None) -> Ratio | None:
    """A variant's speed to torch on one side, or None where it was not measured."""
    return speeds.to_torch(side["benchmark"], variant, group, size) if side["benchmark"] else None


def _closeness(validation: results.Validation | None) -> str:
    """A verdict with its mean cosine, as a cell of a table."""
    if validation is None:
        return ""
    mean = results.value_of(validation, "mean_cosine")
    return validation["verdict"] + ("" if mean is None else f" {mean:.4f}")
