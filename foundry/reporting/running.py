"""How rows were run, as the report shows it: settings of foundry_runtime, scaling over streams, requests at a load."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from foundry.benchmarking import speeds
from foundry.benchmarking.speeds import Benchmark
from foundry.benchmarking.timings import Ratio
from foundry.reporting import ways
from foundry.reporting.rows import MergedRow
from foundry.variants import precisions


class RequestRow(TypedDict):
    """How a row answers requests at a load."""

    label: str
    how: str  # it is served
    p50_ms: float | None
    p95_ms: float | None
    to_torch: Ratio | None  # torch's p95 as a ratio to its own
    rounds: int  # fewer than of others, once it could be told apart from them
    unanswered: int


class SettingRow(TypedDict):
    """What the search chose for a row, use and group of texts, and what that gained."""

    label: str
    use: str
    group: str
    chosen: str
    to_rule: float | None  # as fast as by the runtime's own rule, so many times; None where that is what was chosen
    tried: int


def label(row: MergedRow, group: str) -> str:
    """A way to run in two lines: the file and its precision; what runs it, and with which settings."""
    file = precisions.way(row["setting_of"] or row["variant"], row["inference_precision"])
    size = row["speeds"][group]["batch_size"]
    batches = f"batches of {size}" if size and size > 1 else "one by one"
    if row["runner"] != "foundry_runtime":
        return f"{file}\n{batches}"
    settings = row["search"]["chosen"].get("throughput", {}).get(group, {}) if row["search"] else {}
    shown = {name: value for name, value in settings.items() if name != "threads"}
    return f"{file}\n{ways.in_words(shown) or 'batches by tokens'}"


def scaling(table: Sequence[MergedRow], group: str) -> dict[str, dict[int, float]]:
    """Texts a second by the number of streams of one thread each, for each file that was tried so; fewest first."""
    curves: dict[str, dict[int, float]] = {}
    for row in table:
        points: dict[int, float] = {}
        for trial in row["search"]["trials"] if row["search"] else ():
            settings, first = trial["settings"], next(iter(trial["texts_per_second"]), None)
            if (trial["use"], trial["group"]) != ("throughput", group) or first is None:
                continue
            if settings["threads"] == settings["streams"]:
                points.setdefault(settings["streams"], first)
        if len(points) > 1:
            name = precisions.way(row["setting_of"] or row["variant"], row["inference_precision"])
            curves[name] = dict(sorted(points.items()))
    return curves


def request_rows(benchmark: Benchmark, table: Sequence[MergedRow]) -> list[RequestRow]:
    """The rows that requests were measured of, the soonest answers first, compared with torch in the same rounds."""
    records = benchmark["variants"]
    rows: list[RequestRow] = []
    for row in table:
        times = row["requests"]
        if times is None:
            continue
        single = times["single_threads"]
        threads = "" if single is None else f", {ways.in_words({'single_threads': single})} each"
        callers = "1 caller" if times["callers"] == 1 else f"{times['callers']} callers"
        rows.append(
            {
                "label": ways.of_row(row["variant"], records[row["variant"]]).label,
                "how": f"{callers}{threads}",
                "p50_ms": speeds.typical(times["p50_ms"]),
                "p95_ms": speeds.typical(times["p95_ms"]),
                "to_torch": speeds.requests_versus(records, row["variant"], speeds.BASELINE),
                "rounds": len(speeds.known(times["p95_ms"])),
                "unanswered": times["unanswered"],
            }
        )
    return sorted(rows, key=lambda row: -row["to_torch"]["median"] if row["to_torch"] else 0.0)


def setting_rows(table: Sequence[MergedRow]) -> list[SettingRow]:
    """What the search chose for every row that foundry_runtime runs."""
    rows: list[SettingRow] = []
    for row in table:
        if row["search"] is None:
            continue
        name = ways.WayToRun(row["setting_of"] or row["variant"], row["inference_precision"], row["runner"]).label
        for use, groups in row["search"]["chosen"].items():
            for group, settings in groups.items():
                trials = [trial for trial in row["search"]["trials"] if (trial["use"], trial["group"]) == (use, group)]
                rows.append(
                    {
                        "label": name,
                        "use": use,
                        "group": group,
                        "chosen": ways.in_words(settings),
                        "to_rule": _gain(trials, settings, row["search"]["rule"][use]),
                        "tried": len(trials),
                    }
                )
    return rows


def _gain(trials: Sequence[speeds.SettingTrial], settings: Mapping[str, int], rule: Mapping[str, int]) -> float | None:
    """The speed of what was chosen as a ratio to that of the runtime's own rule; None where it is that."""
    series = [next((one["texts_per_second"] for one in trials if one["settings"] == of), []) for of in (settings, rule)]
    if settings == rule:
        return None
    pairs = zip(*series, strict=False)
    return speeds.typical([ours / rules if ours and rules else None for ours, rules in pairs])
