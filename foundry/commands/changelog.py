"""Say in Markdown what changed in a published model between two versions: source, toolchain, settings, files,
closeness, speed.

Versions are tags of git (`minilm@v1.2.0`), or any revision whose outputs are in DVC's cache or remote.

python -m foundry.commands.changelog MODEL BEFORE [AFTER]      # AFTER: the working tree by default
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from foundry.base import command
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.publishing import provenance
from foundry.publishing.provenance import Provenance, Variant
from foundry.reporting.differences import SAME_CLOSENESS, speed_verdict
from foundry.reporting.rendering import ratio_text, render

HUB = Path("artifacts/hub")
Change = tuple[str, Any, Any]  # what, before, after


def changed(before: Mapping[str, Any], after: Mapping[str, Any], within: str = "") -> list[Change]:
    """The keys whose values differ, those of mappings inside by dotted names; None where there was or is none."""
    found: list[Change] = []
    for key in sorted({*before, *after}):
        old, new, name = before.get(key), after.get(key), f"{within}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changed(old, new, f"{name}.")
        elif old != new:
            found.append((name, old, new))
    return found


def closeness(before: Variant, after: Variant) -> list[Change]:
    """The cosines that moved by more than rounding."""
    pairs = [(name, before["figures"].get(name), after["figures"].get(name)) for name in ("mean_cosine", "min_cosine")]
    return [
        (name, f"{old:.4f}", f"{new:.4f}")
        for name, old, new in pairs
        if old is not None and new is not None and abs(new - old) >= SAME_CLOSENESS
    ]


def speed(before: Variant, after: Variant) -> list[Change]:
    """The lengths of texts on which a variant got faster or slower to torch, by more than both intervals allow for."""
    return [
        (f"{group} texts", ratio_text(old), ratio_text(after["speed"][group]))
        for group, old in before["speed"].items()
        if group in after["speed"] and speed_verdict(old, after["speed"][group]) in ("faster", "slower")
    ]


def difference(before: Provenance, after: Provenance) -> dict[str, Any]:
    """What changed from one foundry.json to another, by what it is about."""
    old, new = before["variants"], after["variants"]
    both = [name for name in new if name in old]
    same_host = before["host"]["host"] == after["host"]["host"]
    return {
        "source": changed(before["source"], after["source"]),
        "source_files": changed(before["source_files"], after["source_files"]),
        "toolchain": changed(before["host"]["libraries"], after["host"]["libraries"]),
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "settings": {name: rows for name in both if (rows := changed(old[name]["settings"], new[name]["settings"]))},
        "files": [name for name in both if old[name]["files"] != new[name]["files"]],
        "closeness": {name: rows for name in both if (rows := closeness(old[name], new[name]))},
        "speed": {name: rows for name in both if same_host and (rows := speed(old[name], new[name]))},
        "hosts": None if same_host else (before["host"]["host"], after["host"]["host"]),
    }


def read(model: str, revision: str | None) -> Provenance:
    """The foundry.json of a revision, out of DVC's cache or remote; without one, that of the working tree.

    Raises:
        FoundryError: when it cannot be had.
    """
    if revision is None:
        return provenance.read(HUB / model)
    import dvc.api
    from dvc.exceptions import DvcException

    path = (HUB / model / provenance.NAME).as_posix()
    try:
        return provenance.parse(dvc.api.read(path, rev=revision, encoding="utf-8"), f"{path} at {revision}")
    except (DvcException, OSError) as error:
        raise FoundryError(
            f"{path} of {revision} cannot be had: {error}. Is it a revision, and has `dvc push` been run there?"
        ) from error


def main(
    model: Annotated[str, typer.Argument(help="A model of params.yaml.")],
    before: Annotated[str, typer.Argument(help="A git revision or tag.")],
    after: Annotated[str | None, typer.Argument(help="Another; the working tree by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write it to this file, too.")] = None,
) -> None:
    found = difference(read(model, before), read(model, after))
    text = render("changelog.md.j2", model=model, before=before, after=after, **found)
    say(text.rstrip())
    if out is not None:
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    command.run(main)
