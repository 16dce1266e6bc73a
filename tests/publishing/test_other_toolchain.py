"""What one toolchain publishes loads in the other: the same tokens and rows of every file, for each kind.

The other one is what `make test` sets up in the folder of the project, .venv or .venv-optimum.
"""

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foundry.loading import loader
from foundry.reference.nasty_texts import nasty_texts
from foundry.variants.checkpoint_folder import Kind
from tests.support.checkpoints import make_kind
from tests.support.projects import LOOSE, ROOT
from tests.support.publishing import prepare, run
from tests.support.sessions import built_once
from tests.support.stages import build
from tests.support.texts import documents

OTHER = ROOT / (".venv" if loader.has_optimum() else ".venv-optimum") / "bin/python"
# Not longer: for a pair of texts far beyond the model's maximum, a tokenizer takes seconds.
TEXTS = ["a text", *documents()[:5], *(text[:2000] for text in nasty_texts(20, documents()))]
VARIANTS = ("torch", "onnx", "onnx_qint8_static", "openvino")
PROGRAM = """
import json, sys
from pathlib import Path

from foundry.loading import loader

folder, variants, texts = json.load(sys.stdin)
result = {"with_optimum": loader.has_optimum()}
for variant in variants:
    loaded = loader.load(Path(folder), variant)
    items = loaded.items(texts)
    result[variant] = [loaded.token_ids(items), loaded.encode(items, batch_size=8).tolist()]
json.dump(result, open(sys.argv[1], "w"))
"""

pytestmark = [
    pytest.mark.both_toolchains,
    pytest.mark.skipif(
        not OTHER.is_file() and not os.environ.get("BOTH_TOOLCHAINS"),
        reason="the other toolchain is not set up: see CONTRIBUTING.md",
    ),
]


@pytest.fixture(scope="module", params=["SentenceTransformer", "SparseEncoder", "CrossEncoder"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_params: Any) -> Path:
    """A model of each kind, published by this toolchain."""
    kind: Kind = request.param

    def publish(root: Path) -> None:
        raw = json.loads(json.dumps(tiny_params))
        raw["models"] = {"tiny": {"source": {"path": str(make_kind(root / "checkpoint", kind))}}}
        raw |= {"optimize": {}, "quantize": {}, "calibrate": {}, "compress": {}}
        raw["variants"] = {name: {} for name in VARIANTS}
        raw["sample"]["tasks"] = {}
        raw["validate"]["overrides"] = {"onnx_qint8_static": LOOSE}
        (root / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
        models = build(root, "tiny")
        with contextlib.chdir(root):
            prepare(root, models, "tiny")
            run(root, folder=models)

    return built_once(tmp_path_factory, f"published {kind}", publish) / "hub/tiny"


def test_the_other_toolchain_reads_the_same(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    done = subprocess.run(
        [OTHER, "-c", PROGRAM, out], input=json.dumps([str(folder), VARIANTS, TEXTS]), cwd=ROOT, text=True,
        capture_output=True, check=False, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'runtime'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(out.read_text())
    assert rows["with_optimum"] is not loader.has_optimum()
    for variant in VARIANTS:
        loaded = loader.load(folder, variant)
        items = loaded.items(TEXTS)
        ids, theirs = rows[variant]
        assert ids == loaded.token_ids(items), variant
        ours = loaded.encode(items, batch_size=8)
        assert np.ptp(ours) > 0.01
        assert abs(np.array(theirs, np.float32) - ours).max() < 1e-4, variant
