"""A variant that foundry_runtime runs, in the form in which the benchmark measures any."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundry.loading.items import Item, Query, make_items
from foundry.loading.prompts import Method, embed_by_role
from foundry.reference import tokenizer_files
from foundry.variants import checkpoint_folder, variant_folder
from foundry.variants.precisions import Device, InferencePrecision

# As many for each stream, because the last batches of a measurement must not find most streams without work.
BATCHES_PER_STREAM = 2
LARGEST_BULK = 16
PARTS_ON_GPU = 8  # each is tokenized while the one before is computed


class RuntimeVariant:
    """The variant by foundry_runtime's class of its kind, with its own default of threads and streams.

    Args:
        tokenizer: Where files of the tokenizer are that are not the folder's own: as they will be published.
    """

    def __init__(
        self,
        folder: Path,
        variant: str,
        precision: InferencePrecision,
        tokenizer: Mapping[str, Path],
        device: Device = "cpu",
    ) -> None:
        import foundry_runtime
        from foundry_runtime.folder import ModelFolder
        from foundry_runtime.model import CLASSES

        def find(name: str) -> Path | None:
            path = tokenizer.get(name, folder / name)
            return path if path.is_file() else None

        self._kind = checkpoint_folder.kind(folder)
        model_class = getattr(foundry_runtime, CLASSES[self._kind])
        opened = ModelFolder(str(folder), find, verify=False)
        self._model: Any = model_class(opened, variant, precision=precision, device=device)

    def items(self, texts: Sequence[str], passages_per_query: int) -> list[Item]:
        """What a model of this kind takes one at a time, as `LoadedVariant.items` makes it."""
        return make_items(texts, self._kind, passages_per_query)

    def encode(self, items: Sequence[Item], batch_size: int | None = None) -> Any:
        """Rows of the items (items, columns), in batches that foundry_runtime cuts by tokens, or of so many items."""
        if self._kind == "CrossEncoder":
            pairs = [pair for item in items if isinstance(item, Query) for pair in item.pairs]
            scores = self._model.predict(pairs, activation_fn=lambda values: values, batch_size=batch_size)
            return scores.reshape(len(items), -1)

        texts = [item for item in items if isinstance(item, str)]
        if not any(self._model.prompts.values()):
            return self._model.encode(texts, batch_size=batch_size)

        def embed(method: Method, of_role: list[str]) -> Any:
            return dense(getattr(self._model, method)(of_role, batch_size=batch_size))

        return embed_by_role(texts, embed)


def write_tokenizer(folder: Path, target: Path) -> dict[str, Path]:
    """Write a model's tokenizer as it will be published into an empty folder; give where its files are, by name.

    Empty where they are the model's own already, or where no file can say what its tokens are.
    """
    trusts_code = checkpoint_folder.trusts_code(folder)
    variant_folder.copy_companions(folder, target)
    return {name: target / name for name in tokenizer_files.rewrite(target, trusts_code) or ()}


def dense(rows: Any) -> Any:
    """Rows of a dense or a sparse model, zeros and all."""
    return rows.to_dense() if hasattr(rows, "to_dense") else rows


def bulk(texts_in_group: int, tokens_per_text: float, device: Device = "cpu") -> int:
    """How many texts keep every stream busy for several batches: of a slow model fewer, so that a measurement ends.

    Never fewer than the group has, nor more than `LARGEST_BULK` times as many.
    """
    from foundry_runtime import machine
    from foundry_runtime.batches import TOKENS_PER_BATCH
    from foundry_runtime.model import TEXTS_AT_ONCE_ON_GPU

    if device == "cuda":
        wanted = PARTS_ON_GPU * TEXTS_AT_ONCE_ON_GPU
    else:
        tokens = BATCHES_PER_STREAM * machine.threads() * TOKENS_PER_BATCH
        wanted = round(tokens / max(tokens_per_text, 1))
    return min(max(texts_in_group, wanted), LARGEST_BULK * texts_in_group)
