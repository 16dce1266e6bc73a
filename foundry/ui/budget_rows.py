"""The part of the first tab that adds a variant within a budget."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr

from foundry.ui import budgets, limits
from foundry.ui.budgets import KINDS, MEASURES, MINUTES
from foundry.ui.workspaces import Workspace


class Controls(NamedTuple):
    """What a person sets, and the button."""

    inputs: list[Any]
    add: gr.Button


def build(shared: bool) -> Controls:
    """Make the controls."""
    with gr.Accordion("Int8 within a budget", open=False):
        gr.Markdown(
            "A search finds the fastest static int8 graph that stays so close to the original, with parts of it in "
            "floating point where that is needed. It takes its minutes at the next build."
        )
        with gr.Row():
            kind = gr.Dropdown(
                list(KINDS), value=next(iter(KINDS)), label="What runs it", filterable=False, elem_id="budget-kind"
            )
            ending = gr.Textbox(value="999", label="How its name ends", elem_id="budget-ending")
        sliders = [
            gr.Slider(low, high, value=proposed, step=0.001, label=f"{key}: {meaning}", elem_id=f"budget-{key}")
            for key, (low, high, proposed, meaning) in MEASURES.items()
        ]
        least, most, proposed = MINUTES
        most = min(most, limits.SHARED_SEARCH_MINUTES) if shared else most
        minutes = gr.Slider(
            least, most, value=min(proposed, most), step=1, label="Minutes that the search may take",
            elem_id="budget-minutes",
        )  # fmt: skip
        add = gr.Button("Add this variant", elem_id="add-budget")
    return Controls([kind, ending, *sliders, minutes], add)


def adding(kind: Any, ending: Any, mean: Any, lowest: Any, minutes: Any) -> Callable[[Workspace], str]:
    """What adds the variant that the controls describe to a workspace, and gives what is said of it."""

    def action(workspace: Workspace) -> str:
        name = budgets.add(workspace, kind, ending, dict(zip(MEASURES, (mean, lowest), strict=True)), minutes)
        return f"{name} is added, for every model; the next build searches for it"

    return action
