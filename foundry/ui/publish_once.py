"""Build what is to be published, and then look what would change on the Hub, or open the pull request, once.

It runs as a process of its own (`python -m foundry.ui.publish_once MODEL REPOSITORY`) in the project's folder. What is
to be done is in its arguments alone. params.yaml stays as it is, so that neither a crash nor a later build sends
anything.
"""

import subprocess
import sys
from typing import Annotated

import typer

from foundry.base import command
from foundry.base.progress import say


def main(
    model: str,
    repository: str,
    private: Annotated[bool, typer.Option("--private/--public")] = True,
    send: Annotated[bool, typer.Option("--send")] = False,
) -> None:
    # Everything that publishing reads is built from the settings as they are; the stage `publish` itself does not run.
    if code := subprocess.run(["dvc", "repro", "report"], check=False).returncode:
        sys.exit(code)
    say(f"Running stage 'publish@{model}':")  # as DVC says it, so that the page shows its log
    arguments = [model, repository, "--private" if private else "--public", *(["--send"] if send else [])]
    sys.exit(subprocess.run([sys.executable, "-m", "foundry.ui.sending", *arguments], check=False).returncode)


if __name__ == "__main__":
    command.run(main)
