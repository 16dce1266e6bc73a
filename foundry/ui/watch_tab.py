"""The second tab: the pipeline, stage by stage, while it runs, with the log of each; start and stop."""

from typing import Any

import gradio as gr

from foundry.ui import editing, estimates, jobs, limits, markup, progress
from foundry.ui.context import QUICK, Context, Refreshing, answered, shown_or_empty
from foundry.ui.progress import MEANINGS, Progress
from foundry.ui.workspaces import Workspace

SYMBOLS = {
    "waiting": "○", "running": "▶", "cached": "◆", "done": "✓", "failed": "✗", "skipped": "–", "blocked": "□",
    "stopped": "■",
}  # fmt: skip
# A click on a stage shows its log. A stage that has the focus keeps it when the picture is drawn anew.
CLICKS = """
let last = null;
element.addEventListener('focusin', event => { last = event.target.dataset ? event.target.dataset.stage : null; });
element.addEventListener('click', event => {
  const stage = event.target.closest('[data-stage]');
  if (stage) { last = stage.dataset.stage; trigger('click', {stage: stage.dataset.stage}); }
});
watch('value', () => {
  if (!last || document.activeElement !== document.body) return;
  const stage = [...element.querySelectorAll('[data-stage]')].find(found => found.dataset.stage === last);
  if (stage) stage.focus();
});
"""
# The log is drawn anew when it grows, and stays where somebody scrolled to: at its end, if that is there.
SCROLLING = """
let heading = null, place = 0, atEnd = false;
element.addEventListener('scroll', event => {
  place = event.target.scrollTop;
  atEnd = event.target.scrollHeight - event.target.clientHeight - place < 4;
}, true);
watch('value', () => {
  const lines = element.querySelector('pre'), title = element.querySelector('h4');
  if (!lines || !title) return;
  if (title.textContent.split(':')[0] === heading) lines.scrollTop = atEnd ? lines.scrollHeight : place;
  else { heading = title.textContent.split(':')[0]; place = 0; atEnd = false; }
});
"""


def build(context: Context, opened: gr.Tab) -> Refreshing:
    """Make the tab; give what the opening of the page calls."""
    message = gr.HTML(elem_id="watch-message")
    with gr.Row():
        start = gr.Button("Build, check and measure", variant="primary", elem_id="start")
        stop = gr.Button("Stop", variant="stop", elem_id="stop")
    summary = gr.HTML(elem_id="summary")
    picture = gr.HTML(elem_id="dag", js_on_load=CLICKS)
    chosen = gr.Textbox(visible=False, value="")
    runs = gr.Checkbox(visible=False, value=False)  # what the page knows of a run
    log = gr.HTML(elem_id="log", js_on_load=SCROLLING)
    timer = gr.Timer(limits.WATCH_RUNNING_SECONDS)
    refreshed = [runs, summary, picture, log, timer]

    def on_look(stage: str, ran: bool, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            values = refresh(workspace, stage)
            # What was said of a run goes when it has ended: the summary says how.
            return ["" if ran and not values[0] else gr.skip(), *values]

        def nothing(why: str) -> Any:
            return [gr.skip(), gr.skip(), markup.empty("Nothing can be shown", why), "", "", gr.skip()]

        return shown_or_empty(context, request, action, nothing)

    def on_choose(ran: bool, event: gr.EventData, request: gr.Request) -> Any:
        stage = str(getattr(event, "stage", ""))[:300]
        return stage, *on_look(stage, ran, request)

    def on_start(stage: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            editing.require_nothing_is_sent(editing.read(workspace))  # which names every mistake before anything starts
            jobs.start(workspace, ["foundry", "build"], "build everything in params.yaml")
            said = "it runs, also when this page is closed; `foundry build` does the same"
            return (markup.message(said), *refresh(workspace, stage))

        return answered(context, request, len(refreshed), action)

    def on_stop(stage: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            said = (
                "it stops when that is safe, which takes some seconds; the next build goes on where it stopped"
                if jobs.stop(workspace) else "nothing runs"
            )  # fmt: skip
            return (markup.message(said, "note"), *refresh(workspace, stage))

        return answered(context, request, len(refreshed), action)

    timer.tick(on_look, [chosen, runs], [message, *refreshed], **QUICK)
    opened.select(on_look, [chosen, runs], [message, *refreshed], **QUICK)
    # Each click is answered: Gradio's "always_last" would repeat the stage of the first.
    picture.click(on_choose, [runs], [chosen, message, *refreshed], **QUICK, trigger_mode="multiple")
    start.click(on_start, [chosen], [message, *refreshed], **QUICK)
    stop.click(on_stop, [chosen], [message, *refreshed], **QUICK)
    return on_look, [chosen, runs], [message, *refreshed]


def refresh(workspace: Workspace, stage: str) -> list[Any]:
    """Whether something runs, how far it is, the picture, and the log of a stage. It looks, and writes nothing."""
    now = progress.read(workspace)
    running = now.job is not None and now.job.running
    return [
        running, summary_html(now), dag_html(now), log_html(workspace, now, stage),
        gr.Timer(limits.WATCH_RUNNING_SECONDS if running else limits.WATCH_IDLE_SECONDS),
    ]  # fmt: skip


def summary_html(now: Progress) -> str:
    """What goes on, in a line, and how far it is."""
    job, total = now.job, len(now.rows)
    done = now.count("done", "cached", "skipped")
    if job is not None and job.running:
        current = next((row.stage.name for row in now.rows if row.state == "running"), "starting")
        left = f", {estimates.duration(now.seconds_left)} left" if now.seconds_left else ""
        text = f"Running: {current}. {done} of {total} stages are done{left}."
        if (job.folder / jobs.STOP).exists():
            text = f"Stopping: {current}. {done} of {total} stages are done."
        return f'{bar(done, total)}<p role="status" class="running-line">{markup.escaped(text)}</p>'
    if job is None and done == 0:
        return markup.empty(
            "Nothing is built yet", "Choose a model in the first tab, or build the one that is in the project already."
        )
    text = f"{done} of {total} stages are done."
    if job is not None:
        text = f"{ending(now)} {text}"
    failed = [row.stage.name for row in now.rows if row.state == "failed"]
    more = f" What failed: {', '.join(failed)}; a click on it shows its log." if failed else ""
    why = job.record.get("not_recorded") if job is not None else None
    unrecorded = markup.message(f"this version is not recorded, and cannot be compared: {why}", "note") if why else ""
    return f'{bar(done, total)}<p role="status">{markup.escaped(text + more)}</p>{unrecorded}'


def ending(now: Progress) -> str:
    """How the last run ended."""
    assert now.job is not None
    record = now.job.record
    if record["ended"] is None:
        return "The last run was ended from outside; the next one goes on where it was."
    if why := record.get("why_stopped"):
        return f"The last run was stopped: {why}."
    if record["stopped"]:
        return "The last run was stopped; the next one goes on where it stopped."
    if record["exit_code"] == 0:
        return f"The last run is complete: {record['what']}."
    return f"The last run failed: {record['what']}."


def bar(done: int, total: int) -> str:
    """How far it is, as a bar."""
    return f'<progress value="{done}" max="{max(total, 1)}" aria-label="stages that are done"></progress>'


def dag_html(now: Progress) -> str:
    """The stages in running order, a column for each kind. It changes only when a state does, so that the focus of the
    keyboard stays."""
    kinds: dict[str, list[str]] = {}
    several = len({row.stage.model for row in now.rows if row.stage.model}) > 1
    for row in now.rows:
        stage = row.stage
        model = stage.model if several or not stage.variant else None
        label = "/".join(part for part in (model, stage.variant) if part) or stage.kind
        note = f"<small>{markup.escaped(row.note[:120])}</small>" if row.note else ""
        said = f"{stage.name}: {MEANINGS[row.state]}. Show its log"
        failing = " verdict-failed" if row.note == "failed" else ""
        kinds.setdefault(stage.kind, []).append(
            f'<li><button type="button" class="stage {row.state}{failing}" data-stage="{markup.escaped(stage.name)}" '
            f'aria-label="{markup.escaped(said)}" title="{markup.escaped(MEANINGS[row.state])}">'
            f'<span aria-hidden="true">{SYMBOLS[row.state]}</span> {markup.escaped(label)}{note}</button></li>'
        )
    columns = "".join(
        f"<section><h4>{markup.escaped(kind)}</h4><ul>{''.join(items)}</ul></section>" for kind, items in kinds.items()
    )
    legend = " ".join(f"<span>{SYMBOLS[state]} {markup.escaped(meaning)}</span>" for state, meaning in MEANINGS.items())
    return f'<div class="dag">{columns}</div><p class="legend">{legend}</p>'


def log_html(workspace: Workspace, now: Progress, stage: str) -> str:
    """The log of a stage, or of the whole run where none is chosen."""
    known = next((row for row in now.rows if row.stage.name == stage), None)
    if now.job is None:
        text = (
            "" if known is None else f"Log of {known.stage.name}: there is none, because nothing was started here yet"
        )
        return f"<h4>{markup.escaped(text)}</h4>" if text else ""
    text = jobs.read_log(now.job, known.stage.name if known else None)
    if known is not None:
        took = f", {known.seconds:.0f} s" if known.seconds and known.state != "running" else ""
        heading = f"Log of {known.stage.name}: {MEANINGS[known.state]}{took}"
        text = "\n".join(part for part in (known.note, text or "The last run did not run it.") if part)
    else:
        heading = "Log of the last run" if not now.job.running else "Log of the run"
    return f"<h4>{markup.escaped(heading)}</h4>{markup.code(text)}"
