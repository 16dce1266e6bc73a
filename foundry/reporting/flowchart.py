"""The recommendations as a Mermaid flowchart."""

from collections.abc import Sequence

from foundry.reporting.recommendation import Answer, budget_label
from foundry.variants.precisions import Device

DEVICES: dict[Device, str] = {"cpu": "a processor", "cuda": "an NVIDIA GPU"}


def flowchart(answers: Sequence[Answer]) -> str:
    """The answers as a Mermaid flowchart: from the device, over the use, the length of texts and the budget, to the
    variant.

    A question whose answers all lead to the same place is not asked.
    """
    devices = [device for device in DEVICES if any(answer["device"] == device for answer in answers)]
    leaves: dict[str, str] = {}
    lines = ["flowchart LR"]
    if len(devices) > 1:
        lines.append('    where{"What runs it?"}')
        for device in devices:
            name = f"{device}_"
            lines.append(f'    where -->|"{DEVICES[device]}"| {name}start{{"What counts?"}}')
            lines += _on_device([answer for answer in answers if answer["device"] == device], name, leaves)
    else:
        lines += ['    start{"What counts?"}', *_on_device(answers, "", leaves)]
    nodes = [f'    {name}(["{text}"])' for text, name in leaves.items()]
    return "\n".join([*lines, *nodes])


def _on_device(answers: Sequence[Answer], prefix: str, leaves: dict[str, str]) -> list[str]:
    """The lines below the question of the use; the names of their nodes begin with the prefix."""
    lines = []
    questions = {
        "latency": "one text at a time",
        "requests": "requests at a load",
        "throughput": "many texts a second",
        "size": "the smallest file",
    }
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
        arrow = f'{prefix}start -->|"{label}"| '
        if len(groups_of) > 1:
            lines.append(f'    {arrow}{prefix}{use}{{"Which texts?"}}')
        for number, (choice, groups) in enumerate(groups_of.items()):
            source = f'{prefix}{use} -->|"{", ".join(groups)}"| ' if len(groups_of) > 1 else arrow
            lines += _by_budget(f"{prefix}{use}_{number}", source, choice)
    return lines


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
