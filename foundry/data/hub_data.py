"""Data sets on the Hugging Face Hub, at a pinned revision."""

from collections.abc import Iterator, Sequence
from typing import Any

from foundry.base import hub_client
from foundry.base.errors import FoundryError
from foundry.data import values
from foundry.data.parquet_files import BATCH_ROWS
from foundry.data.settings import HubTexts


def rows(source: HubTexts, columns: Sequence[str]) -> Iterator[tuple[str, list[Any]]]:
    """Each row as its place and its values of the wanted columns, in their order.

    Raises:
        FoundryError: when the Hub cannot be reached or refuses, or the data set has no such part or column.
    """
    table = _load(source)
    values.require_columns(source.hub, columns, table.column_names)
    number = 0
    for batch in table.select_columns(list(columns)).iter(BATCH_ROWS):
        for row in zip(*(batch[name] for name in columns), strict=True):
            number += 1
            yield f"{source.hub}, row {number}", list(row)


def _load(source: HubTexts) -> Any:
    # Imported here: a build from text files alone does without the seconds that this takes.
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    from foundry.base import hub_requests

    no_answer: tuple[type[Exception], ...] = (*hub_client.http_errors(), ConnectionError)
    try:
        with hub_requests.limited():
            return datasets.load_dataset(source.hub, source.config, split=source.split, revision=source.revision)
    except HfHubHTTPError as error:
        raise FoundryError(f"the Hub refuses data set {source.hub} at {source.revision}: {error}") from error
    except no_answer as error:
        raise FoundryError(
            f"the Hub cannot be reached, and data set {source.hub} comes from there ({type(error).__name__}). "
            "Connect this machine, or name a local source: {path: ...} or {package: ..., path: ...}"
        ) from error
    # RuntimeError is what a data set with a loading script of its own ends with.
    except (datasets.exceptions.DatasetsError, ValueError, FileNotFoundError, RuntimeError) as error:
        raise FoundryError(
            f"data set {source.hub} ({source.config}, {source.split}) cannot be read: {' '.join(str(error).split())}"
        ) from error
