"""A line about long work on standard error, written over where it is a terminal."""

import sys
import time

SECONDS_BETWEEN = 0.5  # on a terminal
SECONDS_BETWEEN_LINES = 10.0  # in a log


class Progress:
    """How many of `total` texts are done, how fast, and how long it will still take."""

    def __init__(self, total: int, shown: bool) -> None:
        self._total, self._shown, self._done = total, shown, 0
        self._start = self._last = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def add(self, count: int) -> None:
        """Count texts that are done."""
        self._done += count
        now = time.monotonic()
        wait = SECONDS_BETWEEN if self._is_terminal else SECONDS_BETWEEN_LINES
        is_last = self._done >= self._total
        if self._shown and (is_last or now - self._last >= wait):
            self._last = now
            rate = self._done / max(now - self._start, 1e-9)
            rest = f"{(self._total - self._done) / rate:,.0f} s left"
            line = f"{self._done:,} of {self._total:,} texts, {rate:,.0f} texts/s, {rest}"
            end = "\n" if is_last or not self._is_terminal else "\r"
            print(f"{line:<70}", end=end, file=sys.stderr, flush=True)
