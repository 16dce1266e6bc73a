"""The sample stage on files made on the spot, without a checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages import sample

Freeze = Callable[..., Path]


@pytest.fixture
def freeze(tmp_path: Path) -> Freeze:
    """Run the sample stage and give its folder; calibration has `count` whole documents of the given source."""

    def run(source: dict[str, Any] | None = None, count: int = 1, tasks: dict[str, Any] | None = None) -> Path:
        filler = tmp_path / "filler.txt"
        filler.write_text("".join(f"Filler {i}.\n" for i in range(9)))
        any_group = {"groups": {"any": {"count": count}}}
        others = {"share": {"filler": 0.5}, "groups": {"any": {"count": 1}}}
        settings = {
            "seed": 1,
            "sources": {"filler": {"path": str(filler)}, "mine": source or {"path": str(filler)}},
            "calibration": {"share": {"mine": 1.0}, **any_group},
            "validation": others,
            "benchmark": others,
            "tasks": tasks or {},
        }
        (tmp_path / "sample.json").write_text(json.dumps(settings))
        sample.main(tmp_path / "sample.json", tmp_path / "frozen")
        return tmp_path / "frozen"

    return run
