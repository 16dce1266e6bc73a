"""A variant that foundry_runtime runs, in the form in which the benchmark measures any."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from foundry_runtime import machine, run_settings
from foundry_runtime.batches import TOKENS_PER_BATCH
from foundry_runtime.model import TEXTS_AT_ONCE

from foundry.loading.by_foundry_runtime import open_model, rows_of
from foundry.loading.items import Item, make_items
from foundry.reference import tokenizer_files
from foundry.variants import checkpoint_folder, variant_folder
from foundry.variants.precisions import Device, InferencePrecision

# As many batches for each stream as there are cores, within these: with fewer, what is measured is the beginning and
# the end, where streams have no work, and of many streams one is sure to be late.
FEWEST_BATCHES, MOST_BATCHES = 4, 16
LARGEST_BULK = 16
PARTS_ON_GPU = 8  # each is tokenized while the one before is computed
Chosen = Mapping[str, Mapping[str, Mapping[str, int]]]  # settings of foundry_runtime by use, group of texts, and name
T = TypeVar("T")
Layout = tuple[int, int, int]  # threads, streams and single_threads: what a model must be loaded anew for


class RuntimeVariant:
    """The variant by foundry_runtime's class of its kind.

    Args:
        tokenizer: Where files of the tokenizer are that are not the folder's own: as they will be published.
        chosen: Threads, streams and tokens of a batch; by default those of its own rule.
    """

    def __init__(
        self,
        folder: Path,
        variant: str,
        precision: InferencePrecision,
        tokenizer: Mapping[str, Path],
        device: Device = "cpu",
        chosen: Chosen | None = None,
    ) -> None:
        self._kind = checkpoint_folder.kind(folder)
        self._file = (folder, variant, self._kind, precision, tokenizer)
        self._device = device
        self._chosen = chosen or {}
        self._usual = run_settings.choose(run_settings.usual(self._chosen, variant), device=device)
        self._models: dict[Layout, Any] = {}
        self._model(self._usual)  # which is what is loaded where it is deployed

    def items(self, texts: Sequence[str], passages_per_query: int) -> list[Item]:
        """What a model of this kind takes one at a time, as `LoadedVariant.items` makes it."""
        return make_items(texts, self._kind, passages_per_query)

    def encode(self, items: Sequence[Item], batch_size: int | None = None) -> Any:
        """Rows of the items (items, columns), in batches that foundry_runtime cuts by tokens, or of so many items.

        By what is fastest for texts of the usual length.
        """
        return rows_of(self._model(self._usual), items, batch_size)

    def encode_for(self, use: str, group: str, items: Sequence[Item]) -> Any:
        """Rows of the items, by the settings of a use and a group of texts."""
        settings = replace(self._usual, **self._chosen.get(use, {}).get(group, {}))
        return rows_of(self._model(settings), items, 1 if use == run_settings.ONE else None)

    @property
    def layouts(self) -> set[Layout]:
        """How often the file must be loaded for all uses and groups, and for what."""
        rows = [row for groups in self._chosen.values() for row in groups.values()]
        return {_layout(replace(self._usual, **row)) for row in rows} | {_layout(self._usual)}

    def _model(self, settings: run_settings.RunSettings) -> Any:
        """The model loaded for these threads and streams, which cuts batches of these tokens."""
        layout = _layout(settings)
        if layout not in self._models:
            threads, streams, single_threads = layout
            self._models[layout] = open_model(
                *self._file, self._device, threads=threads, streams=streams, single_threads=single_threads
            )
        model = self._models[layout]
        model.run_settings = settings
        return model


def _layout(settings: run_settings.RunSettings) -> Layout:
    return settings.threads, settings.streams, settings.single_threads


def write_tokenizer(folder: Path, target: Path) -> dict[str, Path]:
    """Write a model's tokenizer as it will be published into an empty folder; give where its files are, by name.

    Empty where they are the model's own already, or where no file can say what its tokens are.
    """
    trusts_code = checkpoint_folder.trusts_code(folder)
    variant_folder.copy_companions(folder, target)
    return {name: target / name for name in tokenizer_files.rewrite(target, trusts_code) or ()}


def cycled(items: Sequence[T], count: int) -> list[T]:
    """So many items, the same over and over."""
    return list(itertools.islice(itertools.cycle(items), count))


def bulk(
    texts_in_group: int,
    affordable: float,
    tokens_per_text: float,
    batch_tokens: int = TOKENS_PER_BATCH,
    device: Device = "cpu",
) -> int:
    """How many texts keep every stream busy for several batches: of a slow model fewer, so that a measurement ends.

    Never fewer than the group has, nor more than `LARGEST_BULK` times as many as torch embeds in a measurement, which
    are `affordable`.
    """
    if device == "cuda":
        wanted = PARTS_ON_GPU * TEXTS_AT_ONCE
    else:
        batches = min(max(machine.threads(), FEWEST_BATCHES), MOST_BATCHES)
        wanted = round(batches * machine.threads() * batch_tokens / max(tokens_per_text, 1))
    return max(texts_in_group, min(wanted, round(LARGEST_BULK * affordable)))
