"""Join the two published sides of a Router in one folder.

Sentence Transformers loads it as one model with `encode_query` and `encode_document`. QUERY and DOCUMENT are what
`publish` made of two rows of the same source, one with `side: query`, one with `side: document`. Each is compared with
its foundry.json first, and keeps every byte.
"""

from pathlib import Path
from typing import Annotated

import typer

from foundry.base.progress import say


def main(
    query: Annotated[Path, typer.Argument(help="The published folder of the side for queries.")],
    document: Annotated[Path, typer.Argument(help="The published folder of the side for documents.")],
    out: Annotated[Path, typer.Argument(help="The folder to make, which is not there yet.")],
) -> None:
    from foundry.publishing import joining

    variants = joining.join(query, document, out)
    say(f"{out}: both sides as they were published, and a Router; both have {', '.join(variants)}")
