"""What a cell of a table may hold: a text or a finite number, and nothing that only looks like one."""

import math
import re
from collections.abc import Sequence
from typing import Any

from foundry.base.errors import FoundryError

SHOWN_CHARACTERS = 60
# Half of a pair of UTF-16: JSON can write it, but no encoding of Unicode can.
SURROGATE = re.compile("[\ud800-\udfff]")


def text(place: str, column: str, value: Any) -> str:
    """The value, which must be a text, if only an empty one.

    Raises:
        FoundryError: for null, a number, a list and whatever else is no text.
    """
    if not isinstance(value, str):
        raise FoundryError(f"{place}: {column!r} is {kind(value)}, and a text is expected")
    if not value.isascii() and SURROGATE.search(value):
        raise FoundryError(f"{place}: {column!r} holds half of a surrogate pair, which is no character: {shown(value)}")
    return value


def filled_text(place: str, column: str, value: Any) -> str:
    """`text` that is more than white space.

    Raises:
        FoundryError: as `text`, and for an empty one.
    """
    if not text(place, column, value).strip():
        raise FoundryError(f"{place}: {column!r} is empty, and a text is expected")
    return str(value)


def number(place: str, column: str, value: Any) -> float:
    """The value as a finite number; it may be written as a text, as in every CSV file.

    Raises:
        FoundryError: for what is not a number, and for nan and infinities.
    """
    result = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        # Python's own notation of numbers allows underscores; no data file means 10 by "1_0".
        try:
            result = math.nan if "_" in str(value) else float(value)
        except (ValueError, OverflowError):
            result = math.nan
    if not math.isfinite(result):
        raise FoundryError(f"{place}: {column!r} is {kind(value)}, not a number (finite, with a point for decimals)")
    return result


def identifier(place: str, column: str, value: Any) -> str:
    """The id of a document or query, which may be written as a text or as a whole number.

    Raises:
        FoundryError: for an empty one, and for any other kind of value.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return filled_text(place, column, value)


def kind(value: Any) -> str:
    """What a value is, and its beginning, for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {shown(value)}"
    names: dict[type, str] = {str: "the text", list: "a list", tuple: "a list", dict: "an object", bytes: "bytes"}
    return f"{names.get(type(value), type(value).__name__)} {shown(value)}"


def shown(value: Any) -> str:
    """The beginning of a value, in one line."""
    # The slice comes first: the representation of a whole document is as long as that.
    written = ascii_safe(repr(value[: SHOWN_CHARACTERS + 1] if isinstance(value, str | bytes | list) else value))
    return written if len(written) <= SHOWN_CHARACTERS else written[: SHOWN_CHARACTERS - 1] + "…"


def ascii_safe(written: str) -> str:
    """The text with what cannot be printed, such as half of a surrogate pair, as an escape."""
    return written.encode("utf-8", "backslashreplace").decode("utf-8")


def listed(names: Sequence[str]) -> str:
    """Column names in one line, as many as fit."""
    whole = ", ".join(" ".join(name.split()) or "(no name)" for name in names)
    return whole if len(whole) <= 3 * SHOWN_CHARACTERS else whole[: 3 * SHOWN_CHARACTERS - 1] + "…"


def require_columns(where: str, wanted: Sequence[str], there: Sequence[str]) -> None:
    """Check that a table has the wanted columns.

    Raises:
        FoundryError: names the first that it lacks, and those that it has; or one that is there twice.
    """
    if missing := [name for name in wanted if name not in there]:
        raise FoundryError(f"{where} has no column {missing[0]!r}; its columns are {listed(there)}")
    if doubled := [name for name in wanted if list(there).count(name) > 1]:
        raise FoundryError(f"{where} has more than one column {doubled[0]!r}; its columns are {listed(there)}")
