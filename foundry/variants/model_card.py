"""Model cards as people write them: in any encoding, and with front matter that may be broken. None ends a build."""

import datetime
import re
from pathlib import Path
from typing import Any, NamedTuple

# The dashes that end it begin a line.
FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(?:(.*?)\r?\n)??---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


class Card(NamedTuple):
    """A model card."""

    data: dict[str, Any]  # its front matter; empty where there is none, or where it is broken
    text: str  # what follows it
    mistake: str | None  # what is wrong with the front matter


def read(path: Path) -> str:
    """A card's text; empty where there is no card."""
    return decode(path.read_bytes()) if path.is_file() else ""


def decode(content: bytes) -> str:
    """A card's text: UTF-8 or UTF-16 with a byte order mark, UTF-8 without, or else Latin-1, in which every byte is a
    letter."""
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def parse(text: str) -> Card:
    """A card's front matter and the text after it."""
    import yaml

    match = FRONT_MATTER.match(text)
    if match is None:
        return Card({}, text, None)
    rest = text[match.end() :]
    try:
        data = yaml.safe_load(match[1] or "")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 2}: " if mark is not None else ""  # counted with the dashes before it
        problem = getattr(error, "problem", None) or next(iter(str(error).splitlines()), type(error).__name__)
        return Card({}, rest, f"its front matter is no YAML: {where}{problem}")
    if data is not None and not isinstance(data, dict):
        return Card({}, rest, f"its front matter is a {type(data).__name__}, and a mapping was expected")
    return Card({str(key): value for key, value in (data or {}).items()}, rest, None)


def texts(value: Any) -> list[str]:
    """A value that people write as a text or as a list of texts, such as tags and licences."""
    if value is None:
        return []
    # What is no word, such as a list inside, is left out: YAML's references make a few lines into gigabytes.
    entries = value if isinstance(value, list) else [value]
    words = [
        str(entry) for entry in entries if isinstance(entry, str | bool | float | datetime.date) or _is_short(entry)
    ]
    return [word.encode("utf-8", "replace").decode("utf-8") for word in words]


def are_texts(value: Any) -> bool:
    """Whether `texts` leaves nothing of a value out."""
    return value is None or len(texts(value)) == (len(value) if isinstance(value, list) else 1)


def _is_short(value: Any) -> bool:
    """Whether a value is an integer that Python writes as a text."""
    return isinstance(value, int) and abs(value) < 10**18


def licence(path: Path) -> str | None:
    """The licence that a card's front matter names; several are joined by a comma."""
    return ", ".join(texts(parse(read(path)).data.get("license"))) or None
