"""What the tabs of the page share: whose workspace a request is for, and how any error becomes one line on the page."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gradio as gr

from foundry.base import failing
from foundry.base.credentials import hidden
from foundry.base.errors import FoundryError
from foundry.params.schema import Params
from foundry.ui import limits, markup
from foundry.ui.workspaces import Workspace

# What the opening of the page calls: a function, its inputs, and what it refreshes.
Refreshing = tuple[Callable[..., Any], list[Any], list[Any]]


# How Gradio answers clicks of a kind, so many at once: by no name that others could call.
QUICK: dict[str, Any] = {
    "api_visibility": "private", "show_progress": "hidden", "concurrency_limit": limits.CONCURRENT_QUICK,
}  # fmt: skip
SLOW: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": limits.CONCURRENT_SLOW}
READING: dict[str, Any] = {
    "api_visibility": "private", "concurrency_limit": limits.CONCURRENT_READING, "concurrency_id": "reading",
}  # fmt: skip
# What follows a choice: Gradio would drop a second one that is made before the first is answered.
LATEST: dict[str, Any] = {"trigger_mode": "always_last"}
WITH_MODELS: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": limits.CONCURRENT_MODELS}


class Context(NamedTuple):
    """How a tab gets at the project."""

    workspace_of: Callable[[gr.Request], Workspace]  # raises a FoundryError where nobody is logged in
    shared: bool


def answered(context: Context, request: gr.Request, outputs: int, action: Callable[[Workspace], Any]) -> Any:
    """What a click gives: a message, and then the values of `outputs` components, unchanged where there was an error.

    Args:
        action: Is given the workspace of who asked, and gives the message and the values.
    """
    try:
        return action(context.workspace_of(request))
    except FoundryError as error:
        text = str(error)
    except Exception as error:  # noqa: BLE001  # the top of what a click calls: nothing else would report it
        text = failing.explain(error)
    return (markup.message(hidden(text)[: limits.MESSAGE_CHARACTERS], "bad"), *(gr.skip() for _ in range(outputs)))


def dropdown(choices: Sequence[Any], chosen: Any, proposed: Any) -> Any:
    """What a dropdown offers; what is chosen in it stays while it is offered, also where it was chosen meanwhile.

    Args:
        choices: The values, or pairs of what is shown and the value.
        proposed: What is chosen where `chosen` is not offered.
    """
    values = [choice[1] if isinstance(choice, tuple) else choice for choice in choices]
    return gr.Dropdown(choices=choices) if chosen in values else gr.Dropdown(choices=choices, value=proposed)


def known_model(params: Params, chosen: Any) -> str | None:
    """The chosen model; None where params.yaml has none of that name, or the browser sent something else."""
    return chosen if isinstance(chosen, str) and chosen in params.models else None


def shown_or_empty(context: Context, request: gr.Request, action: Callable[[Workspace], Any], empty: Any) -> Any:
    """What is shown when the page is opened; `empty` where nobody is logged in, or what is there cannot be read.

    `empty` may be a function of the line that says why.
    """
    try:
        return action(context.workspace_of(request))
    except (FoundryError, OSError) as error:
        return empty(hidden(str(error))[: limits.MESSAGE_CHARACTERS]) if callable(empty) else empty
