"""Uploads of a page that others use: whose each is, how much each user may send, and when it is removed."""

import json
import time
from pathlib import Path

from foundry.ui import workspaces

SECONDS = 3600.0  # that an upload is kept, and over which a user's bytes are counted
MOST_BYTES_EACH = 100_000_000  # that one user sends in that time, whether or not it arrives whole
MOST_BYTES_KEPT = 500_000_000  # of all users together


class UploadLimits:
    """What was uploaded, and by whom.

    Args:
        folder: Where Gradio keeps uploads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owners: dict[str, set[str]] = {}  # by path
        self.received: dict[str, tuple[float, int]] = {}  # by user: since when, and the bytes

    def refusal(self, user: str) -> str | None:
        """Why a user may not upload now; None where nothing speaks against it."""
        self.remove_old()
        if self.received.get(user, (0.0, 0))[1] > MOST_BYTES_EACH:
            return f"{MOST_BYTES_EACH // 1_000_000} MB an hour are taken of each user: try again later"
        if workspaces.size_bytes(self.folder) > MOST_BYTES_KEPT:
            return "there is no room for uploads now: try again in an hour"
        return None

    def count(self, user: str, size: int) -> None:
        """Note that bytes of a user's arrived."""
        since, total = self.received.get(user, (time.time(), 0))
        self.received[user] = (since, total + size)

    def note(self, user: str, answer: bytes) -> None:
        """Note whose files are those that Gradio's answer to an upload names."""
        try:
            paths = json.loads(answer)
        except ValueError:
            return
        for path in paths if isinstance(paths, list) else []:
            self.owners.setdefault(str(path), set()).add(user)

    def is_own(self, user: str, path: object) -> bool:
        """Whether a path that a browser sent is an upload of this user's, and still there."""
        return isinstance(path, str) and user in self.owners.get(path, ()) and Path(path).is_file()

    def remove_old(self) -> None:
        """Remove what is older than an hour: parts of uploads that were broken off, too, which Gradio does not know."""
        now = time.time()
        for path in self.folder.rglob("*"):
            try:
                if path.is_file() and path.stat().st_mtime + SECONDS < now:
                    path.unlink()
            except OSError:  # removed meanwhile
                continue
        self.owners = {path: users for path, users in self.owners.items() if Path(path).is_file()}
        self.received = {user: row for user, row in self.received.items() if row[0] + SECONDS > now}
