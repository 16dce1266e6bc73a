"""Whether a verdict depends on which texts were drawn: the closeness checks of every variant for 20 seeds.

    python -m benchmarks.verdict_seeds [--seeds 20] > verdict_seeds.json

Run it after `dvc repro`. Every sentence and document that the validation set may be drawn from is embedded once by
torch and once by each variant; then a set is drawn for each seed, and the checks that depend on the texts are made.
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
from foundry.params import reading, resolving, schema
from foundry.reference import reference
from foundry.validation import parity

MODELS = Path("artifacts/models")
REFERENCES = Path("artifacts/reference")


def pool(settings: schema.Params) -> dict[str, list[str]]:
    """The texts of each group that calibration and benchmark leave to validation."""
    documents: list[str] = []
    for key, source in settings.sample.sources.items():
        cleaned, _, _ = sampling.clean(tables.texts(source))
        shares = {name: texts.share[key] for name, texts in settings.sample.sets.items() if key in texts.share}
        documents += sampling.split_by_share(cleaned, shares, f"{settings.sample.seed}/{key}").get("validation", [])
    groups = settings.sample.validation.groups
    return {name: sampling.candidates(documents, group) for name, group in groups.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    settings = reading.read()
    groups = pool(settings)
    everything = [text for texts in groups.values() for text in texts]
    start = dict(zip(groups, np.cumsum([0, *(len(texts) for texts in groups.values())]), strict=False))
    draws = []
    for seed in range(seeds):
        indices: list[int] = []
        for name, group in settings.sample.validation.groups.items():
            sampled = random.Random(f"{seed}/{name}").sample(range(len(groups[name])), group.count)
            indices += [int(start[name]) + index for index in sampled]
        draws.append(indices)
    result: dict[str, Any] = {"texts": {name: len(texts) for name, texts in groups.items()}, "seeds": seeds}
    for model in settings.models:
        frozen = reference.read(REFERENCES / model)
        expected = loader.load(MODELS / model / "torch", "torch").encode(everything, batch_size=16)
        for variant in settings.variant_names[1:]:
            embeddings = loader.load(MODELS / model / variant, variant).encode(everything, batch_size=16)
            limits = resolving.thresholds(resolving.for_model(settings, model), variant)
            checks = [
                [
                    *parity.values(embeddings[indices], expected[indices]),
                    *parity.closeness(embeddings[indices], expected[indices], limits),
                    *parity.centred_closeness(frozen.centred_cosines(embeddings[indices], expected[indices]), limits),
                    *parity.ranking(embeddings[indices], expected[indices], limits),
                ]
                for indices in draws
            ]
            values: dict[str, list[float]] = {}
            for row in (row for draw_checks in checks for row in draw_checks if row["threshold"]):
                values.setdefault(row["check"], []).append(row["value"] or 0.0)
            result[f"{model}/{variant}"] = {
                "passed": sum(all(row["passed"] for row in draw_checks) for draw_checks in checks),
                **{name: [round(min(range_of), 5), round(max(range_of), 5)] for name, range_of in values.items()},
            }
            print(f"{variant}: passed {result[f'{model}/{variant}']['passed']} of {seeds}", file=sys.stderr)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
