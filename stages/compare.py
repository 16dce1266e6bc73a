"""Show what got slower, faster, worse or better between two machines, or two revisions. A command.

    python -m stages.compare minilm --revision v1.0 --revision HEAD
    python -m stages.compare minilm --host amd-epyc-2-cores-1a2b3c --host xeon-8-cores-4d5e6f

A difference in speed is shown where the intervals of both ratios to torch do not overlap. Torch is that of the same
machine and revision, so what changed in torch itself, or in the machine, stands in texts a second alone.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer

from stages.shared import command, params, results, speeds
from stages.shared.command import StageError
from stages.shared.rendering import ratio_text
from stages.shared.timings import SAME_SPEED, Ratio

ARTIFACTS = Path("artifacts")
# A mean cosine that moves by less than this moved by rounding.
SAME_CLOSENESS = 1e-4


class Side(TypedDict):
    """One of the two that are compared."""

    name: str
    benchmark: speeds.Benchmark | None
    validations: dict[str, results.Validation]


class Difference(TypedDict):
    """One variant on one length of texts, before and after."""

    variant: str
    what: str
    before: str
    after: str
    verdict: str  # slower, faster, worse, better, same, or what is missing


def speed_verdict(before: Ratio | None, after: Ratio | None) -> str:
    """Whether the second ratio is another than the first: only where their intervals do not overlap, and by
    more than anyone would overlook."""
    if before is None or after is None:
        return "gone" if before else "new" if after else "same"
    if None in (before["low"], before["high"], after["low"], after["high"]):
        return "too few rounds"
    apart = (after["high"] or 0) < (before["low"] or 0) or (after["low"] or 0) > (before["high"] or 0)
    if not apart or abs(after["median"] / before["median"] - 1) < SAME_SPEED:
        return "same"
    return "slower" if after["median"] < before["median"] else "faster"


def closeness_verdict(before: results.Validation | None, after: results.Validation | None) -> str:
    """Whether the verdict or the mean cosine changed, by more than both intervals allow for."""
    if before is None or after is None:
        return "gone" if before else "new"
    if before["verdict"] != after["verdict"]:
        return "better" if after["verdict"] == "passed" else "worse"
    old, new = (results.value_of(side, "mean_cosine") for side in (before, after))
    if old is None or new is None or abs(new - old) < SAME_CLOSENESS:
        return "same"
    return "worse" if new < old else "better"


def differences(before: Side, after: Side) -> list[Difference]:
    """Every variant's closeness, and its speed on each length of texts that both sides have."""
    found: list[Difference] = []
    for variant in dict.fromkeys([*before["validations"], *after["validations"]]):
        old, new = before["validations"].get(variant), after["validations"].get(variant)
        found.append(
            {
                "variant": variant,
                "what": "closeness",
                "before": _closeness(old),
                "after": _closeness(new),
                "verdict": closeness_verdict(old, new),
            }
        )
        for group in _groups(before, after):
            for what, size in (("in batches", None), ("one by one", speeds.SINGLE)):
                ratios = [_ratio(side, variant, group, size) for side in (before, after)]
                if any(ratios) and variant != speeds.BASELINE:
                    found.append(
                        {
                            "variant": variant,
                            "what": f"{group} texts {what}",
                            "before": ratio_text(ratios[0]),
                            "after": ratio_text(ratios[1]),
                            "verdict": speed_verdict(*ratios),
                        }
                    )
    return found


def _groups(before: Side, after: Side) -> list[str]:
    return [
        group
        for group in (before["benchmark"] or {"groups": {}})["groups"]
        if group in (after["benchmark"] or {"groups": {}})["groups"]
    ]


def _ratio(side: Side, variant: str, group: str, size: str | None) -> Ratio | None:
    return speeds.to_torch(side["benchmark"], variant, group, size) if side["benchmark"] else None


def _closeness(validation: results.Validation | None) -> str:
    if validation is None:
        return ""
    mean = results.value_of(validation, "mean_cosine")
    return validation["verdict"] + ("" if mean is None else f" {mean:.4f}")


def read_revision(model: str, revision: str, host: str | None, variants: list[str]) -> Side:
    """What DVC's cache holds of a git revision.

    Raises:
        StageError: when there is no such revision, or its outputs are not to be had.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    try:
        system = DVCFileSystem(".", rev=revision)
        hosts = _json_files(system, f"artifacts/benchmarks/{model}")
        validations = _json_files(system, f"artifacts/validation/{model}")
    except (DvcException, SCMError, OSError) as error:
        raise StageError(f"revision {revision}: {error}. Are its outputs pushed, and pulled here?") from error
    return _side(revision, hosts, validations, host, variants)


def read_host(model: str, host: str, variants: list[str]) -> Side:
    """What stands in the workspace of one machine."""
    hosts = _json_files(None, f"artifacts/benchmarks/{model}")
    return _side(host, hosts, _json_files(None, f"artifacts/validation/{model}"), host, variants)


def _json_files(system: Any, folder: str) -> dict[str, Any]:
    """Every JSON file of a folder by its name, from a revision or (without one) the workspace."""
    if system is None:
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).glob("*.json"))}
    if not system.isdir(folder):
        return {}
    paths = sorted(str(path) for path in system.ls(folder, detail=False))
    return {Path(path).stem: json.loads(system.read_text(path)) for path in paths if path.endswith(".json")}


def _side(
    name: str, hosts: Mapping[str, Any], validations: Mapping[str, Any], host: str | None, variants: list[str]
) -> Side:
    if host is not None and host not in hosts:
        raise StageError(f"{name}: no benchmark of host {host}; there are {', '.join(hosts) or 'none'}")
    if host is None and len(hosts) > 1:
        raise StageError(f"{name}: benchmarks of {len(hosts)} hosts; name one with --host: {', '.join(hosts)}")
    chosen = hosts[host] if host else next(iter(hosts.values()), None)
    if chosen is not None and chosen.get("format") != speeds.FORMAT:
        raise StageError(f"{name}: its benchmark was written by an earlier version, in another shape")
    ordered = [*(one for one in variants if one in validations), *(one for one in validations if one not in variants)]
    return {"name": name, "benchmark": chosen, "validations": {one: validations[one] for one in ordered}}


def print_table(before: Side, after: Side, found: list[Difference], everything: bool) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    shown = [row for row in found if everything or row["verdict"] != "same"]
    table = Table(title=f"{before['name']} → {after['name']}", title_justify="left")
    for column in ("variant", "what", before["name"], after["name"], ""):
        table.add_column(column)
    colours = {"slower": "bold red", "worse": "bold red", "gone": "yellow", "faster": "green", "better": "green"}
    for row in shown:
        style = colours.get(row["verdict"], "default")
        table.add_row(row["variant"], row["what"], row["before"], row["after"], f"[{style}]{row['verdict']}[/]")
    console = Console(width=None if sys.stdout.isatty() else 160)
    if shown:
        console.print(table)
    console.print(f"{len(found) - sum(row['verdict'] != 'same' for row in found)} of {len(found)} are the same.")


def main(
    model: Annotated[str, typer.Argument(help="A model of params.yaml.")],
    revision: Annotated[list[str] | None, typer.Option(help="A git revision; give two.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="A machine; give two, or one for both revisions.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write all of it to this JSON file, too.")] = None,
) -> None:
    from stages.shared import files

    settings = params.read()
    variants, revisions, hosts = settings.variant_names, revision or [], host or []
    if model not in settings.models:
        raise StageError(f"{model} is no model; params.yaml has {', '.join(settings.models)}")
    if len(revisions) == 2 and len(hosts) <= 1:
        sides = [read_revision(model, one, hosts[0] if hosts else None, variants) for one in revisions]
    elif not revisions and len(hosts) == 2:
        sides = [read_host(model, one, variants) for one in hosts]
    else:
        raise StageError(
            f"got {len(revisions)} revisions and {len(hosts)} hosts; give --revision twice (and at most one --host), "
            "or --host twice"
        )
    found = differences(sides[0], sides[1])
    print_table(sides[0], sides[1], found, everything)
    if out is not None:
        files.write_json(out, found)


if __name__ == "__main__":
    command.run(main)
