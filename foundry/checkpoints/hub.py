"""Files of a pinned revision on the Hugging Face Hub; huggingface_hub retries and resumes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from foundry.base import hub_client
from foundry.base.errors import FoundryError


class Snapshot(NamedTuple):
    """A repository's files, in the Hub's cache on this machine."""

    folder: Path
    names: list[str]  # those that were fetched
    listed: list[str]  # all that the repository has
    revision: str  # the commit


def snapshot(repository: str, revision: str, choose: Callable[[Sequence[str]], list[str]]) -> Snapshot:
    """Download the files that `choose` picks from the names of all files.

    Raises:
        FoundryError: when the Hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    from foundry.base import hub_requests

    no_answer: tuple[type[Exception], ...] = (
        *hub_client.connection_errors(), OfflineModeIsEnabled, LocalEntryNotFoundError
    )  # fmt: skip
    try:
        with hub_requests.limited():
            info = HfApi().model_info(repository, revision=revision)
            listed = sorted(sibling.rfilename for sibling in info.siblings or [])
            names = choose(listed)
            cached = snapshot_download(repository, revision=revision, allow_patterns=names) if names else "."
    except HfHubHTTPError as error:
        raise FoundryError(f"the Hub refuses {repository} at {revision}: {error}") from error
    except no_answer as error:
        raise FoundryError(
            f"the Hub cannot be reached, and {repository} at {revision} comes from there "
            f"({type(error).__name__}). Connect this machine, unset HF_HUB_OFFLINE, or name a local source: "
            "{path: ...} or {package: ..., path: ...}"
        ) from error
    return Snapshot(Path(cached), names, listed, info.sha or revision)
