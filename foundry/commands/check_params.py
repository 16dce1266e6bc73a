"""Say every mistake in params.yaml at once, or that there is none; with `--write-schema`, write its JSON schema."""

import json
from pathlib import Path

from foundry.base import command, files
from foundry.base.progress import say
from foundry.params import reading, schema

SCHEMA = Path("params.schema.json")


def json_schema() -> str:
    """The JSON schema that editors complete params.yaml with."""
    return json.dumps(schema.Params.model_json_schema(by_alias=True), indent=2) + "\n"


def main(path: Path = reading.PARAMS, write_schema: bool = False) -> None:
    if write_schema:
        with files.replacing(SCHEMA) as partial:
            partial.write_text(json_schema(), encoding="utf-8")
        return
    checked = reading.read(path)
    say(f"{path}: good. {len(checked.models)} model(s), {len(checked.variants)} variants each.")


if __name__ == "__main__":
    command.run(main)
