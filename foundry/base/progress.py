"""Progress on anything longer than a few seconds: a bar in a terminal, a line now and then in a CI log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")

LOG_EVERY_SECONDS = 15.0


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Go through `items`, showing how many are done and how long the rest will take. `total` is theirs by default."""
    count = total if total is not None else len(items) if isinstance(items, Sized) else 0
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as bar

        yield from bar(items, total=count, description=description, console=Console(stderr=True), transient=True)
        return
    started = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - last >= LOG_EVERY_SECONDS:
            left = (now - started) / done * (count - done)
            print(
                f"  {description}: {done} of {count}, about {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
            last = now
        yield item


def say(*parts: str | tuple[str, str]) -> None:
    """One line of what a stage did, on standard output; a part may be a text and its style."""
    from rich.console import Console
    from rich.text import Text

    # Not as markup: a library's message may hold square brackets.
    Console(soft_wrap=True, highlight=False).print(Text.assemble(*parts))
