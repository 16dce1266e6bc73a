"""Whether a verdict depends on which texts were drawn: the closeness checks of every variant for 20 seeds.

    python benchmarks/verdict_seeds.py [--seeds 20] > verdict_seeds.json

After `dvc repro`. Every sentence and document that the validation set may be drawn from is embedded once by torch and
by each variant; then each seed draws its own set, and the checks that depend on the texts are made on it.
"""

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

from foundry.data import sampling, tables
from foundry.loading import loader
from foundry.params import reading, schema
from foundry.validation import parity

MODELS = Path("artifacts/models")


def pool(settings: schema.Params) -> dict[str, list[str]]:
    """Each group's texts, from all that is not dealt to calibration or benchmark."""
    documents: list[str] = []
    for key, source in settings.sample.sources.items():
        cleaned, _, _ = sampling.clean(tables.texts(source))
        shares = {name: chosen.share[key] for name, chosen in settings.sample.sets.items() if key in chosen.share}
        documents += sampling.deal(cleaned, shares, f"{settings.sample.seed}/{key}").get("validation", [])
    groups = settings.sample.validation.groups
    return {name: list(dict.fromkeys(sampling.pieces(documents, group.cut))) for name, group in groups.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    settings = reading.read()
    groups = pool(settings)
    everything = [text for chosen in groups.values() for text in chosen]
    start = dict(zip(groups, np.cumsum([0, *(len(chosen) for chosen in groups.values())]), strict=False))
    draws = []
    for seed in range(seeds):
        picks: list[int] = []
        for name, group in settings.sample.validation.groups.items():
            drawn = random.Random(f"{seed}/{name}").sample(range(len(groups[name])), group.count)
            picks += [int(start[name]) + index for index in drawn]
        draws.append(picks)
    result: dict[str, Any] = {"texts": {name: len(chosen) for name, chosen in groups.items()}, "seeds": seeds}
    for model in settings.models:
        expected = loader.load(MODELS / model / "torch", "torch").encode(everything, batch_size=16)
        for variant in settings.variant_names[1:]:
            own = loader.load(MODELS / model / variant, variant).encode(everything, batch_size=16)
            limits = settings.thresholds(variant)
            checks = [
                [
                    *parity.values(own[picks], expected[picks]),
                    *parity.closeness(own[picks], expected[picks], limits),
                    *parity.ranking(own[picks], expected[picks], limits),
                ]
                for picks in draws
            ]
            values: dict[str, list[float]] = {}
            for row in (row for drawn in checks for row in drawn if row["threshold"]):
                values.setdefault(row["check"], []).append(row["value"] or 0.0)
            result[f"{model}/{variant}"] = {
                "passed": sum(all(row["passed"] for row in drawn) for drawn in checks),
                **{name: [round(min(found), 5), round(max(found), 5)] for name, found in values.items()},
            }
            print(f"{variant}: passed {result[f'{model}/{variant}']['passed']} of {seeds}", file=sys.stderr)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
