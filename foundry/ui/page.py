"""The page: four tabs over one project."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from foundry.ui import choose_tab, decide_tab, limits, publish_tab, sessions, watch_tab
from foundry.ui.context import QUICK, Context
from foundry.ui.login_page import LOG_IN
from foundry.ui.workspaces import Workspace

TABS = {
    "Choose": choose_tab.build, "Watch": watch_tab.build, "Decide": decide_tab.build, "Publish": publish_tab.build,
}  # fmt: skip
STYLE = Path(__file__).parent / "style.css"
TITLE = "Embedding Foundry"
INTRODUCTION = (
    "# Embedding Foundry\n"
    "One Sentence Transformers checkpoint in; every deployable form of it out, each one checked against the original."
)


def theme() -> gr.themes.Base:
    """Fonts of the machine that shows the page: none is loaded from anywhere."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def login_button() -> gr.LoginButton:
    """The button to log in and out, which has no picture, because no file is answered, and knows who is logged in."""
    button = gr.LoginButton(LOG_IN, icon=None, elem_id="login", render=False)

    def label(request: gr.Request) -> Any:
        name = sessions.name_in(sessions.session_of(request))
        return gr.update(value=button.logout_value.format(name) if name else LOG_IN)

    button._check_login_status = label  # which `activate` calls when the page is opened; Gradio's own fails on lists
    return button


def build(workspace_of: Callable[[gr.Request], Workspace], shared: bool, login: bool) -> gr.Blocks:
    """The page, which knows no user: each request is answered from the workspace of who asked.

    Args:
        shared: Whether others use it, too.
        login: Whether it has a button to log in to the Hub.
    """
    context = Context(workspace_of, shared)
    button = login_button()
    kept = limits.UPLOAD_ROUND_SECONDS, limits.UPLOAD_KEPT_SECONDS
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=False, delete_cache=kept) as blocks:
        gr.Markdown(INTRODUCTION)
        if login:
            button.render()
            button.activate()
        with gr.Tabs(elem_id="tabs"):
            for name, build_tab in TABS.items():
                with gr.Tab(name, id=name.lower()) as tab:
                    function, inputs, refreshed = build_tab(context, tab)
                blocks.load(function, inputs, refreshed, **QUICK)
    return blocks
