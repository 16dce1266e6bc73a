"""How far a project is, stage by stage: by dvc.lock and what is there, and by the run that goes on or was the last."""

import time
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import yaml
from ruamel.yaml.error import YAMLError

from foundry.base import files, yaml_editing
from foundry.base.errors import FoundryError
from foundry.tracking import lock
from foundry.ui import estimates, jobs
from foundry.ui.jobs import Event, Job
from foundry.ui.workspaces import Workspace
from foundry.variants.variant_folder import SKIPPED

State = Literal["waiting", "running", "cached", "done", "failed", "skipped", "blocked", "stopped"]
PIPELINE = "dvc.yaml"
# What each state means, for a reader who does not see its colour.
MEANINGS: dict[State, str] = {
    "waiting": "is to be run",
    "running": "runs now",
    "cached": "taken from DVC's cache",
    "done": "done",
    "failed": "failed",
    "skipped": "this model cannot have it, or goes without",
    "blocked": "not run, because a stage that it needs failed",
    "stopped": "was stopped, and begins again with the next run",
}


class Stage(NamedTuple):
    """A stage of DVC's, such as `export@minilm-onnx`."""

    name: str
    kind: str  # the stage in dvc.yaml
    model: str | None
    variant: str | None
    outs: list[str]  # paths below the project


class Row(NamedTuple):
    """A stage, and how it stands."""

    stage: Stage
    state: State
    note: str  # a verdict, or why it was skipped
    seconds: float | None  # that it took, or has taken


class Progress(NamedTuple):
    """All stages, and the run."""

    rows: list[Row]
    job: Job | None
    seconds_left: float | None  # an estimate; None when nothing runs

    def count(self, *states: State) -> int:
        """How many stages are in one of these states."""
        return sum(row.state in states for row in self.rows)


def stages(root: Path) -> list[Stage]:
    """Every stage of dvc.yaml with params.yaml filled in, in running order, under DVC's names.

    Raises:
        FoundryError: when one of the two cannot be read.
    """
    try:
        pipeline: dict[str, Any] = yaml.safe_load((root / PIPELINE).read_text(encoding="utf-8"))["stages"]
        params: dict[str, Any] = yaml_editing.load((root / "params.yaml").read_text(encoding="utf-8"))
        return [stage for kind, definition in pipeline.items() for stage in _items(kind, definition, params)]
    except (OSError, yaml.YAMLError, YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        why = " ".join(str(error).split())[:300]
        raise FoundryError(f"{PIPELINE} and params.yaml do not fit together: {why}") from error


def _items(kind: str, definition: dict[str, Any], params: dict[str, Any]) -> list[Stage]:
    outs = [next(iter(out)) if isinstance(out, dict) else str(out) for out in definition["outs"]]
    matrix: dict[str, str] = definition.get("matrix", {})
    combinations: list[dict[str, str]] = [{}]
    for name, source in matrix.items():
        keys = list(params[source.removeprefix("${").removesuffix("}")] or ())
        combinations = [{**item, name: key} for item in combinations for key in keys]
    rows = []
    for item in combinations:
        label = f"{kind}@{'-'.join(item.values())}" if item else kind
        variant = item.get("variant") or item.get("format")
        rows.append(Stage(label, kind, item.get("model"), variant, [_filled(out, item) for out in outs]))
    return rows


def _filled(text: str, item: dict[str, str]) -> str:
    for name, value in item.items():
        text = text.replace(f"${{item.{name}}}", value)
    return text


def read(workspace: Workspace) -> Progress:
    """How far the project is now."""
    job = jobs.latest(workspace)
    listed = stages(workspace.root)
    events = jobs.read_events(job) if job is not None else []
    built = built_stages(workspace.root)
    now = time.time()
    states = states_of(events, job)
    rows = []
    for stage in listed:
        state, seconds = states.get(stage.name, ("done" if stage.name in built else "waiting", None))
        # The last run failed, and the command line has built it since; or the settings were changed after it.
        if job is not None and not job.running and state in ("done", "cached") and stage.name not in built:
            state = "waiting"
        note = ""
        if state in ("done", "cached"):
            note = note_on(workspace.root, stage)
            if note.startswith("skipped"):
                state, note = "skipped", note.removeprefix("skipped: ")
        rows.append(Row(stage, state, note, seconds))
    if job is not None and not job.running and any(row.state == "failed" for row in rows):
        rows = [row._replace(state="blocked") if row.state == "waiting" else row for row in rows]
    left = seconds_left(workspace, rows, now) if job is not None and job.running else None
    return Progress(rows, job, left)


def states_of(events: list[Event], job: Job | None) -> dict[str, tuple[State, float | None]]:
    """The state of each stage that the run has said something of, and how long it took or has taken."""
    states: dict[str, tuple[State, float | None]] = {}
    for event, following, end in jobs.in_turn(events, job.record["ended"] if job else None):
        state, name = event["state"], event["stage"]
        if state == "running":
            seconds = (end or time.time()) - event["at"]
            states[name] = ("done", seconds)
            if following is None and job is not None:
                states[name] = (_last_state(job, any(row["state"] == "failed" for row in events)), seconds)
        elif state == "failed":
            states[name] = ("failed", states.get(name, ("failed", None))[1])
        elif state in ("cached", "blocked"):
            states[name] = (cast(State, state), None)
        elif states.get(name, ("", None))[0] not in ("done", "failed"):  # what DVC says of it again changes nothing
            states[name] = ("done", None)
    if job is not None and job.record["stopped"] and not job.running:  # Ctrl-C ends a stage, which DVC calls failed
        after: dict[State, State] = {"failed": "stopped", "blocked": "waiting"}
        states = {name: (after.get(state, state), took) for name, (state, took) in states.items()}
    return states


def _last_state(job: Job, others_failed: bool) -> State:
    """The state of the stage that the run named last; where others failed, the run's exit code is theirs."""
    if job.running:
        return "running"
    if job.record["stopped"]:
        return "stopped"
    if job.record["ended"] is None:
        return "stopped"
    return "done" if job.record["exit_code"] == 0 or others_failed else "failed"


def built_stages(root: Path) -> set[str]:
    """The stages that dvc.lock has, whose outputs are there."""
    try:
        entries = lock.stages(root / lock.LOCK)
    except FoundryError:  # nothing was built yet, or DVC writes the file just now
        return set()
    return {
        name for name, entry in entries.items() if all((root / out["path"]).exists() for out in entry.get("outs", []))
    }


def note_on(root: Path, stage: Stage) -> str:
    """What a reader wants to know of a stage that is done: a verdict, or that the model cannot have the variant."""
    try:
        if stage.kind == "validate":
            verdict = files.read_json(root / stage.outs[0])
            return f"skipped: {verdict['reason']}" if verdict["verdict"] == "skipped" else str(verdict["verdict"])
        skipped = root / stage.outs[0] / SKIPPED
        if stage.variant is not None and skipped.is_file():
            return f"skipped: {files.read_json(skipped).get('reason', '')}"
    except (OSError, ValueError, KeyError, IndexError, AttributeError):
        return ""
    return ""


def seconds_left(workspace: Workspace, rows: list[Row], now: float) -> float:
    """About how long the run still takes: by what each stage took here before, else by the size of its model."""
    took = jobs.history(workspace)
    sizes = {model: estimates.weights_mb(workspace.root, model) for model in {row.stage.model for row in rows} if model}
    total = 0.0
    for row in rows:
        if row.state in ("waiting", "running"):
            expected = took.get(row.stage.name) or estimates.stage_seconds(
                row.stage.kind, sizes.get(row.stage.model or "")
            )
            total += max(expected - (row.seconds or 0.0), 0.0)
    return total
