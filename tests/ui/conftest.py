"""The page needs Gradio, which does not go with optimum's toolchain."""

import importlib.util

import pytest

HAS_GRADIO = importlib.util.find_spec("gradio") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Gradio, the tests of the page are skipped; those of what stands behind it run."""
    if not HAS_GRADIO:
        for item in items:
            if item.nodeid.startswith("tests/ui/test_page"):
                item.add_marker(pytest.mark.skip(reason="needs the extra `ui`, which does not go with optimum"))
