"""Which variant to deploy on this machine, in sentences: by its benchmark, or measured now on the user's own texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.benchmarking import other_load, planning, session, speeds
from foundry.benchmarking.settings import Benchmark as BenchmarkSettings
from foundry.benchmarking.settings import Requests, Setting
from foundry.benchmarking.speeds import BASELINE, Benchmark
from foundry.loading import cuda
from foundry.reporting import recommendation, ways
from foundry.reporting.rendering import loading_lines, lost, ratio_text, short
from foundry.validation import results
from foundry.validation.quality import quality_loss
from foundry.variants.precisions import Device

USER_TEXTS = "own"  # the name of the user's texts among a benchmark's groups


def read_validations(folder: Path, variants: list[str]) -> dict[str, results.Validation]:
    """The verdicts of a model's variants.

    Raises:
        FoundryError: when one is not there.
    """
    if missing := [name for name in variants if not (folder / f"{name}.json").is_file()]:
        raise FoundryError(f"{folder}: no verdict on {', '.join(missing)}; run `dvc repro`")
    return {name: files.read_json(folder / f"{name}.json") for name in variants}


def read_benchmark(model: str, artifacts: Path, host: str, device: Device = "cpu") -> Benchmark:
    """The benchmark of the model on this machine's processor or GPU, as `dvc repro` measured it.

    Raises:
        FoundryError: when there is none.
    """
    host = speeds.measured_on(host, device)
    path = artifacts / "benchmarks" / model / f"{host}.json"
    by_host = speeds.read([path] if path.is_file() else [])
    if host not in by_host:
        raise FoundryError(
            f"{path} is not there: {model} has no benchmark of this machine and toolchain. "
            "Run `dvc repro`, or measure now with --texts"
        )
    return by_host[host]


def measure_now(
    model: str,
    artifacts: Path,
    machine: dict[str, Any],
    settings: BenchmarkSettings,
    variants: Mapping[str, str],
    texts: list[str],
    settings_to_measure: Mapping[str, Setting],
    with_requests: bool = False,
    device: Device = "cpu",
) -> Benchmark:
    """Measure torch, these variants, each with its precision class, and these settings on the user's texts.

    Requests at a load are measured only if they are asked for: others need the time for their own rounds.

    Raises:
        FoundryError: when the device is a GPU, and torch cannot use one.
    """
    name = settings.effort if device == "cpu" else settings.cuda_effort
    if name is None:
        raise FoundryError("params.yaml names no effort for a GPU: set benchmark.cuda_effort")
    if device == "cuda":
        cuda.require("torch")
    folder = artifacts / "models" / model
    rows = planning.rows_to_measure(folder, {BASELINE: "fp32", **variants}, settings_to_measure, device)
    effort = settings.efforts[name]
    if not with_requests:
        effort = effort.model_copy(update={"requests": Requests(share=0)})
    return session.benchmark(model, folder, rows, {USER_TEXTS: texts}, machine, name, effort, device)


def within_budget(validations: Mapping[str, results.Validation], budget: float) -> list[str]:
    """The variants that passed and lose no more quality than the budget allows."""
    return [
        name
        for name, validation in validations.items()
        if validation["verdict"] == "passed" and quality_loss(validation["checks"]).share <= budget
    ]


def settings_within_budget(
    settings: Mapping[str, Setting], validations: Mapping[str, results.Validation], budget: float
) -> dict[str, Setting]:
    """The ways to run a file in another precision that passed, and lose no more quality than the budget allows."""
    judged = ways.validated_settings(settings, validations)
    names = within_budget({name: verdict for name, (_, verdict) in judged.items()}, budget)
    return {name: judged[name][0] for name in names}


def advise(answer: recommendation.Answer, where: str, facts: Mapping[str, Any]) -> list[str]:
    """The answer in sentences, and the lines of code that load the variant from `where`."""
    if answer["withheld"] == other_load.NOT_RELIABLE:
        return ["Nothing is recommended for this use. Stop what else runs here, and measure again."]
    if answer["withheld"]:
        return [f"Nothing is recommended: {answer['withheld']}."]
    if answer["variant"] is None:
        return [f"Nothing that passed validation keeps the budget: {recommendation.budget_label(answer['budget'])}."]
    variant, equals = answer["variant"], answer["same_within_noise"]
    what = {"latency": "one text takes", "requests": "95% of the requests are answered within",
            "throughput": "it embeds", "size": "it has"}[answer["use"]]  # fmt: skip
    batch = recommendation.batches(answer)
    than = "smaller than" if answer["use"] == "size" else "as fast as"
    lines = [
        f"{variant}: {what} {short(answer['value'])} {answer['unit']}{batch}; "
        f"{ratio_text(answer['to_torch'])} {than} torch; quality lost: {lost(answer)}.",
    ]
    if answer["same_bytes"]:
        lines.append(f"The same bytes: {', '.join(answer['same_bytes'])}.")
    if answer["runner_up"]:
        within = ", no difference within noise" if answer["runner_up"] in equals else ""
        lines.append(f"The next: {answer['runner_up']}; {variant} is at {ratio_text(answer['to_runner_up'])}{within}.")
    if equals:
        lines.append(f"No difference within noise: {', '.join(equals)}.")
    if answer["warning"]:
        lines.append(f"Beware: {variant} {answer['warning']}; a text's embedding depends on the texts beside it.")
    if answer["precision"] != "f32" and answer["device"] == "cpu":
        lines.append(f"It passed in {answer['precision']} on a machine that computes in it, as this one does.")
    return [
        *lines,
        "",
        lines_to_run(answer, where, answer["file"] or variant, facts),
    ]


def lines_to_run(answer: recommendation.Answer, where: str, file: str, facts: Mapping[str, Any]) -> str:
    """The lines of code that load the file from `where` and run it as the answer says."""
    if answer["runner"] != "foundry_runtime":
        lines = loading_lines(where, file, facts, precision=answer["precision"], device=answer["device"])
    else:
        from foundry_runtime.model import CLASSES

        name = CLASSES[facts["kind"]]
        precision = [] if answer["precision"] == "f32" else [f'precision="{answer["precision"]}"']
        device = [] if answer["device"] == "cpu" else [f'device="{answer["device"]}"']
        settings = [f"{key}={value}" for key, value in answer["settings"].items()]
        arguments = ", ".join([f'"{where}"', f'"{file}"', *precision, *device, *settings])
        lines = f"from foundry_runtime import {name}\n\nmodel = {name}({arguments})"
    if answer["callers"] is None:
        return lines
    callers = "One thread calls" if answer["callers"] == 1 else f"{answer['callers']} threads call"
    before, _, last = lines.rpartition("\n")
    return f"{before}\n# {callers} it, for one text at a time.\n{last}"
