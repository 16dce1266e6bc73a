"""Which versions of a package this project and what is installed beside it would take."""

import pytest

from foundry.loading import loader
from foundry.params.toolchain import is_allowed


def test_by_the_ranges_of_the_project() -> None:
    assert is_allowed("transformers", "4.57.6")
    assert not is_allowed("transformers", "6.0.0")
    assert not is_allowed("dvc", "99.0")
    assert is_allowed("huggingface-hub", "0.36.0") == loader.has_optimum()  # transformers 5 wants a later one


@pytest.mark.needs_optimum
def test_with_optimum_only_what_it_can_use() -> None:
    assert not is_allowed("transformers", "5.24.0")
