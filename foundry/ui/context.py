"""What the tabs of the page share: whose workspace a request is for, and how any error becomes one line on the page."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr

from foundry.base import failing
from foundry.base.credentials import hidden
from foundry.base.errors import FoundryError
from foundry.ui import markup
from foundry.ui.workspaces import Workspace

# What the opening of the page, or of a tab, calls: a function, its inputs, and what it refreshes.
Refreshing = tuple[Callable[..., Any], list[Any], list[Any]]


LONGEST_MESSAGE = 2000  # characters: an error may quote what a user sent


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
    return (markup.message(hidden(text)[:LONGEST_MESSAGE], "bad"), *(gr.skip() for _ in range(outputs)))


def shown_or_empty(context: Context, request: gr.Request, action: Callable[[Workspace], Any], empty: Any) -> Any:
    """What is shown when the page is opened; `empty` where nobody is logged in, or what is there cannot be read."""
    try:
        return action(context.workspace_of(request))
    except (FoundryError, OSError):
        return empty
