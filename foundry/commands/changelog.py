"""List what changed between two published versions.

In Markdown: source, toolchain, settings, files, closeness and speed of a model. A version is a tag of git, such as
minilm@v1.2.0, or any revision whose outputs are in DVC's cache or remote.
"""

from pathlib import Path
from typing import Annotated

import typer

from foundry.base.progress import say


def main(
    model: Annotated[str, typer.Argument(help="A model of params.yaml.")],
    before: Annotated[str, typer.Argument(help="A git revision or tag.")],
    after: Annotated[str | None, typer.Argument(help="Another; the working tree by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write it to this file, too.")] = None,
) -> None:
    from foundry.base import files
    from foundry.publishing import version_differences
    from foundry.reporting.rendering import render

    changes = version_differences.difference(
        version_differences.read(model, before), version_differences.read(model, after)
    )
    text = render("changelog.md.j2", model=model, before=before, after=after, **changes)
    say(text.rstrip())
    if out is not None:
        with files.replacing(out) as partial:
            partial.write_text(text, encoding="utf-8")
