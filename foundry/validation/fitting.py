"""Which texts of the reference a variant has the memory for, estimated before it is loaded."""

from dataclasses import replace
from pathlib import Path

from foundry.loading.items import PASSAGES_PER_QUERY
from foundry.reference.memory_needed import Room
from foundry.reference.reference import Reference
from foundry.validation import consistency
from foundry.variants import naming, variant_folder


def what_fits(folder: Path, variant: str, expected: Reference, batch_size: int) -> Reference:
    """The reference without the hard texts and lengths for which there is no memory here, which it says.

    Raises:
        FoundryError: when there is none for the validation texts, of which nothing may be left out.
    """
    is_torch = naming.backend(variant) == "torch"
    room = Room(
        folder,
        written_out=expected.coverage.torch_writes_out_attention if is_torch else not variant_folder.by_blocks(folder),
        weights=variant_folder.weights_files(folder, variant),
    )
    texts = len(expected.tokens) - len(expected.hard_texts)
    tokens = [len(ids) for ids in expected.tokens]
    room.require(batch_size, max(tokens[:texts], default=0), f"Lower validate.batch_size ({batch_size})")
    for rows, longest in consistency.batches_needed(tokens[:texts], expected.facts):
        room.require(rows, longest, "Shorten the texts of sample.validation")
    hard = dict(zip(expected.hard_texts, tokens[texts:], strict=True))
    expected = expected.without_hard_texts([name for name, length in hard.items() if not room.fits(1, length)])
    lengths = [text.tokens for text in expected.coverage.texts]
    per_item = PASSAGES_PER_QUERY if expected.facts["kind"] == "CrossEncoder" else 1
    in_batch = [length for length in lengths if room.fits(2 * per_item, length)]
    covered = expected.coverage.without_lengths([length for length in lengths if not room.fits(1, length)])
    return replace(expected, coverage=replace(covered, longest_in_batch=max(in_batch, default=0)))
