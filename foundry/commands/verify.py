"""Check a published folder, as it was downloaded, against its foundry.json: every file is there, and is what it was.

python -m foundry.commands.verify FOLDER [--key PUBLIC.pem]
"""

from pathlib import Path
from typing import Annotated

import typer

from foundry.base import command
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.publishing import provenance, signature


def main(folder: Path, key: Annotated[Path | None, typer.Option(help="Whose signature it must carry.")] = None) -> None:
    record = provenance.read(folder)
    if key is not None:
        signature.check(folder / provenance.NAME, folder / provenance.SIGNATURE, key)
        say(f"{folder / provenance.NAME}: ", ("signed", "green"), f" by the holder of {key}")
    found = provenance.compare(folder, record)
    for name, what in found.items():
        say(f"{name}: ", (what, "bold red"))
    if found:
        raise FoundryError(f"{folder} is not what was published: {len(found)} of its files, named above")
    size = sum((folder / name).stat().st_size for name in record["files"]) / 1e6
    say(f"{folder}: ", ("good", "green"), f", {len(record['files'])} files, {size:,.0f} MB, each as it was published")
    for variant, one in record["variants"].items():
        figures = ", ".join(f"{name} {one['figures'][name]:.4f}" for name in ("mean_cosine", "min_cosine"))
        say(f"  {variant}: {one['verdict']} on {one['texts']} texts, {figures}")


if __name__ == "__main__":
    command.run(main)
