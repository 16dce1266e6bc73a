"""The DVC project that the current folder belongs to."""

from typing import Any

from foundry.base.errors import FoundryError


def open_repository() -> Any:
    """DVC's view of the project: its stages and outputs, its cache and its remotes.

    Raises:
        FoundryError: when the current folder is in no DVC project.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        return Repo()
    except NotDvcRepoError as error:
        raise FoundryError(f"this is no DVC project: {error}. Run from the project's root") from error
