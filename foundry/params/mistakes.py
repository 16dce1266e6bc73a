"""Mistakes in settings, in the words of the file: the key, the value, and what is allowed.

What could be a token, put into the wrong place or the wrong file, is described and not repeated: errors end in logs.
"""

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import Tag, ValidationError

from foundry.base.credentials import could_be_hidden, described, hidden, shown
from foundry.base.settings import Section


def explain(detail: Any, schema: type[Section]) -> str:
    """One of pydantic's errors as a line: the key, the value, and what `schema`, that of the whole file, allows."""
    kind, value = detail["type"], detail["input"]
    keys, allowed = _written(detail["loc"], schema, unknown=kind == "extra_forbidden")
    key = place(keys) or "the whole file"
    if kind == "extra_forbidden":
        # Of a key that nobody knows, nobody knows what its text is.
        return f"{key}: unknown key, with value {described(value)}; allowed are {', '.join(allowed)}"
    if kind == "missing":
        return f"{key}: is missing"
    if kind == "value_error":
        return f"{key}: {hidden(str(detail['ctx']['error']))}"
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    if value is None:
        return f"{key}: is empty; {message}. An empty section is written {{}}"
    return f"{key}: got {shown(value, key)}; {message}"


def unknown_keys(error: ValidationError, schema: type[Section]) -> list[tuple[str, ...]]:
    """Of pydantic's errors, where there are keys that `schema`, that of the whole file, does not have."""
    details = error.errors(include_url=False)
    return [_written(row["loc"], schema, unknown=True)[0] for row in details if row["type"] == "extra_forbidden"]


def place(keys: Iterable[str]) -> str:
    """A place in a file for a message; a key that could be a token, put into the wrong place, is not repeated."""
    return ".".join(map(could_be_hidden, keys))


def _written(location: tuple[Any, ...], schema: type[Section], unknown: bool) -> tuple[tuple[str, ...], list[str]]:
    """The keys of a place as the user wrote them; where the last is `unknown`, also those that are allowed there.

    Pydantic's locations hold what the user never wrote, too: the chosen branch of a union, and `[key]`.
    """
    kind: Any = schema
    written: list[str] = []
    for part in location:
        step = _step(kind, part)
        if step is not None:
            kind, is_branch = step
            written += [] if is_branch else [str(part)]
    allowed: list[str] = []
    if unknown:
        written.append(str(location[-1]))
        allowed = sorted(key for _, leaf in _leaves(kind) if _is_section(leaf) for key in _keys(leaf))
    return tuple(written), allowed


def _step(kind: Any, part: Any) -> tuple[Any, bool] | None:
    """What stands at `part` of type `kind`, and whether `part` only chose a branch of a union."""
    for tag, leaf in _leaves(kind):
        if tag is not None and tag == part:
            return leaf, True
        if get_origin(leaf) in (dict, list):
            return get_args(leaf)[-1], False
        if _is_section(leaf) and part in (keys := _keys(leaf)):
            return keys[part], False
    return None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _keys(section: type[Section]) -> dict[str, Any]:
    """The keys of a section as they stand in the file, and their types."""
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _leaves(kind: Any, tag: str | None = None) -> Iterator[tuple[str | None, Any]]:
    """The types that a union, or one type, may be, each with its tag in a discriminated union."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        yield from _leaves(inner, next((mark.tag for mark in marks if isinstance(mark, Tag)), tag))
    elif get_origin(kind) in (Union, UnionType):
        for option in get_args(kind):
            yield from _leaves(option, tag)
    else:
        yield tag, kind
