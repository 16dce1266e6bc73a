"""How fast foundry_runtime is beside Sentence Transformers' `encode`, with the same file, in the same process.

    PYTHONPATH=runtime python -m benchmarks.runtime artifacts/models/minilm artifacts/texts/minilm/benchmark.jsonl

Prints JSON: for each variant and group of texts the seconds of each round, by turns, and the ratio of Sentence
Transformers' seconds to the runtime's, as the median of the rounds. `single` are short texts, one call each.
`floor` is the same comparison of Sentence Transformers with itself, which says what of a ratio is chance.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from foundry.benchmarking import machine_profile
from foundry.data import texts as frozen_texts
from foundry.loading import loader

SINGLES = 40


def measure(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round; each round begins with another call.

    Before each timed call it is made once untimed: the threads of what ran before still wait busily for a while.
    """
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            calls[name]()
            start = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def compare(folder: Path, variant: str, groups: dict[str, list[str]], rounds: int, options: dict[str, Any]) -> Any:
    """The figures of one variant, by group of texts."""
    from foundry_runtime import Embedder

    theirs = loader.load(folder, variant).model
    ours = Embedder(folder, variant, verify=False, **options)
    figures = {}
    for group, texts in {"single": groups["short"][:SINGLES], **groups}.items():
        units: list[Any] = list(texts) if group == "single" else [texts]

        by_runtime = partial(embed, ours.encode, units)
        by_sentence_transformers = partial(embed, partial(theirs.encode, show_progress_bar=False), units)
        calls = {"theirs": by_sentence_transformers, "ours": by_runtime, "theirs_again": by_sentence_transformers}
        seconds = measure(calls, rounds)
        figures[group] = {
            "texts": len(texts),
            "ratio": ratio(seconds["theirs"], seconds["ours"]),
            "floor": ratio(seconds["theirs"], seconds["theirs_again"]),
            "seconds": {name: [round(value, 5) for value in values] for name, values in seconds.items()},
        }
    return figures


def embed(encode: Callable[[Any], object], units: list[Any]) -> None:
    """One call for each unit: a text, or a list of texts."""
    for unit in units:
        encode(unit)


def ratio(left: list[float], right: list[float]) -> dict[str, float]:
    """The median of the rounds' ratios, and the lowest and highest."""
    ratios = [a / b for a, b in zip(left, right, strict=True)]
    return {
        "median": round(statistics.median(ratios), 3), "low": round(min(ratios), 3), "high": round(max(ratios), 3)
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="the folder of a model's variants")
    parser.add_argument("texts", type=Path, help="its frozen benchmark texts")
    parser.add_argument("--variants", nargs="+", default=["onnx_O3", "openvino_fp16"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--streams", type=int)
    arguments = parser.parse_args()
    groups: dict[str, list[str]] = {}
    for row in frozen_texts.read(arguments.texts):
        groups.setdefault(row["group"], []).append(row["text"])
    options = {name: value for name in ("threads", "streams") if (value := getattr(arguments, name)) is not None}
    variants = {
        name: compare(arguments.models / name, name, groups, arguments.rounds, options) for name in arguments.variants
    }
    print(json.dumps({"machine": machine_profile.named_profile(), "options": options, "variants": variants}, indent=2))


if __name__ == "__main__":
    main()
