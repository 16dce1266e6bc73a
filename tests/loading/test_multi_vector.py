"""MultiVectorEncoder: every variant is built, checked and measured as an embedder's is, token by token."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.checkpoints import make_multi_vector
from tests.support.projects import TINY_VARIANTS, kind_params
from tests.support.stages import build, validate_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_params: dict[str, Any]) -> Path:
    """artifacts/models/late, every variant built."""
    root = tmp_path_factory.mktemp("late")
    checkpoint = make_multi_vector(root / "checkpoint")
    (root / "params.yaml").write_text(yaml.safe_dump(kind_params(tiny_params, "late", checkpoint)))
    return build(root, "late")


@pytest.mark.parametrize("variant", TINY_VARIANTS)
def test_every_variant_is_validated(
    models: Path, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models.parent.parent.parent)
    result = validate_in(tmp_path, models, variant, models / variant)
    failed = {row["check"]: row["value"] for row in result["checks"] if not row["passed"]}
    assert result["verdict"] == "passed", (failed, result["reason"])
    names = {row["check"] for row in result["checks"]}
    assert "texts_of_other_lengths" in names
    assert variant == "torch" or {"head_error", "runtime_min_cosine"} <= names
