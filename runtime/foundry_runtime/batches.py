"""How texts are cut into batches: by tokens, so that a short text never waits for a long one, nor a stream for work.

What a stream computes at a time should stay in its core's cache. About 500 tokens do at every length of text: the same
as 32 texts of 16 tokens, or 2 of 256.
"""

import math
from collections.abc import Sequence

TOKENS_PER_BATCH = 512
# A GPU computes so many at once that what takes time is to start it: measured in docs/gpu.md.
TOKENS_PER_BATCH_ON_GPU = 32768
# On AMX in bf16, attention over a number of tokens that this divides is so much faster that padding to it is worth it,
# but for short texts; and products of a number of rows, texts times tokens, that fills its tiles. OpenVINO prepares
# products of int8 for each number of rows, for about as long as it computes them: so there are few numbers.
ALIGNED, ALIGNED_FROM = 8, 64
TILE_ROWS, CHANGED_AT_MOST = 16, 0.1  # a batch changes by a tenth at most


def cut(
    lengths: Sequence[int],
    streams: int = 1,
    batch_size: int | None = None,
    tokens: int = TOKENS_PER_BATCH,
    is_aligned: bool = False,
) -> list[list[int]]:
    """The texts of each batch by their index, the longest texts first.

    Args:
        lengths: Tokens of each text, as it will be padded.
        streams: How many batches run at once: batches are so much smaller that every stream has as many.
        batch_size: Texts in a batch; by default as many as have `tokens` tokens, padding counted.
        tokens: See `batch_size`.
        is_aligned: Whether the rows of a batch are a multiple of `TILE_ROWS`, where that changes it little.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    if batch_size is not None:
        return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if streams > 1:
        turns = math.ceil(sum(lengths) / (tokens * streams))
        tokens = max(sum(lengths) // (max(turns, 1) * streams), 1)
    batches: list[list[int]] = []
    start = 0
    while start < len(order):
        size = max(round(tokens / max(lengths[order[start]], 1)), 1)
        if is_aligned:
            size = _aligned_size(size, lengths[order[start]], only_more=streams > 1)
        batches.append(order[start : start + size])
        start += size
    return batches


def _aligned_size(texts: int, tokens: int, only_more: bool) -> int:
    """The number of texts nearest to the given one whose rows are such a multiple; the given one where that is far.

    `only_more`: fewer would make one batch too many, for which all streams would wait.
    """
    step = TILE_ROWS // math.gcd(tokens, TILE_ROWS)
    nearest = math.ceil(texts / step) * step if only_more else max(round(texts / step), 1) * step
    return nearest if abs(nearest - texts) <= CHANGED_AT_MOST * texts else texts


def aligned(tokens: int, most: int | None) -> int:
    """To how many tokens a batch is padded where the number matters, given the most that the model takes."""
    upper = math.ceil(tokens / ALIGNED) * ALIGNED
    return upper if tokens >= ALIGNED_FROM and most is not None and upper <= most else tokens
