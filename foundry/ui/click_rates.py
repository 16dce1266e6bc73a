"""How fast each user may click: Gradio has one queue for all, and forgets the answers of its oldest sessions."""

import time
from collections.abc import Callable

AT_ONCE = 40  # clicks, the page's own looks among them: a page that is loaded asks a dozen
PER_SECOND = 5.0  # and a page that watches a run once each two or three seconds
MOST_USERS = 10_000


class ClickRates:
    """A bucket of clicks for each user, which fills again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # by user, how many clicks were left, and when

    def take(self, user: str) -> bool:
        """Whether the user may click now."""
        now = self.clock()
        left, then = self._left.pop(user, (float(AT_ONCE), now))
        left = min(left + (now - then) * PER_SECOND, float(AT_ONCE))
        if len(self._left) >= MOST_USERS:
            self._left.pop(next(iter(self._left)))  # who clicked longest ago
        self._left[user] = (left - 1 if left >= 1 else left, now)
        return left >= 1
