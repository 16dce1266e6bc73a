"""Reading params.yaml, with every mistake in it named at once."""

from pathlib import Path
from typing import Any

from foundry.base import credentials
from foundry.base.errors import FoundryError
from foundry.params import resolving
from foundry.params.schema import Params

PARAMS = Path("params.yaml")


def read(path: Path = PARAMS) -> Params:
    """Read and check the whole of params.yaml.

    Raises:
        FoundryError: with one line per mistake: the key, the value, and what is allowed.
    """
    raw = read_yaml(path)
    try:
        return resolving.validated(raw)
    except FoundryError as error:
        lines = [f"  {credentials.hidden(line)}" for line in str(error).splitlines()]
        raise FoundryError("\n".join([f"{path} has {len(lines)} mistake(s):", *lines])) from error


def read_yaml(path: Path) -> Any:
    """The values of a YAML file; a key that stands twice in a mapping is an error.

    Raises:
        FoundryError: when it is not there, or is no valid YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FoundryError(f"{path} is not there; run from the project's root") from error
    except MarkedYAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = str(error.problem).partition(" with value ")[0]  # of a key that stands twice, not what it holds
        problem = credentials.hidden(" ".join(map(credentials.could_be_hidden, problem.split())))
        raise FoundryError(f"{path}{place} is not valid YAML: {problem}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise FoundryError(f"{path} is not valid YAML: {credentials.hidden(str(error))}") from error
