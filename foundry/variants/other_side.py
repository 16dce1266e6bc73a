"""Beside a model that is one side of a Router: the other side, by which its queries or documents are embedded.

Nothing is built from it. torch embeds by it what the model's own side is compared with.
"""

from pathlib import Path
from typing import NamedTuple

from foundry_runtime.router import Role

from foundry.base import files
from foundry.variants import checkpoint_folder
from foundry.variants.checkpoint_folder import Kind

NAMES = {"query": "queries", "document": "documents"}


class OtherSide(NamedTuple):
    """What is known of the side of a Router in a folder."""

    role: Role  # of this side
    kind: Kind  # Sentence Transformers' class that loads it
    trust_remote_code: bool  # whether the code in it may run


def opposite(role: Role) -> Role:
    """Documents for queries, and queries for documents."""
    return "document" if role == "query" else "query"


def write(out: Path, folder: Path, own: Role | None, kind: Kind, trusted: bool) -> None:
    """Make the folder `out` with the files of the other side, and a record of which that is; with a record alone, that
    there is none, where the model itself is no side.

    Args:
        folder: The other side, where there is one.
        own: Which side the model itself is.
        kind: Sentence Transformers' class of both sides.
        trusted: Whether the code in the folder may run.
    """
    with files.replacing_folder(out) as partial:
        for name in files.files_below(folder) if own is not None else ():
            files.copy(folder / name, partial / name)
        record = None if own is None else OtherSide(opposite(own), kind, trusted)._asdict()
        files.write_json(partial / checkpoint_folder.SOURCE_RECORD, {"side": record})


def read(folder: Path) -> OtherSide | None:
    """Which side a folder holds; None where it holds none."""
    record = files.read_json(folder / checkpoint_folder.SOURCE_RECORD)["side"]
    return None if record is None else OtherSide(**record)
