"""The first tab: a model, its variants, own texts, thresholds; and params.yaml, into which they are written."""

from pathlib import Path
from typing import Any

import gradio as gr

from foundry.base.errors import FoundryError
from foundry.params.schema import Params
from foundry.ui import budget_rows, choosing, editing, estimates, jobs, limits, markup, upload_reading, uploads
from foundry.ui.choosing import SLIDERS
from foundry.ui.context import QUICK, READING, SLOW, Context, Refreshing, answered, shown_or_empty
from foundry.ui.looking import Look
from foundry.ui.workspaces import Workspace

SAMPLE, HUB, LOCAL = "The sample: all-MiniLM-L6-v2", "A model on the Hub", "A folder of this machine"


def build(context: Context) -> Refreshing:
    """Make the tab; give what the opening of the page calls."""
    message = gr.HTML(elem_id="choose-message")
    models = gr.HTML(elem_id="models")
    with gr.Group():
        gr.Markdown("### 1. A model")
        with gr.Row():
            where = gr.Radio(
                [SAMPLE, HUB] + ([] if context.shared else [LOCAL]), value=SAMPLE, label="Where it comes from",
                elem_id="where",
            )  # fmt: skip
            source = gr.Textbox(label="org/name, or a folder", placeholder="org/name", elem_id="source")
            revision = gr.Textbox(label="Branch, tag or commit (main by default)", elem_id="revision")
        look = gr.Button("Look at it", elem_id="look")
        seen = gr.HTML(elem_id="seen")
    with gr.Group():
        gr.Markdown("### 2. Its variants")
        variants = gr.CheckboxGroup(label="What to build of it", elem_id="variants")
        cost = gr.HTML(elem_id="cost")
        weights = gr.Number(value=estimates.BASE_MB, visible=False)
        with gr.Row():
            name = gr.Textbox(label="What it is called here: letters, digits, - and _", elem_id="name")
            add = gr.Button("Add it to the project", variant="primary", elem_id="add")
    with gr.Accordion("Own texts", open=False):
        gr.Markdown(
            "Variants are calibrated and checked on texts. Bring your own: CSV or JSON Lines with a column of texts, "
            f"or plain text with one a line; up to {limits.UPLOAD_BYTES // 1_000_000} MB."
        )
        upload = gr.File(label="A file of texts", file_types=list(upload_reading.ENDINGS), elem_id="upload")
        column = gr.Dropdown(label="The column with the texts", allow_custom_value=True, value="text", elem_id="column")
        preview = gr.HTML(elem_id="preview")
        with gr.Row():
            texts_name = gr.Textbox(label="What these texts are called", elem_id="texts-name")
            use = gr.Button("Use these texts", elem_id="use-texts")
    with gr.Accordion("Thresholds: what a variant must hold to pass", open=False):
        family = gr.Dropdown(
            list(choosing.FAMILIES), value="int8_dynamic", label="Of which variants", filterable=False, elem_id="family"
        )
        explained = gr.HTML()
        sliders = [
            gr.Slider(low, high, step=step, label=f"{key}: {meaning}", elem_id=f"slider-{key}")
            for key, (low, high, step, meaning) in SLIDERS.items()
        ]
        save = gr.Button("Save these thresholds", elem_id="save-thresholds")
    budget = budget_rows.build(context.shared)
    with gr.Accordion("params.yaml, and models to remove", open=False):
        params_text = gr.Code(language="yaml", label="params.yaml", interactive=False, max_lines=24, elem_id="params")
        with gr.Row():
            model = gr.Dropdown(label="A model", filterable=False, elem_id="remove-model")
            remove = gr.Button("Remove it from the project", variant="stop", elem_id="remove")

    refreshed = [models, variants, cost, params_text, model, explained, *sliders]

    def refresh(workspace: Workspace, of: str = "int8_dynamic", weights_mb: float = estimates.BASE_MB) -> list[Any]:
        params = editing.read(workspace)
        return [
            models_html(workspace, params),
            gr.CheckboxGroup(choices=choosing.choices(params, weights_mb), value=params.variant_names),
            cost_html(params, params.variant_names, weights_mb),
            editing.shown(workspace),
            gr.Dropdown(choices=list(params.models), value=next(iter(params.models))),
            markup.facts([(of, choosing.FAMILIES[of])]),
            *choosing.threshold_values(params, of),
        ]

    def on_load(request: gr.Request) -> Any:
        return shown_or_empty(context, request, refresh, [gr.skip()] * len(refreshed))

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

        return answered(context, request, 5, action)

    def on_variants(names: list[str], mb: float, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            params = editing.read(workspace)
            return "", cost_html(params, editing.require_variants(params, names), choosing.weights(mb))

        return answered(context, request, 1, action)

    def on_add(kind: str, text: str, at: str, named: str, names: list[str], of: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            origin = editing.SAMPLE if kind == SAMPLE else text
            said = choosing.add(workspace, named, origin, "" if kind == SAMPLE else at, names)
            return (markup.message(f"{said}. Go on with “Watch”."), *refresh(workspace, choosing.family(of)))

        return answered(context, request, len(refreshed), action)

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

        return answered(context, request, 3, action)

    def on_use(path: str | None, named: str, wanted: str, of: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            if path is None:
                raise FoundryError("there is no file yet: choose one above")
            read = uploads.keep(workspace, Path(path), named, wanted)
            Path(path).unlink(missing_ok=True)
            said = f"{read.number:,} texts are a source now, for calibration and validation; the next run uses them"
            return (markup.message(said), None, "", *refresh(workspace, choosing.family(of)))

        return answered(context, request, 2 + len(refreshed), action)

    def on_family(of: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            params, known = editing.read(workspace), choosing.family(of)
            meaning = markup.facts([(known, choosing.FAMILIES[known])])
            return "", meaning, *choosing.threshold_values(params, known)

        return answered(context, request, 1 + len(sliders), action)

    def on_save(of: str, *values: Any) -> Any:
        *numbers, request = values

        def action(workspace: Workspace) -> Any:
            choosing.save_thresholds(workspace, of, numbers)
            said = f"the thresholds of {choosing.family(of)} are saved; the next run judges by them"
            return (markup.message(said), *refresh(workspace, choosing.family(of)))

        return answered(context, request, len(refreshed), action)

    def on_save_4(of: str, a: float, b: float, c: float, d: float, request: gr.Request) -> Any:
        return on_save(of, a, b, c, d, request)

    def on_budget(
        kind: str, ending: str, mean: float, lowest: float, minutes: float, of: str, request: gr.Request
    ) -> Any:
        def action(workspace: Workspace) -> Any:
            said = budget_rows.adding(kind, ending, mean, lowest, minutes)(workspace)
            return (markup.message(said), *refresh(workspace, choosing.family(of)))

        return answered(context, request, len(refreshed), action)

    def on_remove(named: str, of: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            editing.remove_model(workspace, named)
            said = f"{named} is out of params.yaml; `foundry prune` removes what was built of it"
            return (markup.message(said), *refresh(workspace, choosing.family(of)))

        return answered(context, request, len(refreshed), action)

    look.click(on_look, [where, source, revision], [message, seen, variants, cost, weights, name], **SLOW)
    variants.input(on_variants, [variants, weights], [message, cost], **QUICK)
    add.click(on_add, [where, source, revision, name, variants, family], [message, *refreshed], **SLOW)
    upload.change(on_upload, [upload, column], [message, preview, column, texts_name], **READING)
    column.input(on_upload, [upload, column], [message, preview, column, texts_name], **READING)
    use.click(on_use, [upload, texts_name, column, family], [message, upload, preview, *refreshed], **READING)
    family.input(on_family, [family], [message, explained, *sliders], **QUICK)
    save.click(on_save_4, [family, *sliders], [message, *refreshed], **SLOW)
    budget.add.click(on_budget, [*budget.inputs, family], [message, *refreshed], **SLOW)
    remove.click(on_remove, [model, family], [message, *refreshed], **SLOW)
    return on_load, [], refreshed


def models_html(workspace: Workspace, params: Params) -> str:
    """The models of the project, and what there is of each."""
    published = workspace.root / "artifacts/hub"
    rows = []
    for name, row in params.models.items():
        origin = ", ".join(str(value) for value in row.source.model_dump(exclude_none=True).values())
        built = "published" if (published / name).is_dir() else "not built yet"
        rows.append([f"<b>{markup.escaped(name)}</b>", markup.escaped(origin), markup.escaped(built)])
    runs = " Something runs now." if jobs.is_running(workspace) else ""
    return markup.table(f"The models of this project.{runs}", ["model", "source", ""], rows)


def look_html(found: Look) -> str:
    """What a model is, and what it cannot have."""
    rows = [
        ("source", found["source"]), ("revision", found["revision"] or "as it is here"), ("licence", found["licence"]),
        ("kind", found["kind"]), ("architecture", found["architecture"]),
        ("longest text", f"{found['max_seq_length']} tokens" if found["max_seq_length"] else "no limit"),
        ("to download", f"{found['download_mb']:,.1f} MB, of which weights {found['weights_mb']:,.1f} MB"),
    ]  # fmt: skip
    parts = [markup.facts(rows)]
    if found["refused"]:
        parts.append(markup.message(f"This model cannot be built: {found['refused']}", "bad"))
    if found["runs_code"]:
        parts.append(markup.message("It runs Python files of its own: read them, and add it on the command line with "
                                    "--trust-remote-code. The page does not", "bad"))  # fmt: skip
    skipped = [[markup.escaped(name), markup.escaped(why)] for name, why in found["skipped"].items()]
    if skipped:
        parts.append(markup.table("What will be skipped", ["variant", "why"], skipped))
    elif not found["refused"]:
        parts.append("<p>Every variant can be built of such a model, as far as is known.</p>")
    return "".join(parts)


def cost_html(params: Params, names: list[str], weights_mb: float) -> str:
    """What the chosen variants take."""
    total = estimates.total_cost(params, names, weights_mb)
    return markup.facts(
        [
            ("time", f"{estimates.duration(total.seconds)} on two cores, an estimate"),
            ("disk", f"up to {max(total.disk_mb, 1):,.0f} MB"),
            ("memory", f"up to {total.memory_mb:,.0f} MB"),
        ]
    )


def preview_html(read: upload_reading.Preview) -> str:
    """The first texts of a file."""
    rows = [[str(number), markup.escaped(text)] for number, text in enumerate(read.texts, 1)]
    return markup.table(f"The first texts of the column {read.column}", ["", "text"], rows)
