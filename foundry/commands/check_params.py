"""Name every mistake in params.yaml at once.

With --write-schema, write params.schema.json instead, which editors complete params.yaml with.
"""

from pathlib import Path
from typing import Annotated

import typer

from foundry.base.progress import say


def main(
    path: Annotated[Path, typer.Option(help="The file to check.")] = Path("params.yaml"),
    write_schema: Annotated[bool, typer.Option("--write-schema", help="Write params.schema.json.")] = False,
) -> None:
    from foundry.params import json_schema, reading

    if write_schema:
        json_schema.write()
        say(f"{json_schema.PATH}: written")
        return
    params = reading.read(path)
    say(f"{path}: good. {len(params.models)} model(s), {len(params.variants)} variants each.")
