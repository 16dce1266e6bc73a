"""Which versions of a package this project and what is installed beside it would take."""

import importlib.metadata

import pytest

from foundry.params.toolchain import is_allowed


def test_by_the_ranges_of_the_project() -> None:
    for name in ("transformers", "huggingface-hub", "dvc"):
        assert is_allowed(name, importlib.metadata.version(name))
    assert not is_allowed("transformers", "6.0.0")
    assert not is_allowed("dvc", "99.0")
    assert not is_allowed("huggingface-hub", "0.35.0")


@pytest.mark.needs_optimum
def test_with_optimum_only_what_it_can_use() -> None:
    assert not is_allowed("transformers", "5.24.0")
