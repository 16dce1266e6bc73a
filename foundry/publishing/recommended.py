"""What the report recommends, as foundry.json has it: foundry_runtime goes by it."""

from collections.abc import Collection, Sequence
from typing import TypedDict

from foundry.reporting.recommendation import Answer, Use


class Recommendation(TypedDict):
    """A variant that the report recommends on `host` for one use; foundry_runtime takes it on machines like that."""

    use: Use
    texts: str | None  # the group of texts; None for requests, and for size
    budget: float  # how much quality may be lost, as a share
    variant: str  # whose file is loaded
    precision: str  # that its runtime is told to compute in
    runner: str  # whose `encode` was fastest: sentence_transformers or foundry_runtime
    device: str  # cpu, or cuda for an NVIDIA GPU
    settings: dict[str, int]  # arguments of foundry_runtime with which it was measured
    callers: int | None  # of requests: threads that each answer one at a time
    requests_per_second: float | None  # that arrived


def recommendations(answers: Sequence[Answer], variants: Collection[str]) -> list[Recommendation]:
    """What the report recommends, of the variants that are published."""
    return [
        {
            "use": answer["use"],
            "texts": answer["texts"],
            "budget": answer["budget"],
            "variant": name,
            "precision": answer["precision"],
            "runner": answer["runner"],
            "device": answer["device"],
            "settings": answer["settings"],
            "callers": answer["callers"],
            "requests_per_second": answer["requests_per_second"],
        }
        for answer in answers
        if (name := answer["file"]) is not None and name in variants
    ]
