"""Whether inputs fit into memory, before they are run: a process that takes too much is ended without a word."""

from dataclasses import dataclass, field
from pathlib import Path

from foundry.base.errors import FoundryError
from foundry.loading import memory


@dataclass(frozen=True)
class Room:
    """The memory that inputs of one model may take in this process.

    Attributes:
        folder: of the model.
        weights: the files that are still to be loaded; none where the model is there already.
    """

    folder: Path
    written_out: bool  # whether attention is, as in graphs of models that take short texts
    weights: list[Path] = field(default_factory=list)
    usable: int = field(default_factory=lambda: memory.usable_bytes())

    @property
    def for_model(self) -> int:
        """What the model takes before any input, in bytes."""
        return memory.model_bytes(self.weights) if self.weights else 0

    def fits(self, rows: int, tokens: int) -> bool:
        """Whether a batch of so many rows, padded to so many tokens, fits."""
        return self.needed(rows, tokens) <= self.usable

    def needed(self, rows: int, tokens: int) -> int:
        """What the model takes with such a batch, in bytes."""
        return self.for_model + memory.input_bytes(self.folder, rows, tokens, self.written_out)

    def require(self, rows: int, tokens: int, advice: str) -> None:
        """Check that a batch fits that cannot be left out.

        Raises:
            FoundryError: when it does not, with what it takes and what there is.
        """
        if not self.fits(rows, tokens):
            raise FoundryError(
                f"{self.folder}: {rows} texts of {tokens} tokens at once take about "
                f"{memory.gigabytes(self.needed(rows, tokens))} of memory, and {memory.gigabytes(self.usable)} may be "
                f"used here. {advice}, or use a machine with more memory"
            )
