"""The last tab: what would change, the card as it will look, and then the pull request."""

from typing import Any

import gradio as gr
from rich import filesize

from foundry.base.errors import FoundryError
from foundry.params.schema import Params
from foundry.ui import card_view, editing, jobs, limits, markup, progress, publishing
from foundry.ui.context import LATEST, QUICK, Context, Refreshing, answered, dropdown, known_model, shown_or_empty
from foundry.ui.jobs import Job
from foundry.ui.publishing import Receipt
from foundry.ui.workspaces import Workspace


def build(context: Context, opened: gr.Tab) -> Refreshing:
    """Make the tab; give what the opening of the page calls."""
    message = gr.HTML(elem_id="publish-message")
    with gr.Row():
        model = gr.Dropdown(label="Model", filterable=False, elem_id="publish-model")
        folder = gr.Button("Publish to a folder", elem_id="to-folder")
    with gr.Row():
        repo = gr.Textbox(label="Repository on the Hub", placeholder="org/name", elem_id="repo")
        private = gr.Checkbox(value=True, label="Private, if it is not there yet", elem_id="private")
    with gr.Row():
        preview = gr.Button("Show what would change", variant="primary", elem_id="preview-hub")
        send = gr.Button("Open the pull request", variant="stop", elem_id="send")
    if context.shared:
        gr.Markdown("The pull request is opened with your own token, and with no other.")
    else:
        gr.Markdown("The pull request is opened with the token of `hf auth login`, or of `HF_TOKEN`.")
    state = gr.HTML(elem_id="publish-state")
    with gr.Accordion("The model card", open=False):
        card = gr.Markdown(elem_id="card", sanitize_html=True)
    # Whose repository is shown: the answer to a choice of another model may not be there yet.
    shown_model = gr.Textbox(visible=False, value="", elem_id="shown-model")
    runs = gr.Checkbox(visible=False, value=False)  # what the page knows of a run
    timer = gr.Timer(limits.PUBLISH_LOOK_SECONDS)
    refreshed = [runs, state, card]
    shown = [message, model, repo, shown_model, *refreshed]

    def refresh(workspace: Workspace, name: str) -> list[Any]:
        job = jobs.latest(workspace)
        return [job is not None and job.running, state_html(workspace, name), card_text(workspace, name)]

    def on_load(named: str | None, ran: bool, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            params = editing.read(workspace)
            known = known_model(params, named)
            name = known or next(iter(params.models))
            values = refresh(workspace, name)
            # What was said of a run goes when it has ended; the repository that somebody typed stays with its model.
            said = "" if ran and not values[0] else gr.skip()
            where = [gr.skip()] * 2 if known else [repository(workspace, params, name), name]
            return [said, dropdown(list(params.models), named, name), *where, *values]

        return shown_or_empty(context, request, action, [gr.skip()] * len(shown))

    def on_model(named: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            name = editing.require_model(workspace, named)
            return "", repository(workspace, editing.read(workspace), name), name, *refresh(workspace, name)

        return answered(context, request, 2 + len(refreshed), action)

    def on_folder(named: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            publishing.to_folder(workspace, named)
            return (markup.message(f"{named} is being published to artifacts/hub/{named}"), *refresh(workspace, named))

        return answered(context, request, len(refreshed), action)

    def on_preview(named: str, where: str, shown_for: str, is_private: bool, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            require_repository_of(named, shown_for)
            publishing.to_hub(workspace, named, where, bool(is_private), dry_run=True)
            said = f"looking what would change in {where}; nothing is sent"
            return (markup.message(said, "note"), *refresh(workspace, named))

        return answered(context, request, len(refreshed), action)

    def on_send(named: str, where: str, shown_for: str, is_private: bool, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            require_repository_of(named, shown_for)
            publishing.to_hub(workspace, named, where, bool(is_private), dry_run=False)
            said = f"the pull request in {where} is being opened; this may be closed meanwhile"
            return (markup.message(said), *refresh(workspace, named))

        return answered(context, request, len(refreshed), action)

    asked = [model, repo, shown_model, private]
    timer.tick(on_load, [model, runs], shown, **QUICK)
    opened.select(on_load, [model, runs], shown, **QUICK)
    model.input(on_model, [model], [message, repo, shown_model, *refreshed], **QUICK, **LATEST)
    folder.click(on_folder, [model], [message, *refreshed], **QUICK)
    preview.click(on_preview, asked, [message, *refreshed], **QUICK)
    send.click(on_send, asked, [message, *refreshed], **QUICK)
    return on_load, [model, runs], shown


def require_repository_of(model: str, shown_for: str) -> None:
    """Check that the repository on the page is the one of this model.

    Raises:
        FoundryError: when it is still another model's, to which this model would be sent.
    """
    if model != shown_for:
        raise FoundryError(f"nothing is sent: the repository is not yet that of {model}; wait for it, and click again")


def repository(workspace: Workspace, params: Params, model: str) -> str:
    """The repository that is proposed for a model."""
    return publishing.repository(workspace, model, params.publish.repos.get(model))


def state_html(workspace: Workspace, model: str) -> str:
    """What is published, or would change, or why publishing failed."""
    job = jobs.latest(workspace)
    parts = []
    if job is not None and job.running:
        parts.append(markup.message(f"{job.record['what']}: it runs", "note"))
    elif job is not None and is_publishing(job, model) and job.record["stopped"]:
        why = f": {job.record['why_stopped']}" if job.record.get("why_stopped") else ""
        parts.append(markup.message(f"{job.record['what']}: it was stopped{why}", "note"))
    elif job is not None and is_publishing(job, model) and job.record["exit_code"]:
        lines = [line for line in jobs.read_log(job, f"publish@{model}").splitlines() if line.strip()]
        errors = [number for number, line in enumerate(lines) if line.startswith("error:")]
        why = "\n".join(lines[errors[-1] :][: limits.ERROR_LINES_SHOWN]) if errors else "its log is in the tab “Watch”"
        parts.append(markup.message(f"{job.record['what']}: it failed. {why.removeprefix('error: ')}", "bad"))
    receipt = publishing.receipt(workspace, model)
    # DVC keeps the receipt of the publishing before; the one of this build is what dvc.lock has.
    by_page = receipt is not None and receipt["to"] == "hub"
    built = by_page or f"publish@{model}" in progress.built_stages(workspace.root)
    if receipt is None or not built:
        what = "Build the project in the tab “Watch”: what passed is published to a folder, and from there to the Hub."
        return "".join(parts) + markup.empty("Nothing is published yet", what)
    return "".join(parts) + receipt_html(workspace, model, receipt)


def is_publishing(job: Job, model: str) -> bool:
    """Whether a run is one that publishes this model, and not another one."""
    command = job.record["command"]
    return f"publish@{model}" in command or ("foundry.ui.publish_once" in command and model in command)


def receipt_html(workspace: Workspace, model: str, receipt: Receipt) -> str:
    """What publishing did, or on a dry run would do, file by file."""
    parts = []
    address = str(receipt.get("address") or "")
    if receipt.get("dry_run"):
        parts.append(f"<p><b>Nothing was sent.</b> This would change in {markup.escaped(receipt['repository'])}:</p>")
    elif address.startswith(("https://", "http://")):
        shown = markup.escaped(address)
        link = f'<a href="{shown}" id="pull-request" target="_blank" rel="noopener noreferrer">{shown}</a>'
        parts.append(f"<p>Published: {link}</p>")
    else:
        parts.append(f"<p>Published to the folder <code>artifacts/hub/{markup.escaped(model)}</code></p>")
    if "sent" in receipt:
        rows = [
            [
                markup.escaped(row["what"]),
                markup.escaped(row["file"]),
                markup.escaped(filesize.decimal(row["size_bytes"])),
            ]
            for row in receipt["sent"]
        ]
        caption = "What would change" if receipt.get("dry_run") else "What was sent"
        parts.append(markup.table(caption, ["", "file", "size"], rows) if rows else "<p>No file differs.</p>")
        parts.append(f"<p>{markup.escaped(receipt.get('unchanged', 0))} files are as they are there.</p>")
        kept = [[markup.escaped(name)] for name in receipt.get("kept", [])]
        parts.append(markup.table("What stays, because somebody changed it", ["file"], kept) if kept else "")
    else:
        listed = publishing.folder_files(workspace, model)
        rows = [[markup.escaped(name), markup.escaped(filesize.decimal(size))] for name, size in listed]
        parts.append(markup.folded(f"{len(rows)} files", markup.table("The folder", ["file", "size"], rows)))
    left = [[markup.escaped(name), markup.escaped(why)] for name, why in receipt.get("left_out", {}).items()]
    parts.append(markup.table("Left out", ["variant", "why"], left) if left else "")
    return "".join(parts)


def card_text(workspace: Workspace, model: str) -> str:
    """The card as it will look."""
    text = publishing.card(workspace, model)
    if not text:
        return "There is no card yet."
    folder = publishing.published_folder(workspace, model)
    charts = {path.relative_to(folder).as_posix(): path.read_bytes() for path in publishing.charts(workspace, model)}
    return card_view.safe(text, charts)
