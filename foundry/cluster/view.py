"""The progress of a run: a live view in a terminal, a line now and then in a CI log."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from foundry.base.progress import LOG_EVERY_SECONDS, say

if TYPE_CHECKING:
    from rich.console import Group


class State(NamedTuple):
    """What has been done, what runs, and what waits."""

    done: int
    failed: int
    running: dict[str, float]  # for how many seconds, by stage
    waiting: int

    @property
    def total(self) -> int:
        """How many stages there are to run."""
        return self.done + self.failed + len(self.running) + self.waiting


def as_line(state: State) -> str:
    """The state as a line of text."""
    names = ", ".join(f"{name} ({seconds:.0f} s)" for name, seconds in state.running.items())
    failed = f", {state.failed} failed" if state.failed else ""
    return f"{state.done} of {state.total} done{failed}; running: {names or 'nothing'}"


class View:
    """Shows the state of a run while the `with` block lasts; `state` gives it."""

    def __init__(self, state: Callable[[], State]) -> None:
        self.state = state
        self.last = time.monotonic()
        self.live = None
        if sys.stdout.isatty():
            from rich.live import Live

            self.live = Live(get_renderable=self._table, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def show(self) -> None:
        """Write a line to a CI log when the last one is long enough ago; a terminal refreshes by itself."""
        if self.live is None and time.monotonic() - self.last >= LOG_EVERY_SECONDS:
            say(f"  {as_line(self.state())}")
            self.last = time.monotonic()

    def _table(self) -> "Group":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        state = self.state()
        failed = (f", {state.failed} failed", "red") if state.failed else ""
        return Group(
            ProgressBar(total=state.total, completed=state.done + state.failed, width=60),
            Text.assemble(f"{state.done} of {state.total} done", failed, f", {state.waiting} waiting"),
            *(Text(f"  {seconds:5.0f} s  {name}") for name, seconds in state.running.items()),
        )
