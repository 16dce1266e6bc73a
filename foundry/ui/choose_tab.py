"""The first tab: a model, its variants, own texts, thresholds; and params.yaml, into which they are written.

Each `connect_…` says what the clicks of one part do.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from foundry.base.errors import FoundryError
from foundry.ui import budget_rows, choosing, editing, estimates, markup, upload_reading, uploads
from foundry.ui import choose_controls as controls
from foundry.ui.choose_controls import FAMILY, SAMPLE, Kept, Tab, changed, family_shown, refresh
from foundry.ui.choose_html import cost_html, look_html, preview_html
from foundry.ui.context import LATEST, QUICK, READING, SLOW, Context, Refreshing, answered, shown_or_empty
from foundry.ui.workspaces import Workspace

# What a look found, and the name that was proposed, are of another model once its source is changed.
FORGETTING = "(name, proposed) => ['', name === proposed ? '' : name]"


def build(context: Context, opened: gr.Tab) -> Refreshing:
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

    shown = [tab.message, tab.variants.weights, *tab.refreshed, *tab.thresholds.shown]

    def at_first(workspace: Workspace) -> list[Any]:
        return [estimates.BASE_MB, *refresh(workspace, Kept()), *family_shown(workspace, FAMILY)]

    def on_load(request: gr.Request) -> Any:
        return answered(context, request, len(shown) - 1, lambda workspace: ["", *at_first(workspace)])

    def on_mend(request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            keys = ", ".join(editing.remove_unknown(workspace))
            return [markup.message(f"{keys}: taken out of params.yaml"), *at_first(workspace)]

        return answered(context, request, len(shown) - 1, action)

    def on_open(names: list[str], mb: float | None, named: str | None, request: gr.Request) -> Any:
        if mb is None:  # the page is being opened, or could show nothing when it was
            return on_load(request)
        set_here = [gr.skip()] * len(tab.thresholds.shown)
        return shown_or_empty(
            context, request,
            lambda workspace: [gr.skip(), gr.skip(), *refresh(workspace, Kept(names, mb, named)), *set_here],
            [gr.skip()] * len(shown),
        )  # fmt: skip

    tab.project.mend.click(on_mend, [], shown, **SLOW)
    opened.select(on_open, tab.kept, shown, **QUICK)
    return on_load, [], shown


def connect_model(tab: Tab) -> None:
    """A look at a model says what it is, and which variants it can have."""

    def on_look(kind: str, text: str, at: str, named: str, proposed: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            found = choosing.look(workspace, *asked_model(kind, text, at))
            params = editing.read(workspace)
            possible = [name for name in params.variant_names if name not in found["skipped"]]
            mb = found["weights_mb"] or estimates.BASE_MB
            name = choosing.name_for(found["source"])
            is_typed = named.strip() and named != proposed
            return (
                markup.message(f"{found['source']}: nothing but its settings was read", "note"), look_html(found),
                gr.CheckboxGroup(choices=choosing.choices(params, mb), value=possible), cost_html(params, possible, mb),
                mb, gr.skip() if is_typed else name, name,
            )  # fmt: skip

        return answered(tab.context, request, 6, action)

    chosen = tab.variants
    names = [chosen.name, chosen.proposed]
    shown = [tab.message, tab.model.seen, chosen.variants, chosen.cost, chosen.weights, *names]
    asked = [tab.model.where, tab.model.source, tab.model.revision]
    tab.model.look.click(on_look, [*asked, *names], shown, **SLOW)
    gr.on([control.change for control in asked], None, names, [tab.model.seen, chosen.name], js=FORGETTING,
          api_visibility="private")  # fmt: skip


def asked_model(kind: str, text: str, at: str) -> tuple[str, str]:
    """The source and the revision that are asked for: the sample has none."""
    return (editing.SAMPLE, "") if kind == SAMPLE else (text, at)


def connect_variants(tab: Tab) -> None:
    """A choice of variants says what they take, and the button adds the model with them."""

    def on_variants(names: list[str], mb: float, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            params = editing.read(workspace)
            return "", cost_html(params, editing.require_variants(params, names), choosing.weights(mb))

        return answered(tab.context, request, 1, action)

    def on_add(
        kind: str,
        text: str,
        at: str,
        named: str,
        names: list[str],
        mb: float,
        removing: str | None,
        request: gr.Request,
    ) -> Any:
        def change(workspace: Workspace) -> str:
            said = choosing.add(workspace, named, *asked_model(kind, text, at), names)
            return f"{said}. Go on with “Watch”."

        return changed(tab, request, Kept(names, mb, removing), change)

    model, chosen = tab.model, tab.variants
    chosen.variants.input(on_variants, [chosen.variants, chosen.weights], [tab.message, chosen.cost], **QUICK, **LATEST)
    asked = [model.where, model.source, model.revision, chosen.name, *tab.kept]
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

    def on_column(path: str | None, wanted: str, request: gr.Request) -> Any:
        return on_upload(path, wanted, request)[:-1]  # the name that somebody typed stays

    def on_use(
        path: str | None,
        named: str,
        wanted: str,
        names: list[str],
        mb: float,
        removing: str | None,
        request: gr.Request,
    ) -> Any:
        def change(workspace: Workspace) -> str:
            if path is None:
                raise FoundryError("there is no file yet: choose one above")
            read = uploads.keep(workspace, Path(path), named, wanted)
            Path(path).unlink(missing_ok=True)
            return f"{read.number:,} texts are a source now, for calibration and validation; the next run uses them"

        return changed(tab, request, Kept(names, mb, removing), change, more=(None, ""))

    texts = tab.texts
    shown = [tab.message, texts.preview, texts.column, texts.name]
    texts.upload.change(on_upload, [texts.upload, texts.column], shown, **READING)
    texts.upload.clear(lambda: "", None, [tab.message], **QUICK)  # what was wrong with it is gone
    texts.column.input(on_column, [texts.upload, texts.column], shown[:-1], **READING, **LATEST)
    asked = [texts.upload, texts.name, texts.column, *tab.kept]
    texts.use.click(on_use, asked, [tab.message, texts.upload, texts.preview, *tab.refreshed], **READING)


def connect_thresholds(tab: Tab) -> None:
    """A family shows its thresholds, and the button saves them."""
    thresholds = tab.thresholds

    def on_family(of: str, request: gr.Request) -> Any:
        return answered(
            tab.context, request, len(thresholds.shown), lambda workspace: (gr.skip(), *family_shown(workspace, of))
        )

    def on_save(
        of: str, shown: str, a: float, b: float, c: float, d: float, names: list[str], mb: float, removing: str | None,
        request: gr.Request,
    ) -> Any:  # fmt: skip
        def change(workspace: Workspace) -> str:
            if of != shown:
                raise FoundryError(
                    f"nothing is saved: these are still the thresholds of {shown}; wait for those of {of}"
                )
            choosing.save_thresholds(workspace, of, [a, b, c, d])
            return f"the thresholds of {choosing.family(of)} are saved; the next run judges by them"

        return changed(tab, request, Kept(names, mb, removing), change)

    thresholds.family.input(on_family, [thresholds.family], [tab.message, *thresholds.shown], **QUICK, **LATEST)
    asked = [thresholds.family, thresholds.shown_family, *thresholds.sliders, *tab.kept]
    thresholds.save.click(on_save, asked, [tab.message, *tab.refreshed], **SLOW)


def connect_budget(tab: Tab) -> None:
    """The button adds a variant within a budget."""

    def on_budget(
        kind: str, ending: str, mean: float, lowest: float, minutes: float, names: list[str], mb: float,
        removing: str | None, request: gr.Request,
    ) -> Any:  # fmt: skip
        return changed(tab, request, Kept(names, mb, removing), budget_rows.adding(kind, ending, mean, lowest, minutes))

    asked = [*tab.budget.inputs, *tab.kept]
    tab.budget.add.click(on_budget, asked, [tab.message, *tab.refreshed], **SLOW)


def connect_project(tab: Tab) -> None:
    """The button takes a model out of the project."""

    def on_remove(names: list[str], mb: float, named: str | None, request: gr.Request) -> Any:
        def change(workspace: Workspace) -> str:
            if named is None:
                raise FoundryError("choose a model that is to be removed")
            editing.remove_model(workspace, named)
            return f"{named} is out of params.yaml; `foundry prune` removes what was built of it"

        return changed(tab, request, Kept(names, mb, named), change)

    tab.project.remove.click(on_remove, tab.kept, [tab.message, *tab.refreshed], **SLOW)
