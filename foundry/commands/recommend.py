"""Say which variant to deploy on this machine.

For example: foundry recommend minilm --use latency --budget 0.004 --texts my.txt

By the benchmark of this machine that `dvc repro` measured; with --texts, measured now on your own texts.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.data import tables
from foundry.variants.precisions import Device


class Use(StrEnum):
    """What counts."""

    latency = "latency"
    requests = "requests"
    throughput = "throughput"
    size = "size"


def main(
    model: Annotated[str, typer.Argument(help="A model of params.yaml.")],
    use: Annotated[
        Use, typer.Option(help="What counts: one text at a time, requests at a load, many at once, or size.")
    ],
    budget: Annotated[float, typer.Option(min=0, max=1, help="How much quality may be lost: 0.004 is 0.4%.")] = 0.01,
    texts: Annotated[Path | None, typer.Option(help="Measure now on these: one text a line.")] = None,
    group: Annotated[str | None, typer.Option(help="Which of the benchmark's texts; the first by default.")] = None,
    device: Annotated[Device, typer.Option(help="Where it is to run: cuda is an NVIDIA GPU.")] = "cpu",
    artifacts: Annotated[Path, typer.Option(help="Where `dvc repro` wrote.")] = Path("artifacts"),
) -> None:
    from foundry.benchmarking import machine_profile, other_load
    from foundry.benchmarking.speeds import BASELINE
    from foundry.params import reading
    from foundry.reporting import advice, recommendation, ways

    params = reading.read()
    params.require_model(model)
    machine = machine_profile.named_profile()
    validations = recommendation.on_machine(
        advice.read_validations(artifacts / "validation" / model, params.variant_names), machine
    )
    if texts is not None:
        kept = advice.within_budget(ways.on_device(validations, device), budget)
        variants = {name: validations[name]["precision"] for name in kept}
        user_texts = tables.user_texts(texts)
        settings = advice.settings_within_budget(params.benchmark.settings, validations, budget)
        measured = advice.measure_now(
            model, artifacts, machine, params.benchmark, variants, user_texts, settings, use is Use.requests, device
        )
    else:
        measured = advice.read_benchmark(model, artifacts, machine["host"], device)
    groups = list(measured["groups"])
    if group is not None and group not in groups:
        raise FoundryError(f"{group} is no group of texts; there are {', '.join(groups)}")
    if use is Use.size:
        answer = recommendation.by_size(measured, validations, budget)
    else:
        if use is Use.requests:
            if measured["requests"] is None:
                raise FoundryError("no requests were measured: benchmark.efforts says `requests: {share: 0}`")
            answer = recommendation.by_requests(measured, validations, budget)
        else:
            what = recommendation.USES[use is Use.throughput]
            answer = recommendation.by_speed(measured, validations, what, group or groups[0], budget)
        say(other_load.describe(recommendation.load_of(measured, use is Use.requests)))
    for line in advice.advise(answer, str(artifacts / "hub" / model), validations[BASELINE]["facts"]):
        say(line)
