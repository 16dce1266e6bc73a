"""Add a model to params.yaml, pinned to a revision.

SOURCE is org/name on the Hub, a local folder, or package:module/path (files that an installed Python package
ships). The rest of params.yaml, and its comments, stay as they are. In dvc.yaml, the model joins those whose
versions can be registered. `dvc repro` then builds it.
"""

from pathlib import Path
from typing import Annotated

import typer
from foundry_runtime.router import Role

from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.variants.checkpoint_folder import Kind


def main(
    name: Annotated[str, typer.Argument(help="What the model is called here: letters, digits, - and _.")],
    source: Annotated[str, typer.Argument(help="org/name, a folder, or package:module/path.")],
    revision: Annotated[
        str | None, typer.Option(help="A branch, tag or commit on the Hub; pinned is its commit. By default main.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="By default what the checkpoint itself says.")] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the checkpoint's own Python files: read them first.")
    ] = False,
    skip: Annotated[list[str] | None, typer.Option(help="A variant that it goes without; may be repeated.")] = None,
    base: Annotated[
        str | None, typer.Option(help="The model that an adapter was trained on, where SOURCE is the adapter alone.")
    ] = None,
    base_revision: Annotated[str | None, typer.Option(help="As --revision, of the base.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="The folder of an adapter, where SOURCE ships several; it is merged.")
    ] = None,
    side: Annotated[
        Role | None, typer.Option(help="Of a SOURCE with a Router, the side that is built: query or document.")
    ] = None,
    repo: Annotated[str | None, typer.Option(help="Where on the Hub to publish it: needed with `to: hub`.")] = None,
) -> None:
    from foundry.base import files
    from foundry.params import adding, reading
    from foundry.tracking import artifacts

    adding.check_name(name)
    if base is None and base_revision is not None:
        raise FoundryError(f"--base-revision {base_revision} is of a base, and there is no --base")
    of_base = None if base is None else adding.resolve(base, base_revision, "--base-revision")
    origin = adding.resolve(source, revision)
    model = adding.NewModel(name, origin, kind, trust_remote_code, skip or [], repo, of_base, adapter, side)
    # As bytes, so that line breaks stay as they are. Both are edited and checked before either is written.
    edited: dict[Path, str] = {reading.PARAMS: adding.with_model(reading.PARAMS.read_bytes().decode(), model)}
    if artifacts.PIPELINE.is_file():
        text = artifacts.PIPELINE.read_bytes().decode()
        edited[artifacts.PIPELINE] = artifacts.with_artifact(text, name, adding.label(model.source))
    for path, text in edited.items():
        with files.replacing(path) as partial:
            partial.write_bytes(text.encode())
    pinned = ", ".join(f"{key} {value}" for key, value in origin.model_dump().items())
    say(f"{reading.PARAMS}: {name} is added ({pinned}); `dvc repro` builds it")
