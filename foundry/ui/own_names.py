"""Random names that browsers choose, of their sessions and uploads: each is of the user who first used it."""

from collections.abc import Callable

from foundry.ui import limits


class OwnNames:
    """Names by user. Of a user with too many, the name is forgotten that was not used for the longest time; where there
    are too many of all users, one of the user who has the most.

    Args:
        forgotten: Is called with each name that is forgotten.
    """

    def __init__(self, forgotten: Callable[[str], object] = lambda name: None) -> None:
        self.forgotten = forgotten
        self.owners: dict[str, str] = {}
        self.of_each: dict[str, dict[str, None]] = {}  # the names of each user, the one that was used last at the end

    def claim(self, name: str, user: str) -> str:
        """Whose a name is: the user's, where nobody has used it before."""
        if (owner := self.owners.setdefault(name, user)) != user:
            return owner
        names = self.of_each.setdefault(user, {})
        names.pop(name, None)
        names[name] = None
        if len(names) > limits.SESSIONS_OF_EACH:
            self._forget_oldest(user)
        elif len(self.owners) > limits.SESSIONS:
            self._forget_oldest(max(self.of_each, key=lambda other: len(self.of_each[other])))
        return user

    def _forget_oldest(self, user: str) -> None:
        name = next(iter(self.of_each[user]))
        del self.of_each[user][name], self.owners[name]
        if not self.of_each[user]:
            del self.of_each[user]
        self.forgotten(name)
