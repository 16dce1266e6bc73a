"""Adding to the lists in a model card's front matter, where every other character stays as its author wrote it."""

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from foundry.base import yaml_editing
from foundry.base.errors import FoundryError


def with_texts(text: str, key: str, values: str | list[str]) -> str:
    """The front matter with these texts, or this one, as the value of a key; comments and order stay.

    Args:
        text: YAML that reads as a mapping, or an empty text.
        key: Of the whole, such as `tags`.
        values: All that the key is to have, those that it has first."""
    expected = {**(yaml.safe_load(text) or {}), key: values}
    try:
        edited = edit(text, key, values)
        if dumped(yaml.safe_load(edited)) == dumped(expected):
            return edited
    except (YAMLError, yaml.YAMLError, FoundryError, ValueError, RecursionError):
        pass
    return dumped(expected)  # in forms that hardly anybody writes, the comments go


def dumped(value: Any) -> str:
    """YAML of the values, in their order. Two values are compared by it: references stay short in it."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=yaml_editing.NEVER_WRAP)


def edit(text: str, key: str, values: str | list[str]) -> str:
    """The text with the texts written in the place of the key's value; the caller checks that it reads as meant."""
    root: Node | None = YAML(typ="rt").compose(text)
    written_value = json.dumps(values, ensure_ascii=False)  # as YAML has it, too
    if root is None:
        return f"{text}{key}: {written_value}\n"
    if not isinstance(root, MappingNode):
        raise FoundryError("the front matter is no mapping")
    entry = next((entry for entry in reversed(root.value) if entry[0].value == key), None)
    if entry is None:
        add = yaml_editing.in_flow if root.flow_style else yaml_editing.in_block
        return add(text, root, key, values)
    written, value = entry
    start, end = value.start_mark.index, yaml_editing.end_of(value)
    if start < written.end_mark.index:  # an alias, which has the place of what it stands for
        alias = re.compile(r"\s*:\s*\*[^\s,\]}]+").match(text, written.end_mark.index)
        if alias is None:
            raise FoundryError(f"{key} is written in a way that cannot be edited")
        return f"{text[: written.end_mark.index]}: {written_value}{text[alias.end() :]}"
    if start == end:  # an empty value; its place is somewhere after the colon
        colon = text.index(":", written.end_mark.index) + 1
        return f"{text[:colon]} {written_value}{text[colon:]}"
    present = yaml.safe_load(text)[key]
    if isinstance(value, SequenceNode) and isinstance(values, list) and values[: len(present)] == present:
        added = [json.dumps(new, ensure_ascii=False) for new in values[len(present) :]]
        return in_sequence(text, value, added)
    return f"{text[:start]}{'' if text[start - 1].isspace() else ' '}{written_value}{text[end:]}"


def in_sequence(text: str, sequence: SequenceNode, added: Sequence[str]) -> str:
    """The text with further entries at the end of a list."""
    if not added:
        return text
    if sequence.flow_style:
        place = yaml_editing.end_of(sequence.value[-1]) if sequence.value else sequence.end_mark.index - 1
        return text[:place] + (", " if sequence.value else "") + ", ".join(added) + text[place:]
    line_break = "\r\n" if "\r\n" in text else "\n"
    indent = " " * sequence.start_mark.column
    lines = "".join(f"{indent}- {entry}{line_break}" for entry in added)
    end_of_line = text.find("\n", max(yaml_editing.end_of(sequence) - 1, 0))
    if end_of_line == -1:
        return f"{text}{line_break}{lines}"
    return f"{text[: end_of_line + 1]}{lines}{text[end_of_line + 1 :]}"
