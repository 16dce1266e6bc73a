"""Compare every output with dvc.lock, byte for byte.

In the workspace, in DVC's cache and in its remote. DVC only looks at a file's time and size, so it hands out and
pushes a damaged file of its cache. Each line names what is missing or altered, and the command that puts it right.
"""

from typing import Annotated

import typer

from foundry.base.errors import FoundryError
from foundry.base.progress import say


def main(
    remote: Annotated[str | None, typer.Option(help="DVC's name of the remote; its default one otherwise.")] = None,
    skip_remote: Annotated[bool, typer.Option("--skip-remote", help="Workspace and cache alone.")] = False,
    without: Annotated[list[str] | None, typer.Option(help="A stage whose outputs are about to be made anew.")] = None,
) -> None:
    from foundry.tracking.audit import audit

    result = audit(remote, skip_remote, without or [])
    if result.obsolete:
        names = ", ".join(result.obsolete)
        say(f"not checked: {names}, which dvc.yaml does not have; `foundry prune` removes leftovers")
    if not result.has_remote:
        say("remote: none is set up (`dvc remote add --default NAME ADDRESS`)")
    for finding in result.findings:
        say(f"{finding.place}: {finding.what} is ", (finding.difference, "bold red"), f"; {finding.remedy}")
    if result.findings:
        counts = ", ".join(f"{result.count(place)} in the {place}" for place in ("workspace", "cache", "remote"))
        raise FoundryError(f"outputs that are not as dvc.lock has them: {counts}, named above")
    say(f"{result.outputs} outputs: ", ("good", "green"), ", each as dvc.lock has it")
