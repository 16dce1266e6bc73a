"""Check a published folder against its foundry.json.

As it was downloaded: every file is there and is what it was when it was published, and there is nothing else; with
--key, foundry.json carries that key's signature.
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
    from foundry.publishing import provenance, signature, verification

    where = folder / provenance.NAME
    content = provenance.content(folder)  # read once: what is checked is what was signed
    signed = provenance.read_plain(folder / provenance.SIGNATURE)
    record = provenance.parse(content, str(where))
    if key is not None:
        signature.check(where, content, signed, key)
        say(
            f"{where}: ", ("signed", "green"), f" by the holder of {key}. The signature covers this file, and by the "
            f"hashes in it the {len(record['files'])} files that it names",
        )  # fmt: skip
    else:
        what = "not signed" if signed is None else "signed; --key checks by whom"
        say(f"{where}: {what}. Its hashes find damage; who wrote it, only a signature says")
    findings = verification.compare(folder, record)
    for name, finding in findings.items():
        say(f"{verification.printable(name)}: ", (finding, "bold red"))
    if findings:
        raise FoundryError(f"{folder} is not what was published: {len(findings)} of its files, named above")
    size = sum((folder / name).stat().st_size for name in record["files"]) / 1e6
    say(f"{folder}: ", ("good", "green"), f", {len(record['files'])} files, {size:,.0f} MB, each as it was published")
    ignored = [name for name in verification.NOT_PUBLISHED if (folder / name).exists()]
    if ignored:
        say(f"  not looked into: {', '.join(ignored)}, which a download leaves there")
    for variant, row in record["variants"].items():
        measured = {name: row["figures"].get(name) for name in ("mean_cosine", "min_cosine")}
        figures = "".join(f", {name} {value:.4f}" for name, value in measured.items() if value is not None)
        say(f"  {variant}: {row['verdict']} on {row['texts']} texts{figures}")
