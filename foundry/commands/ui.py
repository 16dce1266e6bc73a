"""Open the project in a browser.

Choose models, variants, texts and thresholds; watch the pipeline run, stop it and go on; read verdicts and what to
deploy; publish. It is the same project: what the page builds, `foundry build` has built, and the other way round. It
answers on this machine alone. Needs the extra `ui`.

With --shared, as a Space of the Hub: whoever logs in has a project of their own.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from foundry.base.progress import say
from foundry.ui import limits


def main(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it answers, on 127.0.0.1.")] = 7860,
    shared: Annotated[
        bool, typer.Option("--shared", help="For the users of a Space, each with a project and a login of their own.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option(help="With --shared: the folder for what users build; /data where there is one.")
    ] = None,
    hours: Annotated[
        float,
        typer.Option(
            min=0.1,
            envvar="FOUNDRY_UI_HOURS",
            help="With --shared: how long a run may take, so that others "
            "have their turn; the next one goes on where it stopped.",
        ),
    ] = limits.RUN_HOURS,
    write_space: Annotated[
        Path | None, typer.Option(help="Write the folder of a Space, which `hf upload` takes, and do nothing else.")
    ] = None,
) -> None:
    from foundry.ui import server, space

    if write_space is not None:
        space.write(Path.cwd(), write_space)
        say(f"{write_space}: written; `hf upload --repo-type space org/name {write_space} .` deploys it")
        return
    shared = shared or "SPACE_ID" in os.environ
    folder = (state or space.default_state()).resolve() if shared else None
    app = server.make(Path.cwd(), shared, folder, most_seconds=hours * 3600)
    host = space.HOST if shared else server.LOOPBACK
    say(f"http://{host}:{port}  (Ctrl-C ends the server; what runs goes on)")
    server.serve(app, host, port)
