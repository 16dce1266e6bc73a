"""The JSON schema of params.yaml, which editors complete and check it with."""

import json
from pathlib import Path

from foundry.base import files
from foundry.params.schema import Params

PATH = Path("params.schema.json")


def json_schema() -> str:
    """The schema as the text of its file."""
    return json.dumps(Params.model_json_schema(by_alias=True), indent=2) + "\n"


def write(path: Path = PATH) -> None:
    """Write the schema; it is committed, and a test compares it with the code."""
    with files.replacing(path) as partial:
        partial.write_text(json_schema(), encoding="utf-8")
