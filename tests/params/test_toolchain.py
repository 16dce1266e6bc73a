"""Which versions of a package this project and what is installed beside it would take."""

import importlib.metadata

import pytest
from packaging.requirements import Requirement

from foundry.base.packages import installed_version
from foundry.loading import loader
from foundry.params import toolchain


def is_allowed(name: str, version: str) -> bool:
    own = [Requirement(line) for line in importlib.metadata.requires("embedding-foundry") or []]
    return toolchain.is_allowed(name, version, [*own, *toolchain.requirements_beside()])


def test_optimum_is_missing_only_beside_a_transformers_that_it_cannot_use() -> None:
    """Or the tests that compare with it would be skipped, and nobody would see it."""
    assert loader.has_optimum() == (installed_version("optimum-onnx") is not None)
    assert loader.has_optimum() == importlib.metadata.version("transformers").startswith("4.")


def test_by_the_ranges_of_the_project() -> None:
    for name in ("transformers", "huggingface-hub", "dvc"):
        assert is_allowed(name, importlib.metadata.version(name))
    assert not is_allowed("transformers", "6.0.0")
    assert not is_allowed("dvc", "99.0")
    assert not is_allowed("huggingface-hub", "0.35.0")


@pytest.mark.needs_optimum
def test_with_optimum_only_what_it_can_use() -> None:
    assert not is_allowed("transformers", "5.24.0")
