"""Nothing that is published says where on this machine something was."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

# An absolute path, or one from somebody's home; no part of an address, of a fraction or of a relative path.
LOCAL_PATH = re.compile(r"(?<![\w:/.~<>-])(?:file://)?(?:~[\w-]*)?(?:/[^/\s\"'`:,;()<>|]+)+/?")


def without_local_paths(value: Any) -> Any:
    """A value of JSON in which each path of this machine is its last part alone, wherever in a text it stands.

    A path is this machine's when it is absolute and begins with a folder that is there: `/home/me/model` is `model`.
    """
    if isinstance(value, dict):
        return {without_local_paths(key): without_local_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_local_paths(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if value.startswith("/") and Path(value).exists():  # as a whole, blanks and all
        return Path(value).name
    return LOCAL_PATH.sub(_last_part, value)


def _last_part(match: re.Match[str]) -> str:
    path = match[0].removeprefix("file://")
    is_local = path.startswith("~") or Path("/", path.split("/")[1]).exists()
    return PurePosixPath(path).name if is_local else match[0]
