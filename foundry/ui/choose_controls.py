"""What a person sets in the first tab, part by part."""

from typing import Any, NamedTuple

import gradio as gr

from foundry.ui import choosing, limits, upload_reading
from foundry.ui.choosing import SLIDERS

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
