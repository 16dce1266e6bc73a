"""Uploads of a page that others use: whose each is, how much each user may send, and when it is removed.

What an upload may hold is taken up for its user when it begins, and what of it has not arrived is given back when it
ends, however it ends: many at once may hold no more than one after the other.
"""

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from foundry.ui import limits
from foundry.ui.asking import RefusedError

# As browsers write it; what could be read in two ways is refused.
MULTIPART = re.compile(r"multipart/form-data; *boundary=([\w'()+,./:=?-]{8,70})", re.ASCII)


class Received(NamedTuple):
    """What a user sent, and since when it is counted."""

    since: float
    size: int  # in bytes
    files: int


class Upload:
    """An upload on its way.

    Args:
        most_bytes: That it may hold.
        content_type: The header that says what stands between its parts.

    Raises:
        RefusedError: when that is no such header.
    """

    def __init__(self, user: str, most_bytes: int, content_type: str) -> None:
        if (found := MULTIPART.fullmatch(content_type)) is None:
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "an upload is multipart/form-data")
        self.user, self.most_bytes, self.left = user, most_bytes, most_bytes
        self.delimiter = f"--{found[1]}".encode()
        self.parts = 0
        self._tail = b""

    def take(self, body: bytes) -> bool:
        """Count what arrived; whether it may be taken: the page sends one file at a time, of so many bytes."""
        self.left -= len(body)
        data, place, length = self._tail + body, 0, len(self.delimiter)
        while (found := data.find(self.delimiter, place)) >= 0 and found + length + 2 <= len(data):
            place = found + length
            self.parts += data[place : place + 2] != b"--"  # which ends the last part, and begins none
        self._tail = data[max(place, len(data) - length - 1) :]
        return self.left >= 0 and self.parts <= 1


class UploadLimits:
    """What was uploaded, and by whom.

    Args:
        folder: Where Gradio keeps uploads.
        for_each: Whether each user's bytes and files are limited, or only those of all together.
    """

    def __init__(self, folder: Path, for_each: bool) -> None:
        self.folder, self.for_each = folder, for_each
        self.owners: dict[str, set[str]] = {}  # by path
        self.received: dict[str, Received] = {}  # by user
        self.sending: set[Upload] = set()

    async def begin(self, user: str, most_bytes: int, content_type: str) -> Upload:
        """Take up what an upload may hold. Whoever began it calls `end`.

        Raises:
            RefusedError: when there is no room for it.
        """
        upload, now = Upload(user, most_bytes, content_type), time.time()
        self.received = {
            name: row for name, row in self.received.items() if row.since + limits.UPLOAD_KEPT_SECONDS > now
        }
        before = self.received.get(user, Received(now, 0, 0))
        if self.for_each:
            expected = sum(max(other.left, 0) for other in self.sending if other.user == user) + most_bytes
            if before.size + expected > limits.UPLOADED_BYTES_OF_EACH:
                raise _full(
                    f"{limits.UPLOADED_BYTES_OF_EACH // 1_000_000} MB an hour are taken of each user: try again later"
                )
            if before.files >= limits.UPLOADED_FILES_OF_EACH:
                raise _full(f"{limits.UPLOADED_FILES_OF_EACH} files an hour are taken of each user: try again later")
        self.received[user] = before._replace(files=before.files + 1)
        self.sending.add(upload)
        # Taken before the folder is looked at: what ends meanwhile is in one of both, or in both.
        expected, number = sum(other.most_bytes for other in self.sending), len(self.sending)
        try:
            size, count, gone = await asyncio.to_thread(tidy, self.folder, tuple(self.owners))
            for path in gone:
                self.owners.pop(path, None)
            if size + expected > limits.UPLOADED_BYTES or count + number > limits.UPLOADED_FILES:
                raise _full("there is no room for uploads now: try again in an hour")
        except BaseException:
            self.end(upload)
            row = self.received.get(user, before)
            self.received[user] = row._replace(files=max(row.files - 1, 0))
            raise
        return upload

    def arrived(self, upload: Upload, body: bytes) -> bool:
        """Count what arrived of an upload; whether it may be taken."""
        row = self.received.get(upload.user, Received(time.time(), 0, 0))
        self.received[upload.user] = row._replace(size=row.size + len(body))
        return upload.take(body)

    def end(self, upload: Upload) -> None:
        """Give back what did not arrive."""
        self.sending.discard(upload)

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


def _full(why: str) -> RefusedError:
    return RefusedError(HTTPStatus.INSUFFICIENT_STORAGE, why)


def tidy(folder: Path, known: Sequence[str]) -> tuple[int, int, list[str]]:
    """Remove what is older than an hour, and folders in which nothing is left: parts of uploads that were broken off,
    too, which Gradio does not know. Empty files beside the uploads' folders do not count, and go earlier.

    Args:
        known: Paths of uploads.

    Returns:
        The bytes and the number of files that are left, and the paths that are not there any more.
    """
    now, size, count = time.time(), 0, 0
    for path, _, names in os.walk(folder, topdown=False):
        try:
            since = Path(path).stat().st_mtime
        except OSError:
            continue
        for name in names:
            file = Path(path, name)
            try:
                status = file.lstat()
                # Gradio makes one with each click that names an upload; where one is on its way, it may be empty, too.
                is_of_a_click = Path(path) == folder and status.st_size == 0
                kept_seconds = limits.UPLOAD_SECONDS if is_of_a_click else limits.UPLOAD_KEPT_SECONDS
                if status.st_mtime + kept_seconds < now:
                    file.unlink()
                    continue
                if is_of_a_click:
                    continue
            except OSError:  # removed meanwhile
                continue
            size, count = size + status.st_size, count + 1
        if Path(path) != folder and since + limits.UPLOAD_MOVING_SECONDS < now:
            with contextlib.suppress(OSError):  # there is something in it
                Path(path).rmdir()
    return size, count, [path for path in known if not Path(path).is_file()]
