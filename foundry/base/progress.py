"""Progress of long loops: a bar in a terminal, a line every 15 seconds in a log. And the line that a stage prints."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")

LOG_EVERY_SECONDS = 15.0


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Iterate over `items`, showing how many are done and how long the rest will take. `total` is by default their
    number."""
    count = total if total is not None else len(items) if isinstance(items, Sized) else 0
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as bar

        yield from bar(items, total=count, description=description, console=Console(stderr=True), transient=True)
        return
    started = last_line = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - last_line >= LOG_EVERY_SECONDS:
            remaining_s = (now - started) / done * (count - done)
            print(f"  {description}: {done} of {count}, about {remaining_s:.0f} s left", file=sys.stderr, flush=True)
            last_line = now
        yield item


def say(*parts: str | tuple[str, str]) -> None:
    """Print one line about what a stage did; a part is a text, or a text and its style."""
    from rich.console import Console
    from rich.text import Text

    # Assembled instead of parsed as markup, because a library's message may hold square brackets.
    Console(soft_wrap=True, highlight=False).print(Text.assemble(*parts))
