"""What the first tab shows: the models of the project, what a model is, what variants take, and the first texts."""

from foundry.params.schema import Params
from foundry.ui import estimates, jobs, markup
from foundry.ui.looking import Look
from foundry.ui.upload_reading import Preview
from foundry.ui.workspaces import Workspace


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


def preview_html(read: Preview) -> str:
    """The first texts of a file."""
    rows = [[str(number), markup.escaped(text)] for number, text in enumerate(read.texts, 1)]
    return markup.table(f"The first texts of the column {read.column}", ["", "text"], rows)
