"""What was found of a model: verdicts, speed against closeness, what to deploy, and how two versions differ."""

from typing import Any, NamedTuple

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.benchmarking import other_load
from foundry.benchmarking.speeds import BASELINE
from foundry.params.schema import Params
from foundry.reporting import advice, recommendation
from foundry.reporting.charts import as_file, closeness, svg
from foundry.reporting.rows import MergedRow, Row, build_rows, merge_same_bytes
from foundry.ui import editing, short_commands, version_history
from foundry.ui.workspaces import Workspace
from foundry.validation.results import Validation, WorstText

USES = ("latency", "requests", "throughput", "size")


class Results(NamedTuple):
    """All that is known of a model."""

    validations: dict[str, Validation]
    benchmark: Any  # of this machine; None where there is none
    rows: list[Row]


def read(workspace: Workspace, model: str) -> Results | None:
    """The verdicts there are on a model, and this machine's benchmark; None where nothing was validated yet."""
    params = editing.read(workspace)
    params.require_model(model)
    validations = read_validations(workspace, params, model)
    if BASELINE not in validations:
        return None
    benchmark = read_benchmark(workspace, model)
    return Results(validations, benchmark, build_rows(model, validations, benchmark))


def read_validations(workspace: Workspace, params: Params, model: str) -> dict[str, Validation]:
    """The verdicts there are, in the order of params.yaml."""
    folder = workspace.root / "artifacts/validation" / model
    paths = {name: folder / f"{name}.json" for name in params.variant_names}
    return {name: files.read_json(path) for name, path in paths.items() if path.is_file()}


def read_benchmark(workspace: Workspace, model: str) -> Any:
    """The benchmark of the machine that host.json names; None where there is none."""
    artifacts = workspace.root / "artifacts"
    try:
        return advice.read_benchmark(model, artifacts, files.read_json(artifacts / "host.json")["host"])
    except (FoundryError, OSError, KeyError, ValueError):
        return None


def worst_texts(validation: Validation) -> list[WorstText]:
    """The texts that a variant embeds least like torch does."""
    return validation["worst"]


def chart(results: Results, group: str) -> bytes:
    """Speed against the quality that is lost, with the Pareto front of what passed, as an SVG."""
    merged: list[MergedRow] = merge_same_bytes(results.rows)
    return as_file(svg(closeness(merged, group))).encode()


def groups(results: Results) -> list[str]:
    """The groups of texts that were measured."""
    return list(results.benchmark["groups"]) if results.benchmark else []


def recommend(results: Results, model: str, use: str, budget: float, group: str | None) -> list[str]:
    """What to deploy, in the sentences of `foundry recommend`.

    Raises:
        FoundryError: when nothing was measured, or what is asked for is not known.
    """
    if results.benchmark is None:
        raise FoundryError("nothing was measured on this machine yet: build first")
    if use not in USES:
        raise FoundryError(f"{use!r} is no use; there are {', '.join(USES)}")
    budget = min(max(float(budget), 0.0), 1.0)
    validations = recommendation.on_machine(results.validations, results.benchmark["machine"])
    if use == "size":
        answer = recommendation.by_size(results.benchmark, validations, budget)
        lines = []
    elif use == "requests":
        if results.benchmark["requests"] is None:
            raise FoundryError("no requests were measured: benchmark.efforts says `requests: {share: 0}`")
        answer = recommendation.by_requests(results.benchmark, validations, budget)
        lines = [other_load.describe(recommendation.load_of(results.benchmark, for_requests=True))]
    else:
        names = groups(results)
        if group not in names:
            raise FoundryError(f"{group!r} is no group of texts; there are {', '.join(names)}")
        what = recommendation.USES[use == "throughput"]
        answer = recommendation.by_speed(results.benchmark, validations, what, group, budget)
        lines = [other_load.describe(results.benchmark["other_load"])]
    return [*lines, *advice.advise(answer, f"artifacts/hub/{model}", validations[BASELINE]["facts"])]


def compare_versions(workspace: Workspace, model: Any, before: Any, after: Any) -> list[dict[str, str]]:
    """What `foundry compare` says of two versions.

    Raises:
        FoundryError: when one of them is none that was offered.
    """
    name = editing.require_model(workspace, model)
    known = [revision for _, revision in version_history.versions(workspace)]
    for revision in (before, after):
        if revision not in known:
            raise FoundryError(f"{revision!r} is no version of this project")
    out = workspace.state / "compared.json"
    short_commands.run(
        workspace,
        ["foundry", "compare", "--revision", str(before), "--revision", str(after), "--out", str(out), "--", name],
    )
    rows: list[dict[str, str]] = files.read_json(out)
    return rows
