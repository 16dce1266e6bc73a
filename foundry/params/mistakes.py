"""Mistakes in settings, in the words of the file: the key, the value, and what is allowed.

What could be a token, put into the wrong place or the wrong file, is described and not repeated: errors end in logs.
"""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import Tag

from foundry.base.credentials import could_be_hidden, described, hidden, shown
from foundry.base.settings import Section


def explain(detail: Any, schema: type[Section]) -> str:
    """One of pydantic's errors as a line: the key, the value, and what `schema`, that of the whole file, allows."""
    kind, value = detail["type"], detail["input"]
    key, allowed = _place(detail["loc"], schema, unknown=kind == "extra_forbidden")
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


def _place(location: tuple[Any, ...], schema: type[Section], unknown: bool) -> tuple[str, list[str]]:
    """A place as the user wrote it; where its last part is an `unknown` key, also the keys that are allowed there.

    Pydantic's locations hold what the user never wrote, too: the chosen branch of a union, and `[key]`.
    """
    kind: Any = schema
    written: list[str] = []
    for part in location:
        step = _step(kind, part)
        if step is not None:
            kind, is_branch = step
            written += [] if is_branch else [could_be_hidden(str(part))]
    allowed: list[str] = []
    if unknown:
        written.append(could_be_hidden(str(location[-1])))
        allowed = sorted(key for _, leaf in _leaves(kind) if _is_section(leaf) for key in _keys(leaf))
    return ".".join(written) or "the whole file", allowed


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
