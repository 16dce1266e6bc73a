"""Say which variant to deploy on this machine, by its benchmark, or measured now on your own texts. A command.

python -m foundry.commands.recommend minilm --use latency --budget 0.004 --texts my.txt
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from foundry.base import command, files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.benchmarking import machine_profile as host_stage
from foundry.benchmarking import session as measuring_stage
from foundry.benchmarking import speeds
from foundry.benchmarking.speeds import BASELINE, Benchmark
from foundry.params import reading, schema
from foundry.reporting import recommendation
from foundry.reporting.rendering import loading_lines, ratio_text, short
from foundry.validation import results

ARTIFACTS = Path("artifacts")
OWN = "own"  # the group of texts that the user gave


class Use(StrEnum):
    """What counts."""

    latency = "latency"
    throughput = "throughput"
    size = "size"


def read_texts(path: Path) -> list[str]:
    """The user's texts, one a line.

    Raises:
        FoundryError: when there is no such file, or no text in it.
    """
    if not path.is_file():
        raise FoundryError(f"{path} is no file; --texts takes a text file with one text a line")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise FoundryError(f"{path} is not UTF-8: {error}") from error
    if not any(lines):
        raise FoundryError(f"{path} holds no text; --texts takes a text file with one text a line")
    return [line for line in lines if line]


def read_validations(folder: Path, variants: list[str]) -> dict[str, results.Validation]:
    """The verdicts of a model's variants.

    Raises:
        FoundryError: when one is not there.
    """
    if missing := [name for name in variants if not (folder / f"{name}.json").is_file()]:
        raise FoundryError(f"{folder}: no verdict on {', '.join(missing)}; run `dvc repro`")
    return {name: files.read_json(folder / f"{name}.json") for name in variants}


def measured_before(model: str, artifacts: Path, host: str) -> Benchmark:
    """This machine's benchmark of the model.

    Raises:
        FoundryError: when there is none.
    """
    path = artifacts / "benchmarks" / model / f"{host}.json"
    found = speeds.read([path] if path.is_file() else [])
    if host not in found:
        raise FoundryError(
            f"{path} is not there: {model} has no benchmark of this machine and toolchain. "
            "Run `dvc repro`, or measure now with --texts"
        )
    return found[host]


def measure_now(
    model: str, artifacts: Path, machine: dict[str, Any], settings: schema.Params, wanted: list[str], texts: list[str]
) -> Benchmark:
    """Torch and the wanted variants on the user's texts."""
    folder = artifacts / "models" / model
    found = measuring_stage.rows(folder, list(dict.fromkeys([BASELINE, *wanted])), {})
    effort = settings.benchmark.efforts[settings.benchmark.effort]
    return measuring_stage.benchmark(
        model, folder, found, {OWN: texts}, machine, settings.benchmark.effort, effort
    )  # fmt: skip


def advise(answer: recommendation.Answer, where: str, facts: Mapping[str, Any]) -> list[str]:
    """The answer in sentences, and the lines that load the variant."""
    if answer["variant"] is None:
        return [f"Nothing that passed validation keeps the budget: {recommendation.budget_label(answer['budget'])}."]
    chosen, others = answer["variant"], answer["same_within_noise"]
    what = {"latency": "one text takes", "throughput": "it embeds", "size": "it has"}[answer["use"]]
    batch = f" in batches of {answer['batch_size']}" if answer["use"] == "throughput" else ""
    than = "smaller" if answer["use"] == "size" else "as fast"
    lines = [
        f"{chosen}: {what} {short(answer['value'])} {answer['unit']}{batch}; "
        f"{ratio_text(answer['to_torch'])} {than} {'than' if than == 'smaller' else 'as'} torch; "
        f"it loses {100 * (answer['loss'] or 0):.2g}% of quality.",
    ]
    if answer["same_bytes"]:
        lines.append(f"The same bytes: {', '.join(answer['same_bytes'])}.")
    if answer["runner_up"]:
        within = ", no difference within noise" if answer["runner_up"] in others else ""
        lines.append(f"The next: {answer['runner_up']}; {chosen} is at {ratio_text(answer['to_runner_up'])}{within}.")
    if others:
        lines.append(f"No difference within noise: {', '.join(others)}.")
    if answer["warning"]:
        lines.append(f"Beware: {chosen} {answer['warning']}; a text's embedding depends on the texts beside it.")
    return [*lines, "", loading_lines(where, chosen, facts)]


def main(
    model: Annotated[str, typer.Argument(help="A model of params.yaml.")],
    use: Annotated[Use, typer.Option(help="What counts: one text at a time, many at once, or the file's size.")],
    budget: Annotated[float, typer.Option(min=0, max=1, help="How much quality may be lost: 0.004 is 0.4%.")] = 0.01,
    texts: Annotated[Path | None, typer.Option(help="Measure now on these: one text a line.")] = None,
    group: Annotated[str | None, typer.Option(help="Which of the benchmark's texts; the first by default.")] = None,
    artifacts: Annotated[Path, typer.Option(help="Where `dvc repro` wrote.")] = ARTIFACTS,
) -> None:
    settings = reading.read()
    if model not in settings.models:
        raise FoundryError(f"{model} is no model; params.yaml has {', '.join(settings.models)}")
    validations = read_validations(artifacts / "validation" / model, settings.variant_names)
    facts = host_stage.profile()
    machine = {"host": host_stage.key(facts), **facts}
    if texts is not None:
        kept = [
            name
            for name, validation in validations.items()
            if validation["verdict"] == "passed" and recommendation.quality_loss(validation) <= budget
        ]
        found = measure_now(model, artifacts, machine, settings, kept, read_texts(texts))
    else:
        found = measured_before(model, artifacts, machine["host"])
    groups = list(found["groups"])
    if group is not None and group not in groups:
        raise FoundryError(f"{group} is no group of texts; there are {', '.join(groups)}")
    if use is Use.size:
        answer = recommendation.by_size(found, validations, budget)
    else:
        what = recommendation.USES[use is Use.throughput]
        answer = recommendation.by_speed(found, validations, what, group or groups[0], budget)
    for line in advise(answer, str(artifacts / "hub" / model), validations[BASELINE]["facts"]):
        say(line)


if __name__ == "__main__":
    command.run(main)
