"""Whether outputs were made from one another: dvc.lock says with which inputs each stage was run, and what it made."""

from collections.abc import Iterable
from pathlib import Path

from foundry.tracking import lock

SETTINGS = "params.yaml"


def broken_links(paths: Iterable[Path], settings: Path = Path(SETTINGS)) -> list[str]:
    """A line for each stage above these outputs that was run with another input than dvc.lock has now.

    Such is a verdict on other bytes, by another reference or with other thresholds, which a run of single stages
    leaves.

    Raises:
        FoundryError: when there is no dvc.lock, or it cannot be read.
    """
    entries = lock.stages()
    made_by = {out["path"]: (stage, out["md5"]) for stage, entry in entries.items() for out in entry.get("outs", [])}
    lines: list[str] = []
    waiting = [made_by[path.as_posix()][0] for path in paths if path.as_posix() in made_by]
    seen: set[str] = set()
    while waiting:
        stage = waiting.pop()
        if stage in seen:
            continue
        seen.add(stage)
        for dep in entries[stage].get("deps", []):
            path = dep["path"]
            if path in made_by:
                waiting.append(made_by[path][0])
                if dep.get("md5") != made_by[path][1]:
                    lines.append(f"{stage} was run with another {path}")
            elif path == SETTINGS and dep.get("md5") != lock.digest(settings):
                lines.append(f"{stage} was run with another {settings}")
            else:  # a folder of outputs, or a file of an output that is a folder
                near = (out for out in made_by if out.startswith(f"{path}/") or path.startswith(f"{out}/"))
                waiting += [made_by[out][0] for out in near]
    return sorted(lines)
