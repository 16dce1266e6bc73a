"""By which numbers a torch model multiplies all the rows of a table."""

from typing import Any

import pytest
import torch

from foundry.reference import factors

WIDTH = 8


class Scaled(torch.nn.Embedding):
    """Multiplies the rows itself, as Gemma 3 does."""

    def forward(self, indices: torch.Tensor) -> torch.Tensor:
        return super().forward(indices) * 4.0


class Positions(torch.nn.Embedding):
    """Takes no numbers of rows, and begins at the third, as BART's does."""

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.arange(words.shape[1]).expand(words.shape[:2]) + 2)


class Model(torch.nn.Module):
    """A layer normalization of words, and positions, if there are any; the words are multiplied by a number before."""

    def __init__(self, words: torch.nn.Embedding, number: float = 1.0, positions: torch.nn.Embedding | None = None):
        super().__init__()
        self.words, self.number, self.positions = words, number, positions
        self.norm, self.layer = torch.nn.LayerNorm(WIDTH), torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, indices: torch.Tensor) -> torch.Tensor:
        rows = self.words(indices) * self.number
        if self.positions is not None:
            rows = rows + self.positions(rows)
        result: torch.Tensor = self.layer(self.norm(rows))
        return result


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: Model(torch.nn.Embedding(20, WIDTH)), (1.0,)),
        (lambda: Model(Scaled(20, WIDTH)), (1.0, 4.0)),
        (lambda: Model(torch.nn.Embedding(20, WIDTH), number=0.5), (1.0, 0.5)),
        (lambda: Model(Scaled(20, WIDTH), number=3.0), (1.0, 4.0, 12.0)),
        (lambda: Model(Scaled(20, WIDTH), positions=Positions(10, WIDTH)), (1.0, 4.0)),
        (lambda: Model(Scaled(20, WIDTH), number=3.0).bfloat16(), (1.0, 4.0, 12.0)),
    ],
    ids=["none", "inside", "after", "inside and after", "with positions", "in bf16"],
)
def test_what_torch_multiplies_by_is_known(model: Any, expected: tuple[float, ...]) -> None:
    torch.manual_seed(0)
    module = model()
    tables = {name: part for name, part in module.named_modules() if isinstance(part, torch.nn.Embedding)}
    before = len(module.words._forward_hooks)
    found = factors.find(module, tables, lambda: module(torch.tensor([[3, 5, 5, 11]])))
    assert found["words"] == pytest.approx(expected, rel=0.002)
    assert found.get("positions", (1.0,)) == (1.0,)
    assert len(module.words._forward_hooks) == before
