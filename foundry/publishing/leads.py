"""The few lines that a model card begins with: what to deploy, with its figure and the line of code that loads it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from foundry.reporting.advice import lines_to_run
from foundry.reporting.recommendation import Answer
from foundry.reporting.rendering import lost, short

USES = {"throughput": "Many texts at once", "latency": "One text at a time", "size": "Smallest"}


class Lead(NamedTuple):
    """What to deploy for one use."""

    use: str
    variant: str
    figure: str
    line: str  # of code


def leads(answers: Sequence[Answer], published: Collection[str], facts: Mapping[str, Any], where: str) -> list[Lead]:
    """At most four of the report's answers, for texts of the middle length.

    The fastest for many texts, without loss and with the largest budget; for single texts, without loss; the smallest.

    Args:
        answers: What the report recommends.
        published: The variants whose files are published.
        facts: The model's, as the reference has them.
        where: The repository or folder that the lines name.
    """
    named = [answer for answer in answers if answer["variant"] is not None and answer["file"] in published]
    on_gpu = [answer for answer in named if answer["device"] == "cuda"]
    named = [answer for answer in named if answer["device"] == "cpu"]
    lengths = list(dict.fromkeys(answer["texts"] for answer in named if answer["texts"] is not None))
    typical = lengths[len(lengths) // 2] if lengths else None  # of three, the middle one
    budgets = sorted({answer["budget"] for answer in named})
    if not budgets:
        return []
    bulk = ("throughput", budgets[0])
    wanted = [bulk, ("throughput", budgets[-1]), ("latency", budgets[0]), ("size", budgets[-1])]
    chosen = [(use, budget, named) for use, budget in wanted]
    if on_gpu:  # in the place of the one that loses quality on the processor
        chosen[1] = (*bulk, on_gpu)
    found = [
        lead(answer, facts, where)
        for use, budget, answers in chosen
        for answer in answers
        if (answer["use"], answer["budget"]) == (use, budget) and answer["texts"] in (typical, None)
    ]
    return list(dict.fromkeys(found))


def lead(answer: Answer, facts: Mapping[str, Any], where: str) -> Lead:
    """One answer as a line of the card."""
    value = f"{short(answer['value'])} {answer['unit']}"
    ratio = answer["to_torch"]
    than = "smaller than" if answer["use"] == "size" else "as fast as"
    figure = value if ratio is None else f"{value}, {ratio['median']:.2f}× {than} torch"
    loss = f"{lost(answer)} of quality lost" if answer["loss"] else "nothing lost"
    beware = f"; {answer['warning']}" if answer["warning"] else ""
    code = lines_to_run(answer, where, str(answer["file"]), facts).splitlines()[-1].removeprefix("model = ")
    texts = f", {answer['texts']}" if answer["texts"] else ""
    on_gpu = " on a GPU" if answer["device"] == "cuda" else ""
    return Lead(f"{USES[answer['use']]}{on_gpu}{texts}", str(answer["variant"]), f"{figure}; {loss}{beware}", code)
