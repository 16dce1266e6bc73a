"""What a person sets in the first tab, part by part, and what of it shows the project; what is set stays as it is."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gradio as gr

from foundry.ui import budget_rows, choosing, editing, estimates, limits, markup, upload_reading
from foundry.ui.choose_html import cost_html, models_html
from foundry.ui.choosing import SLIDERS
from foundry.ui.context import Context, answered, dropdown
from foundry.ui.workspaces import Workspace

SAMPLE, HUB, LOCAL = "The sample: all-MiniLM-L6-v2", "A model on the Hub", "A folder of this machine"
FAMILY = "int8_dynamic"  # whose thresholds are shown first


class ModelControls(NamedTuple):
    """Where a model comes from, and what a look at it found."""

    where: gr.Radio
    source: gr.Textbox
    revision: gr.Textbox
    look: gr.Button
    seen: gr.HTML


class VariantControls(NamedTuple):
    """What is built of the model, what that takes, and what it is called."""

    variants: gr.CheckboxGroup
    cost: gr.HTML
    weights: gr.Number  # MB of the model that was looked at; None until the page has shown the project
    name: gr.Textbox
    proposed: gr.Textbox  # the name that was proposed for that model
    add: gr.Button


class TextControls(NamedTuple):
    """A file of texts."""

    upload: gr.File
    column: gr.Dropdown
    preview: gr.HTML
    name: gr.Textbox
    use: gr.Button


class ThresholdControls(NamedTuple):
    """What a family of variants must hold."""

    family: gr.Dropdown
    shown_family: gr.Textbox  # whose thresholds the sliders show: the answer to a choice may not be there yet
    explained: gr.HTML
    sliders: list[Any]
    save: gr.Button

    @property
    def shown(self) -> list[Any]:
        """What shows a family."""
        return [self.shown_family, self.explained, *self.sliders]


class ProjectControls(NamedTuple):
    """params.yaml, and a model to remove."""

    params: gr.Code
    model: gr.Dropdown
    remove: gr.Button
    mend: gr.Button


def model_controls(shared: bool) -> ModelControls:
    """Where a model comes from: on a shared host, no folder of the machine."""
    with gr.Group():
        gr.Markdown("### 1. A model")
        with gr.Row():
            where = gr.Radio(
                [SAMPLE, HUB] + ([] if shared else [LOCAL]), value=SAMPLE, label="Where it comes from", elem_id="where"
            )
            source = gr.Textbox(label="org/name, or a folder", placeholder="org/name", elem_id="source")
            revision = gr.Textbox(label="Branch, tag or commit (main by default)", elem_id="revision")
        look = gr.Button("Look at it", elem_id="look")
        seen = gr.HTML(elem_id="seen")
    return ModelControls(where, source, revision, look, seen)


def variant_controls() -> VariantControls:
    """The variants to build, and the button that adds the model."""
    with gr.Group():
        gr.Markdown("### 2. Its variants")
        variants = gr.CheckboxGroup(label="What to build of it", elem_id="variants")
        cost = gr.HTML(elem_id="cost")
        weights = gr.Number(visible=False)
        with gr.Row():
            name = gr.Textbox(label="What it is called here: letters, digits, - and _", elem_id="name")
            proposed = gr.Textbox(visible=False)
            add = gr.Button("Add it to the project", variant="primary", elem_id="add")
    return VariantControls(variants, cost, weights, name, proposed, add)


def text_controls() -> TextControls:
    """The upload of own texts, with the first of them."""
    with gr.Accordion("Own texts", open=False):
        gr.Markdown(
            "Variants are calibrated and checked on texts. Bring your own: CSV or JSON Lines with a column of texts, "
            f"or plain text with one a line; up to {limits.UPLOAD_BYTES // 1_000_000} MB."
        )
        upload = gr.File(label="A file of texts", file_types=list(upload_reading.ENDINGS), elem_id="upload")
        column = gr.Dropdown(label="The column with the texts", allow_custom_value=True, value="text", elem_id="column")
        preview = gr.HTML(elem_id="preview")
        with gr.Row():
            name = gr.Textbox(label="What these texts are called", elem_id="texts-name")
            use = gr.Button("Use these texts", elem_id="use-texts")
    return TextControls(upload, column, preview, name, use)


def threshold_controls() -> ThresholdControls:
    """A slider for each threshold of a family of variants."""
    with gr.Accordion("Thresholds: what a variant must hold to pass", open=False):
        family = gr.Dropdown(
            list(choosing.FAMILIES), value=FAMILY, label="Of which variants", filterable=False, elem_id="family"
        )
        shown_family = gr.Textbox(visible=False, value=FAMILY)
        explained = gr.HTML()
        sliders = [
            gr.Slider(low, high, step=step, label=f"{key}: {meaning}", elem_id=f"slider-{key}")
            for key, (low, high, step, meaning) in SLIDERS.items()
        ]
        save = gr.Button("Save these thresholds", elem_id="save-thresholds")
    return ThresholdControls(family, shown_family, explained, sliders, save)


def project_controls() -> ProjectControls:
    """params.yaml as it is, and the buttons that take a model, or what is not known, out of it."""
    with gr.Accordion("params.yaml, and models to remove", open=False):
        params = gr.Code(language="yaml", label="params.yaml", interactive=False, max_lines=24, elem_id="params")
        with gr.Row():
            model = gr.Dropdown(label="A model", filterable=False, elem_id="remove-model")
            remove = gr.Button("Remove it from the project", variant="stop", elem_id="remove")
        mend = gr.Button("Take out keys that this version does not know", elem_id="mend")
    return ProjectControls(params, model, remove, mend)


class Kept(NamedTuple):
    """What a change of the project leaves as it is set."""

    names: list[str] | None = None  # of the variants that are chosen; None: all
    mb: float = estimates.BASE_MB  # of the weights that were looked at
    model: str | None = None  # that is chosen to be removed


class Tab(NamedTuple):
    """The controls of the tab."""

    context: Context
    message: gr.HTML
    models: gr.HTML
    model: ModelControls
    variants: VariantControls
    texts: TextControls
    thresholds: ThresholdControls
    budget: budget_rows.Controls
    project: ProjectControls

    @property
    def refreshed(self) -> list[Any]:
        """What shows the project as it is, in the order of `refresh`.

        The sliders are not among it: what somebody has set and not saved stays, whatever else is clicked.
        """
        return [self.models, self.variants.variants, self.variants.cost, self.project.params, self.project.model]

    @property
    def kept(self) -> list[Any]:
        """What shows the values of `Kept`, in its order."""
        return [self.variants.variants, self.variants.weights, self.project.model]


def refresh(workspace: Workspace, kept: Kept, new: Sequence[str] = ()) -> list[Any]:
    """The project as it is, with `new` variants chosen, too: the values of `Tab.refreshed`.

    No model is proposed to be removed.
    """
    params, mb = editing.read(workspace), choosing.weights(kept.mb)
    chosen = [name for name in params.variant_names if kept.names is None or name in (*kept.names, *new)]
    offered = choosing.choices(params, mb)
    # The choice stays as it is by now, unless a variant is new or has gone: Gradio refuses one that is not offered.
    is_other = kept.names is None or bool(new) or not {*kept.names} <= {*params.variant_names}
    return [
        models_html(workspace, params),
        gr.CheckboxGroup(choices=offered, value=chosen) if is_other else gr.CheckboxGroup(offered),
        cost_html(params, chosen, mb),
        editing.shown(workspace),
        dropdown(list(params.models), kept.model, None),
    ]


def family_shown(workspace: Workspace, of: Any) -> list[Any]:
    """A family of variants and its thresholds: the values of `ThresholdControls.shown`."""
    known = choosing.family(of)
    meaning = markup.facts([(known, choosing.FAMILIES[known])])
    return [known, meaning, *choosing.threshold_values(editing.read(workspace), known)]


def changed(
    tab: Tab, request: gr.Request, kept: Kept, change: Callable[[Workspace], str], more: tuple[Any, ...] = ()
) -> Any:
    """What a click gives that changes the project: what is said of it, and the project as it is then.

    Args:
        kept: What stays as it is set; a variant that is new is chosen, too.
        more: The values of what is shown between the message and the project.
    """

    def action(workspace: Workspace) -> Any:
        before = editing.read(workspace).variant_names
        said = change(workspace)
        new = [name for name in editing.read(workspace).variant_names if name not in before]
        return (markup.message(said), *more, *refresh(workspace, kept, new))

    return answered(tab.context, request, len(more) + len(tab.refreshed), action)
