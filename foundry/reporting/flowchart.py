"""The recommendations as a Mermaid flowchart."""

from collections.abc import Sequence

from foundry.reporting.recommendation import Answer, budget_label


def flowchart(answers: Sequence[Answer]) -> str:
    """The answers as a Mermaid flowchart: from the use, over the length of texts and the budget, to the variant.

    A question whose answers all lead to the same place is not asked.
    """
    lines = ["flowchart LR", '    start{"What counts?"}']
    questions = {
        "latency": "one text at a time",
        "requests": "requests at a load",
        "throughput": "many texts a second",
        "size": "the smallest file",
    }
    leaves: dict[str, str] = {}
    for use, label in questions.items():
        choices: dict[str, tuple[tuple[float, str], ...]] = {}
        for group in dict.fromkeys(answer["texts"] for answer in answers if answer["use"] == use):
            choices[group or ""] = tuple(
                (answer["budget"], _leaf(answer, leaves))
                for answer in answers
                if answer["use"] == use and answer["texts"] == group
            )
        groups_of: dict[tuple[tuple[float, str], ...], list[str]] = {}
        for group, choice in choices.items():
            groups_of.setdefault(choice, []).append(group)
        arrow = f'start -->|"{label}"| '
        if len(groups_of) > 1:
            lines.append(f'    {arrow}{use}{{"Which texts?"}}')
        for number, (choice, groups) in enumerate(groups_of.items()):
            source = f'{use} -->|"{", ".join(groups)}"| ' if len(groups_of) > 1 else arrow
            lines += _by_budget(f"{use}_{number}", source, choice)
    nodes = [f'    {name}(["{text}"])' for text, name in leaves.items()]
    return "\n".join([*lines, *nodes])


def _leaf(answer: Answer, leaves: dict[str, str]) -> str:
    """The name of the node that names the variant, one for each variant."""
    if answer["withheld"]:
        text = answer["withheld"]
    elif answer["variant"] is None:
        text = "nothing passed within this budget"
    else:
        text = answer["variant"] + ("<br/>changes with the batch" if answer["warning"] else "")
    return leaves.setdefault(text, f"leaf{len(leaves)}")


def _by_budget(name: str, source: str, choice: tuple[tuple[float, str], ...]) -> list[str]:
    """The lines from `source` to the variant of each budget, over the question of the budget where it decides."""
    targets: dict[str, list[str]] = {}
    for budget, leaf in choice:
        targets.setdefault(leaf, []).append(budget_label(budget))
    if len(targets) == 1:
        return [f"    {source}{next(iter(targets))}"]
    arrows = [f'    {name} -->|"{" or ".join(labels)}"| {leaf}' for leaf, labels in targets.items()]
    return [f'    {source}{name}{{"Quality that may be lost?"}}', *arrows]
