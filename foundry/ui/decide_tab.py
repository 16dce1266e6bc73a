"""The third tab: verdicts, speed against closeness, what to deploy; two variants side by side; two versions."""

from typing import Any

import gradio as gr

from foundry.base.errors import FoundryError
from foundry.reporting.rendering import lost, short
from foundry.reporting.rows import Row, ratio_to_torch
from foundry.ui import deciding, editing, markup, sentences, version_history
from foundry.ui.context import LATEST, SLOW, WITH_MODELS, Context, Refreshing, answered, dropdown, known_model
from foundry.ui.deciding import Results
from foundry.ui.sentences import Comparison
from foundry.ui.workspaces import Workspace
from foundry.validation import results as verdicts

USES = {
    "One text at a time: latency": "latency", "Requests at a load: the time that 95% take": "requests",
    "Many texts in batches: throughput": "throughput", "The smallest file": "size",
}  # fmt: skip
EXAMPLE = "A cat sits on the mat.\nA kitten lies on a rug.\nThe stock market fell today.\nShares lost value on Monday."


def build(context: Context, opened: gr.Tab) -> Refreshing:
    """Make the tab; give what the opening of the page calls."""
    message = gr.HTML(elem_id="decide-message")
    with gr.Row():
        model = gr.Dropdown(label="Model", filterable=False, elem_id="decide-model")
        show = gr.Button("Show what was found", variant="primary", elem_id="show")
    found = gr.HTML(elem_id="verdicts")
    gr.Markdown("### What to deploy")
    with gr.Row():
        use = gr.Radio(list(USES), value=next(iter(USES)), label="What counts", elem_id="use")
        group = gr.Dropdown(label="Texts like", filterable=False, elem_id="group")
        budget = gr.Slider(0, 0.05, value=0.004, step=0.001, elem_id="budget",
                           label="Budget: how much quality may be lost, as a share; 0.004 is 0.4%")  # fmt: skip
    advice = gr.HTML(elem_id="advice")
    with gr.Accordion("Two variants on your own sentences", open=False):
        with gr.Row():
            left = gr.Dropdown(label="One variant", filterable=False, elem_id="left")
            right = gr.Dropdown(label="The other", filterable=False, elem_id="right")
        text = gr.Textbox(value=EXAMPLE, lines=5, label="Sentences, one a line", elem_id="sentences")
        compare = gr.Button("Compare them", elem_id="compare")
        compared = gr.HTML(elem_id="compared")
    with gr.Accordion("Two versions", open=False):
        with gr.Row():
            before = gr.Dropdown(label="Before", filterable=False, elem_id="before")
            after = gr.Dropdown(label="After", filterable=False, elem_id="after")
        versions = gr.Button("Compare these versions", elem_id="versions")
        differences = gr.HTML(elem_id="differences")

    asked = [model, use, group, budget, left, right, before, after]
    refreshed = [message, model, found, group, left, right, before, after, advice]

    def refresh(
        workspace: Workspace, named: str | None, what: str, texts: str | None, share: float, *pairs: str | None
    ) -> list[Any]:
        one, other, old, new = pairs
        params = editing.read(workspace)
        name = known_model(params, named) or next(iter(params.models))
        said = "" if named in (name, None) else markup.message(f"{named} is no longer in the project", "note")
        results = deciding.read(workspace, name)
        built = [variant for variant, row in (results.validations if results else {}).items()
                 if row["verdict"] != "skipped"]  # fmt: skip
        groups = deciding.groups(results) if results else []
        chosen = texts if texts in groups else next(iter(groups), None)
        known = version_history.versions(workspace)
        return [
            said,
            dropdown(list(params.models), named, name),
            results_html(results, chosen),
            dropdown(groups, texts, chosen),
            dropdown(built, one, built[0] if built else None),
            dropdown(built, other, built[-1] if built else None),
            dropdown(known, old, known[min(1, len(known) - 1)][1] if known else None),
            dropdown(known, new, known[0][1] if known else None),
            advice_html(results, name, what, share, chosen),
        ]

    def on_show(
        named: str | None, what: str, texts: str | None, share: float, one: str | None, other: str | None,
        old: str | None, new: str | None, request: gr.Request,
    ) -> Any:  # fmt: skip
        return answered(
            context, request, len(refreshed) - 1,
            lambda workspace: refresh(workspace, named, what, texts, share, one, other, old, new),
        )  # fmt: skip

    def on_compare(named: str, one: str, other: str, lines: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            return "", sentences_html(named, sentences.compare(workspace, named, one, other, lines))

        return answered(context, request, 1, action)

    def on_versions(named: str, old: str, new: str, request: gr.Request) -> Any:
        def action(workspace: Workspace) -> Any:
            rows = deciding.compare_versions(workspace, named, old, new)
            return "", differences_html(named, rows)

        return answered(context, request, 1, action)

    # All of them are one event of Gradio's, so that the answer to the latest is the last.
    triggers = [opened.select, show.click, model.input, use.input, group.input, budget.release]
    gr.on(triggers, on_show, asked, refreshed, **SLOW, **LATEST)
    compare.click(on_compare, [model, left, right, text], [message, compared], **WITH_MODELS)
    versions.click(on_versions, [model, before, after], [message, differences], **WITH_MODELS)
    return on_show, asked, refreshed


def results_html(results: Results | None, group: str | None) -> str:
    """The verdicts with their worst texts, and the chart."""
    if results is None:
        return markup.empty("There are no verdicts yet", "Build the project in the tab “Watch”; they appear here.")
    rows = [row_cells(row, group) for row in results.rows if row["verdict"] != "setting"]
    header = ["variant", "verdict", "quality lost", "mean cosine", "lowest", "MB", "speed, torch = 1", "why"]
    parts = [markup.table("Verdicts", header, rows)]
    for name, validation in results.validations.items():
        if content := verdict_details(validation):
            parts.append(markup.folded(f"{name} {validation['verdict']}: its checks and worst texts", content))
    if group is not None:
        label = f"Speed on {group} texts against the quality that is lost; the line is the Pareto front"
        parts.append(markup.picture(deciding.chart(results, group), label))
    else:
        parts.append("<p>Nothing was measured on this machine yet.</p>")
    return "".join(parts)


def row_cells(row: Row, group: str | None) -> list[str]:
    """The cells of a variant."""
    verdict = row["verdict"]
    ratio = ratio_to_torch(row, group) if group is not None else None
    return [
        f"<b>{markup.escaped(row['variant'])}</b>",
        f'<span class="verdict {verdict}">{verdict}</span>',
        markup.escaped(lost(row)),
        markup.escaped(_number(row["checks"].get("mean_cosine"))),
        markup.escaped(_number(row["checks"].get("min_cosine"))),
        markup.escaped(short(row["size_mb"])),
        markup.escaped("" if ratio is None else f"{ratio['median']:.2f}×"),
        markup.escaped(row["reason"] or row["warning"] or ""),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def verdict_details(validation: verdicts.Validation) -> str:
    """Every check with its threshold, and the worst texts."""
    checks = [
        [
            markup.escaped(check["check"]),
            "not a number" if check["value"] is None else f"{check['value']:.5g}",
            markup.escaped(f"{check['relation']} {check['threshold']:g}"),
            "passed" if check["passed"] else "<b>failed</b>",
        ]
        for check in validation["checks"]
    ]  # fmt: skip
    texts = [[f"{row['cosine']:.4f}", markup.escaped(row["text"][:300])] for row in deciding.worst_texts(validation)]
    parts = [markup.table("Checks", ["check", "value", "must be", ""], checks)] if checks else []
    if texts:
        parts.append(markup.table("The texts that it embeds least like torch", ["cosine", "text"], texts))
    return "".join(parts)


def advice_html(results: Results | None, model: str, what: str, share: Any, group: str | None) -> str:
    """What to deploy."""
    if results is None or results.benchmark is None:
        return markup.empty("Nothing to recommend yet", "What to deploy is known once the variants are measured.")
    if what not in USES:
        raise FoundryError(f"{what!r} is no use; there are {', '.join(USES)}")
    number = float(share) if isinstance(share, int | float) else 0.004
    try:
        lines = deciding.recommend(results, model, USES[what], number, group)
    except FoundryError as error:  # it is said where the advice for another choice stands
        return markup.empty("Nothing to recommend", str(error))
    sentences_, _, code = "\n".join(lines).partition("\n\n")
    text = "".join(f"<p>{markup.escaped(line)}</p>" for line in sentences_.splitlines())
    return f'<div class="advice">{text}{markup.code(code) if code else ""}</div>'


def sentences_html(model: str, compared: Comparison) -> str:
    """Nearest neighbours, similarity and time of two variants of a model, side by side."""
    one, other = compared["sides"]
    rows = []
    for index, sentence in enumerate(compared["sentences"]):
        rows.append(
            [
                markup.escaped(sentence), f"{compared['cosines'][index]:.4f}",
                *(neighbours_html(compared["sentences"], side, index) for side in (one, other)),
            ]
        )  # fmt: skip
    header = ["sentence", "cosine of both", f"nearest by {one['variant']}", f"nearest by {other['variant']}"]
    times = markup.facts(
        [
            (f"{side['variant']}, each sentence, in a batch", f"{side['ms_per_sentence']:.2f} ms")
            for side in (one, other)
        ]
    )
    return markup.table(f"Nearest neighbours, by variants of {model}", header, rows) + times


def neighbours_html(texts: list[str], side: sentences.Side, index: int) -> str:
    """The nearest neighbours of a sentence, with their similarities."""
    return "<br>".join(
        f"{side['similarities'][index][near]:.3f} {markup.escaped(texts[near][:80])}"
        for near in side["neighbours"][index]
    )


def differences_html(model: str, rows: list[dict[str, str]]) -> str:
    """What differs between two versions of a model."""
    changed = [row for row in rows if row["verdict"] != "same"]
    said = f"<p>{markup.escaped(model)}: {len(rows) - len(changed)} of {len(rows)} are the same.</p>"
    if not changed:
        return said
    cells = [[markup.escaped(row[key]) for key in ("variant", "what", "before", "after", "verdict")] for row in changed]
    return markup.table(f"Differences of {model}", ["variant", "what", "before", "after", ""], cells) + said
