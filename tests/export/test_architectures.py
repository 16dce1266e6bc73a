"""docs/architectures.md is true: what works is built, validated and compared; what does not has its reason."""

import os
from pathlib import Path

import pytest

from foundry.loading import loader
from tests.support import architectures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(loader.has_optimum(), reason="the page is of the default toolchain"),
]

COMMITTED = architectures.TABLE.read_text(encoding="utf-8")


def committed_rows() -> dict[tuple[str, str], list[str]]:
    """The cells of each line, by kind and architecture."""
    rows = [line.strip("| ").split(" | ") for line in COMMITTED.splitlines() if line.startswith("| ")][1:]
    return {(kind, name): cells for kind, name, *cells in rows}


def committed_reasons() -> dict[str, str]:
    lines = [line.partition(". ") for line in COMMITTED.splitlines() if line[:1].isdigit()]
    return {number: reason for number, _, reason in lines}


def test_every_combination_has_its_line() -> None:
    assert list(committed_rows()) == architectures.combinations()


def test_every_reason_names_a_tool() -> None:
    tools = ("ONNX Runtime", "optimum", "torch.onnx", "openvino", "OpenVINO")
    assert [reason for reason in committed_reasons().values() if not any(tool in reason for tool in tools)] == []
    used = {cell for cells in committed_rows().values() for cell in cells[2:-1] if cell != "✓"}
    assert used == committed_reasons().keys()


# One of each way to export, to fuse, to pool and to pad; all of them take a quarter of an hour.
SAMPLE = [
    ("SentenceTransformer", "mpnet"),
    ("SentenceTransformer", "t5"),
    ("SentenceTransformer", "qwen2"),
    ("SentenceTransformer", "gemma3_text"),
    ("SentenceTransformer", "nomic_bert"),
    ("SparseEncoder", "roberta"),
    ("CrossEncoder", "modernbert"),
]


@pytest.mark.parametrize(
    ("kind", "name"), architectures.combinations() if os.environ.get("EVERY_ARCHITECTURE") else SAMPLE
)
def test_a_line_is_what_comes_out(kind: str, name: str, tmp_path: Path) -> None:
    line, reasons = architectures.row(name, kind, architectures.results(tmp_path, name, kind))
    cells = committed_rows()[kind, name]
    committed = {
        variant: committed_reasons().get(cell) for variant, cell in zip(architectures.VARIANTS, cells[2:], strict=False)
    }
    assert {variant: reason for variant, reason in committed.items() if reason} == reasons
    fresh = line.strip("| ").split(" | ")[2:]
    assert [cell for cell in fresh if "{" not in cell] == [cell for cell in cells if not cell.isdigit()]
