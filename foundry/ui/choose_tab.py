"""The first tab: a model, its variants, own texts, thresholds; and params.yaml, into which they are written.

Each `connect_…` says what the clicks of one part do.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from foundry.base.errors import FoundryError
from foundry.ui import budget_rows, choosing, editing, estimates, markup, upload_reading, uploads
from foundry.ui import choose_controls as controls
from foundry.ui.choose_controls import FAMILY, SAMPLE
from foundry.ui.choose_html import cost_html, look_html, models_html, preview_html
from foundry.ui.context import QUICK, READING, SLOW, Context, Refreshing, answered, shown_or_empty
from foundry.ui.workspaces import Workspace


class Tab(NamedTuple):
    """The controls of the tab."""

    context: Context
    message: gr.HTML
    models: gr.HTML
    model: controls.ModelControls
    variants: controls.VariantControls
    texts: controls.TextControls
    thresholds: controls.ThresholdControls
    budget: budget_rows.Controls
    project: controls.ProjectControls

    @property
    def refreshed(self) -> list[Any]:
        """What shows the project as it is, in the order of `refresh`.

        The sliders are not among it: what somebody has set and not saved stays, whatever else is clicked.
        """
        return [self.models, self.variants.variants, self.variants.cost, self.project.params, self.project.model]


def build(context: Context) -> Refreshing:
    """Make the tab; give what the opening of the page calls."""
    tab = Tab(
        context=context,
        message=gr.HTML(elem_id="choose-message"),
        models=gr.HTML(elem_id="models"),
        model=controls.model_controls(context.shared),
        variants=controls.variant_controls(),
        texts=controls.text_controls(),
        thresholds=controls.threshold_controls(),
        budget=budget_rows.build(context.shared),
        project=controls.project_controls(),
    )
    connect_model(tab)
    connect_variants(tab)
    connect_texts(tab)
    connect_thresholds(tab)
    connect_budget(tab)
    connect_project(tab)

    shown = [*tab.refreshed, *tab.thresholds.shown]

    def on_load(request: gr.Request) -> Any:
        return shown_or_empty(
            context, request, lambda workspace: [*refresh(workspace), *family_shown(workspace, FAMILY)],
            [gr.skip()] * len(shown),
        )  # fmt: skip

    return on_load, [], shown


def refresh(workspace: Workspace, names: list[str] | None = None, mb: float = estimates.BASE_MB) -> list[Any]:
    """The project as it is, with these variants chosen, or all: the values of `Tab.refreshed`."""
    params = editing.read(workspace)
    chosen = [name for name in params.variant_names if names is None or name in names]
    return [
        models_html(workspace, params),
        gr.CheckboxGroup(choices=choosing.choices(params, choosing.weights(mb)), value=chosen),
        cost_html(params, chosen, choosing.weights(mb)),
        editing.shown(workspace),
        gr.Dropdown(choices=list(params.models), value=next(iter(params.models))),
    ]


def family_shown(workspace: Workspace, of: Any) -> list[Any]:
    """A family of variants and its thresholds: the values of `ThresholdControls.shown`."""
    known = choosing.family(of)
    meaning = markup.facts([(known, choosing.FAMILIES[known])])
    return [meaning, *choosing.threshold_values(editing.read(workspace), known)]


def changed(
    tab: Tab,
    request: gr.Request,
    names: list[str],
    mb: float,
    change: Callable[[Workspace], str],
    more: tuple[Any, ...] = (),
) -> Any:
    """What a click gives that changes the project: what is said of it, and the project as it is then.

    Args:
        names: The variants that are chosen; they stay so, and a variant that is new is chosen, too.
        mb: The megabytes of the weights that were looked at.
        more: The values of what is shown between the message and the project.
    """

    def action(workspace: Workspace) -> Any:
        before = editing.read(workspace).variant_names
        said = change(workspace)
        new = [name for name in editing.read(workspace).variant_names if name not in before]
        return (markup.message(said), *more, *refresh(workspace, [*names, *new], mb))

    return answered(tab.context, request, len(more) + len(tab.refreshed), action)


def connect_model(tab: Tab) -> None:
    """A look at a model says what it is, and which variants it can have."""

    def on_look(kind: str, text: str, at: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            found = choosing.look(workspace, editing.SAMPLE if kind == SAMPLE else text, at)
            params = editing.read(workspace)
            possible = [name for name in params.variant_names if name not in found["skipped"]]
            mb = found["weights_mb"] or estimates.BASE_MB
            return (
                markup.message(f"{found['source']}: nothing but its settings was read", "note"), look_html(found),
                gr.CheckboxGroup(choices=choosing.choices(params, mb), value=possible), cost_html(params, possible, mb),
                mb, choosing.name_for(found["source"]),
            )  # fmt: skip

        return answered(tab.context, request, 5, action)

    shown = [tab.variants.variants, tab.variants.cost, tab.variants.weights, tab.variants.name]
    asked = [tab.model.where, tab.model.source, tab.model.revision]
    tab.model.look.click(on_look, asked, [tab.message, tab.model.seen, *shown], **SLOW)


def connect_variants(tab: Tab) -> None:
    """A choice of variants says what they take, and the button adds the model with them."""

    def on_variants(names: list[str], mb: float, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            params = editing.read(workspace)
            return "", cost_html(params, editing.require_variants(params, names), choosing.weights(mb))

        return answered(tab.context, request, 1, action)

    def on_add(kind: str, text: str, at: str, named: str, names: list[str], mb: float, request: gr.Request) -> Any:
        def change(workspace: Workspace) -> str:
            origin = editing.SAMPLE if kind == SAMPLE else text
            said = choosing.add(workspace, named, origin, "" if kind == SAMPLE else at, names)
            return f"{said}. Go on with “Watch”."

        return changed(tab, request, names, mb, change)

    model, chosen = tab.model, tab.variants
    chosen.variants.input(on_variants, [chosen.variants, chosen.weights], [tab.message, chosen.cost], **QUICK)
    asked = [model.where, model.source, model.revision, chosen.name, *chosen.kept]
    chosen.add.click(on_add, asked, [tab.message, *tab.refreshed], **SLOW)


def connect_texts(tab: Tab) -> None:
    """A file is read and shown, and the button makes it a source of texts."""

    def on_upload(path: str | None, wanted: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            if path is None:
                return gr.skip(), "", gr.skip(), gr.skip()
            file = Path(path)
            names, read = upload_reading.ask(workspace, file, str(wanted or "text"), is_fixed=False)
            said = f"{read.number:,} texts were read, the longest of {read.longest:,} characters"
            return (
                markup.message(said), preview_html(read), gr.Dropdown(choices=names, value=read.column),
                uploads.slug_of(file.name),
            )  # fmt: skip

        return answered(tab.context, request, 3, action)

    def on_use(path: str | None, named: str, wanted: str, names: list[str], mb: float, request: gr.Request) -> Any:
        def change(workspace: Workspace) -> str:
            if path is None:
                raise FoundryError("there is no file yet: choose one above")
            read = uploads.keep(workspace, Path(path), named, wanted)
            Path(path).unlink(missing_ok=True)
            return f"{read.number:,} texts are a source now, for calibration and validation; the next run uses them"

        return changed(tab, request, names, mb, change, more=(None, ""))

    texts = tab.texts
    shown = [tab.message, texts.preview, texts.column, texts.name]
    texts.upload.change(on_upload, [texts.upload, texts.column], shown, **READING)
    texts.column.input(on_upload, [texts.upload, texts.column], shown, **READING)
    asked = [texts.upload, texts.name, texts.column, *tab.variants.kept]
    texts.use.click(on_use, asked, [tab.message, texts.upload, texts.preview, *tab.refreshed], **READING)


def connect_thresholds(tab: Tab) -> None:
    """A family shows its thresholds, and the button saves them."""
    thresholds = tab.thresholds

    def on_family(of: str, request: gr.Request) -> Any:
        return answered(
            tab.context, request, len(thresholds.shown), lambda workspace: ("", *family_shown(workspace, of))
        )

    def on_save(
        of: str, a: float, b: float, c: float, d: float, names: list[str], mb: float, request: gr.Request
    ) -> Any:
        def change(workspace: Workspace) -> str:
            choosing.save_thresholds(workspace, of, [a, b, c, d])
            return f"the thresholds of {choosing.family(of)} are saved; the next run judges by them"

        return changed(tab, request, names, mb, change)

    thresholds.family.input(on_family, [thresholds.family], [tab.message, *thresholds.shown], **QUICK)
    asked = [thresholds.family, *thresholds.sliders, *tab.variants.kept]
    thresholds.save.click(on_save, asked, [tab.message, *tab.refreshed], **SLOW)


def connect_budget(tab: Tab) -> None:
    """The button adds a variant within a budget."""

    def on_budget(
        kind: str, ending: str, mean: float, lowest: float, minutes: float, names: list[str], mb: float,
        request: gr.Request,
    ) -> Any:  # fmt: skip
        return changed(tab, request, names, mb, budget_rows.adding(kind, ending, mean, lowest, minutes))

    asked = [*tab.budget.inputs, *tab.variants.kept]
    tab.budget.add.click(on_budget, asked, [tab.message, *tab.refreshed], **SLOW)


def connect_project(tab: Tab) -> None:
    """The button takes a model out of the project."""

    def on_remove(named: str, names: list[str], mb: float, request: gr.Request) -> Any:
        def change(workspace: Workspace) -> str:
            editing.remove_model(workspace, named)
            return f"{named} is out of params.yaml; `foundry prune` removes what was built of it"

        return changed(tab, request, names, mb, change)

    asked = [tab.project.model, *tab.variants.kept]
    tab.project.remove.click(on_remove, asked, [tab.message, *tab.refreshed], **SLOW)
