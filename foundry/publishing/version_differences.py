"""What changed in a published model from one version to another, by their foundry.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundry.publishing import provenance
from foundry.publishing.provenance import Provenance, Variant
from foundry.reporting.differences import SAME_CLOSENESS, speed_verdict
from foundry.reporting.rendering import ratio_text
from foundry.tracking import versions

HUB = Path("artifacts/hub")
Change = tuple[str, Any, Any]  # what, before, after


def read(model: str, revision: str | None) -> Provenance:
    """The foundry.json of a revision, out of DVC's cache or remote; without one, that of the working tree.

    Raises:
        FoundryError: when it cannot be had.
    """
    if revision is None:
        return provenance.read(HUB / model)
    path = (HUB / model / provenance.NAME).as_posix()
    return provenance.parse(versions.read_text(path, revision), f"{path} at {revision}")


def changed(before: Mapping[str, Any], after: Mapping[str, Any], within: str = "") -> list[Change]:
    """The keys whose values differ, those of mappings inside by dotted names; None where there was or is none."""
    changes: list[Change] = []
    for key in sorted({*before, *after}):
        old, new, name = before.get(key), after.get(key), f"{within}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes += changed(old, new, f"{name}.")
        elif old != new:
            changes.append((name, old, new))
    return changes


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
