"""Read params.yaml, and report every mistake in it at once."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from foundry.base.errors import FoundryError
from foundry.params.mistakes import explain
from foundry.params.schema import Params

PARAMS = Path("params.yaml")


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := sorted({key for key in own if own.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read(path: Path = PARAMS) -> Params:
    """Read and check the whole of params.yaml.

    Raises:
        FoundryError: with one line per mistake: the key, the value, and what is allowed.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError as error:
        raise FoundryError(f"{path} is not there; run from the project's root") from error
    except yaml.YAMLError as error:
        raise FoundryError(f"{path} is not valid YAML: {error}") from error
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [explain(detail, Params) for detail in error.errors(include_url=False)]
        raise FoundryError(
            f"{path} has {len(lines)} mistake(s):\n" + "\n".join(f"  {line}" for line in lines)
        ) from error
