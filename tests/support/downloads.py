"""download, run on checkpoints that it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.base.errors import FoundryError

Change = Callable[[Path], Any]
Fetch = Callable[..., Path]


def refused(fetch: Fetch, change: Change, message: str, **settings: Any) -> None:
    """Check that download refuses a checkpoint in one line, and that nothing of it ran or stayed."""
    with pytest.raises(FoundryError, match=message) as error:
        fetch(change, **settings)
    assert "\n" not in str(error.value)
    assert not Path("torch").exists()
    assert not Path("code_ran").exists()
