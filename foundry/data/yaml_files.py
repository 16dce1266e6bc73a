"""Texts in a YAML file: all that stands below one key, as it stands there; nothing is taken for a number or a date."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from foundry.base.errors import FoundryError
from foundry.data import text_files


class _PlainLoader(yaml.BaseLoader):
    """Every value is a string. Aliases are refused: a few lines of them may stand for millions of texts."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not read", problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)


def texts(path: Path, key: str, encoding: str = "utf-8") -> Iterator[str]:
    """The texts of the list below `key`, lists in it included, in their order; the whole file is read into memory.

    Raises:
        FoundryError: when the file cannot be read, has no such key, or below it what is neither text nor list.
    """
    try:
        root = yaml.compose("".join(text_files.lines(path, encoding)), Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise FoundryError(f"{path}{line}: is no YAML that is read here ({error.problem})") from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise FoundryError(f"{path}: is no YAML that is read here ({reason})") from error
    if not isinstance(root, yaml.MappingNode):
        raise FoundryError(f"{path}: a mapping is expected, in which `{key}` has the texts")
    below = {name.value: value for name, value in root.value if isinstance(name, yaml.ScalarNode)}
    if key not in below:
        raise FoundryError(f"{path}: has no key `{key}`; there are {', '.join(below) or 'none'}")
    yield from _texts(path, below[key])


def _texts(path: Path, node: Any) -> Iterator[str]:
    if isinstance(node, yaml.ScalarNode):
        yield node.value
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _texts(path, item)
    else:
        raise FoundryError(f"{path}, line {node.start_mark.line + 1}: is a mapping; a text or a list is expected")
