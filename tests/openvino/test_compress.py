"""compress: smaller files, the embedding as before."""

from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.loading import loader
from foundry.reference.closeness import cosines
from foundry.variants import variant_folder
from stages import compress
from tests.support.stages import settings_file
from tests.support.texts import documents


@pytest.mark.parametrize(("weights", "at_least", "share"), [("fp16", 0.99999, 0.55), ("int8", 0.999, 0.75)])
def test_smaller_and_as_close(
    project: Callable[..., Path], tiny: Path, weights: str, at_least: float, share: float
) -> None:
    variant = "openvino_own"

    def change(raw: dict) -> None:
        raw["compress"] = {variant: {"weights": weights}}
        raw["variants"] = {**{name: {} for name in raw["variants"] if name != "openvino_fp16"}, variant: {}}
        raw["validate"]["overrides"] = {}

    out = project(change) / "out"
    compress.main(variant, settings_file(f"build/{variant}"), tiny / "openvino", out)
    sample = documents()[:20]
    cosine = cosines(loader.load(out, variant).encode(sample), loader.load(tiny / "torch", "torch").encode(sample))
    assert cosine.min() > at_least

    def size(folder: Path, name: str) -> int:
        return variant_folder.weights_files(folder, name)[1].stat().st_size

    assert size(out, variant) < share * size(tiny / "openvino", "openvino")
