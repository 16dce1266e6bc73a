"""Check a published folder against its foundry.json.

As it was downloaded: every file is there and is what it was when it was published; with --key, foundry.json carries
that key's signature.
"""

from pathlib import Path
from typing import Annotated

import typer

from foundry.base.errors import FoundryError
from foundry.base.progress import say


def main(
    folder: Annotated[Path, typer.Argument(help="What was downloaded, with its foundry.json.")],
    key: Annotated[Path | None, typer.Option(help="A public key in PEM: whose signature it must carry.")] = None,
) -> None:
    from foundry.publishing import provenance, signature

    record = provenance.read(folder)
    if key is not None:
        signature.check(folder / provenance.NAME, folder / provenance.SIGNATURE, key)
        say(f"{folder / provenance.NAME}: ", ("signed", "green"), f" by the holder of {key}")
    differences = provenance.compare(folder, record)
    for name, difference in differences.items():
        say(f"{name}: ", (difference, "bold red"))
    if differences:
        raise FoundryError(f"{folder} is not what was published: {len(differences)} of its files, named above")
    size = sum((folder / name).stat().st_size for name in record["files"]) / 1e6
    say(f"{folder}: ", ("good", "green"), f", {len(record['files'])} files, {size:,.0f} MB, each as it was published")
    for variant, row in record["variants"].items():
        figures = ", ".join(f"{name} {row['figures'][name]:.4f}" for name in ("mean_cosine", "min_cosine"))
        say(f"  {variant}: {row['verdict']} on {row['texts']} texts, {figures}")
