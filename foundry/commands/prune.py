"""Show or remove what no longer stands in params.yaml.

In artifacts, in dvc.lock and in DVC's cache. What a branch or a tag of git still needs stays in the cache. Nothing is
removed without --yes, or when params.yaml has a mistake, or dvc.lock is damaged or of another branch.
"""

from typing import Annotated

import typer

from foundry.base.progress import say


def main(
    yes: Annotated[bool, typer.Option("--yes/--dry-run", help="Remove it, or only show it.")] = False,
    keep_cache: Annotated[bool, typer.Option("--keep-cache", help="Leave DVC's cache as it is.")] = False,
) -> None:
    from foundry.params import reading
    from foundry.tracking import lock, pruning

    reading.read()  # a params.yaml with a mistake would fill in a dvc.yaml without stages
    what = pruning.leftovers()
    verb = "removed" if yes else "would be removed"
    for name in [*map(str, what.paths), *(f"{stage} in {lock.LOCK}" for stage in what.stages)]:
        say(f"{verb}: {name}")
    if yes:
        pruning.remove(what)
    if not keep_cache:
        pruning.prune_cache(dry_run=not yes)
    if not yes:
        say("nothing was removed: `foundry prune --yes` removes what stands above")
