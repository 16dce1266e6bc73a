"""Remove what no longer stands in params.yaml.

From artifacts, from dvc.lock and from DVC's cache. What a branch or a tag of git still needs stays in the cache.
"""

from typing import Annotated

import typer

from foundry.base.progress import say


def main(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    keep_cache: Annotated[bool, typer.Option("--keep-cache", help="Leave DVC's cache as it is.")] = False,
) -> None:
    from foundry.tracking import pruning

    for name in pruning.prune(dry_run):
        say(f"{'would be removed' if dry_run else 'removed'}: {name}")
    if not keep_cache:
        pruning.prune_cache(dry_run)
