"""Add or change an entry in the text of a YAML file: every other byte, comments too, stays as it is.

ruamel.yaml's round trip keeps comments, but not the line breaks of flow mappings; so it only says where the entry goes.
"""

import textwrap
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from foundry.base.errors import FoundryError

NEVER_WRAP = 10_000  # characters


def with_entry(text: str, keys: Sequence[str], name: str, value: Any) -> str:
    """The text with `name: value` as the last entry of the mapping that is reached by `keys`.

    Raises:
        FoundryError: when there is no such mapping, or the result does not read as the text and the entry.
    """
    mapping = find(text, keys)
    if mapping is None:
        raise FoundryError(f"there is no mapping {'.'.join(keys)}")
    edited = in_flow(text, mapping, name, value) if mapping.flow_style else in_block(text, mapping, name, value)
    expected = load(text)
    target = expected
    for key in keys:
        target = target[key]
    target[name] = value
    try:
        is_right = load(edited) == expected
    except YAMLError:
        is_right = False
    if not is_right:  # such as where YAML's merge key takes the mapping into another one
        entry = dump(name, value, flow=True)
        raise FoundryError(f"{'.'.join(keys)} is written in a way that cannot be edited; add there: {entry}")
    return edited


def with_values(text: str, values: Mapping[Sequence[str], Any]) -> str:
    """The text with other words, numbers or truth values as the values of entries that there are, by their keys.

    A word that stands in quotes stays in them.

    Raises:
        FoundryError: when an entry is not there, or the result does not read as the text with these values.
    """
    expected = load(text)
    places: dict[int, tuple[int, str]] = {}  # by where the value starts: where it ends, and the new one
    for keys, value in values.items():
        mapping = find(text, keys[:-1])
        node = next((node for key, node in mapping.value if key.value == keys[-1]), None) if mapping else None
        written = dump("value", value, flow=True).removeprefix("value: ")
        if not isinstance(node, ScalarNode):
            raise FoundryError(f"{'.'.join(keys)} is written in a way that cannot be edited; write there: {written}")
        if node.style and isinstance(value, str):
            written = f"{node.style}{value}{node.style}"
        places[node.start_mark.index] = (node.end_mark.index, written)
        expected = _with_value(expected, keys, value)
    for start in sorted(places, reverse=True):
        end, value = places[start]
        text = text[:start] + value + text[end:]
    try:
        is_right = load(text) == expected
    except YAMLError:
        is_right = False
    if not is_right:  # such as an alias, which other entries share
        rows = ", ".join(f"{'.'.join(keys)}: {value}" for keys, value in values.items())
        raise FoundryError(f"these are written in a way that cannot be edited, such as an alias; write there: {rows}")
    return text


def _with_value(mapping: Any, keys: Sequence[str], value: Any) -> Any:
    """A copy of nested mappings with another value: what aliases share is changed at this place alone."""
    first, *rest = keys
    return {**mapping, first: _with_value(mapping[first], rest, value) if rest else value}


def find(text: str, keys: Sequence[str]) -> MappingNode | None:
    """The mapping that is reached by `keys`, with its place in the text; None where there is none."""
    node: Node | None = YAML(typ="rt").compose(text)
    for key in keys:
        entries = node.value if isinstance(node, MappingNode) else []
        node = next((value for written, value in entries if written.value == key), None)
    return node if isinstance(node, MappingNode) else None


def in_flow(text: str, mapping: MappingNode, name: str, value: Any) -> str:
    """Add an entry between the braces of a mapping."""
    entry = dump(name, value, flow=True)
    if not mapping.value:
        place = mapping.end_mark.index - 1
        return text[:place] + entry + text[place:]
    place = end_of_entry(*mapping.value[-1])
    return f"{text[:place]}, {entry}{text[place:]}"


def in_block(text: str, mapping: MappingNode, name: str, value: Any) -> str:
    """Add an entry below the last one of a mapping, and as far to the right."""
    line_break = "\r\n" if "\r\n" in text else "\n"
    indent = " " * mapping.value[0][0].start_mark.column
    entry = textwrap.indent(dump(name, value), indent).replace("\n", line_break)
    end_of_line = text.find("\n", max(end_of(mapping) - 1, 0))
    if end_of_line == -1:
        return f"{text}{line_break}{entry}{line_break}"
    return f"{text[: end_of_line + 1]}{entry}{line_break}{text[end_of_line + 1 :]}"


def end_of_entry(key: Node, value: Node) -> int:
    """Where a key and its value end; an alias is its key's neighbour, but has the place of what it stands for."""
    is_alias = value.start_mark.index < key.end_mark.index
    return int(key.end_mark.index) if is_alias else end_of(value)


def end_of(node: Node) -> int:
    """Where the last thing ends that is written in a node: the end of a block is below the comments after it."""
    if not isinstance(node, CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return end_of_entry(*last) if isinstance(last, tuple) else end_of(last)


def load(text: str) -> Any:
    """The values of a YAML text."""
    return YAML(typ="safe", pure=True).load(text)


def dump(name: str, value: Any, flow: bool = False) -> str:
    """An entry as YAML: `name: value`, without a line break at its end.

    Of a mapping, a line for each key with the mappings and lists inside in one line; all in one line when `flow`.
    """
    yaml = YAML(typ="rt")
    yaml.width = NEVER_WRAP
    whole = CommentedMap({name: _in_lines(value)})
    if flow:
        whole.fa.set_flow_style()
    stream = StringIO()
    yaml.dump(whole, stream)
    text = stream.getvalue().rstrip("\n")
    return text.removeprefix("{").removesuffix("}") if flow else text


def _in_lines(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    lines = CommentedMap()
    for key, inner in value.items():
        lines[key] = inner
        if isinstance(inner, dict):
            lines[key] = CommentedMap(inner)
            lines[key].fa.set_flow_style()
        elif isinstance(inner, list):
            lines[key] = CommentedSeq(inner)
            lines[key].fa.set_flow_style()
    return lines
