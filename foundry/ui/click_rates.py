"""How fast each user may click: Gradio has one queue for all, and forgets the answers of its oldest sessions."""

import time
from collections.abc import Callable

from foundry.ui import limits


class ClickRates:
    """A bucket of clicks for each user, which fills again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # by user, how many clicks were left, and when

    def take(self, user: str) -> bool:
        """Whether the user may click now."""
        now = self.clock()
        left, then = self._left.pop(user, (float(limits.CLICKS_AT_ONCE), now))
        left = min(left + (now - then) * limits.CLICKS_PER_SECOND, float(limits.CLICKS_AT_ONCE))
        if len(self._left) >= limits.RATED_USERS:
            self._left.pop(next(iter(self._left)))  # who clicked longest ago
        self._left[user] = (left - 1 if left >= 1 else left, now)
        return left >= 1
