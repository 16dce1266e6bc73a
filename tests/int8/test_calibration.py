"""Which texts calibrate, and which tensors are looked at."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from foundry.base.errors import FoundryError
from foundry.int8 import calibration, planning

ROWS = [
    *({"group": "short", "text": f"s{i}"} for i in range(30)),
    *({"group": "long", "text": f"l{i}"} for i in range(10)),
]


def test_fewer_samples_keep_the_mix() -> None:
    assert calibration.spread_sample(ROWS, None) == [row["text"] for row in ROWS]
    sample = calibration.spread_sample(ROWS, 12)
    assert len(set(sample)) == 12
    assert sum(text.startswith("l") for text in sample) == 3


def test_more_samples_than_texts_is_an_error() -> None:
    with pytest.raises(FoundryError, match="samples is 41, and there are 40"):
        calibration.spread_sample(ROWS, 41)


def test_what_comes_after_pooling_is_left_in_float() -> None:
    class Pooled:
        input_names = frozenset({"input_ids"})

        def run(self, inputs: Any, sources: Any) -> Iterator[dict[str, np.ndarray]]:
            for text_inputs in inputs:
                count = text_inputs["input_ids"].shape[1]
                yield {"tokens": np.ones((count, 4), np.float32), "pooled": np.ones((1, 4), np.float32)}

    inputs = [{"input_ids": np.zeros((1, count), np.int64)} for count in (1, 30, 5)]
    activations = calibration.record_activations(Pooled(), inputs, ["pooled", "tokens"])  # type: ignore[arg-type]
    assert list(activations) == ["tokens"]
    assert len(activations["tokens"].sample) == 1 + planning.TOKENS_PER_TEXT + 5
