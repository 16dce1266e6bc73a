"""How texts are cut into batches."""

import pytest
from foundry_runtime.batches import aligned, cut


@pytest.mark.parametrize("streams", [1, 4, 16])
@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_every_text_is_in_one_batch_with_others_of_its_length(streams: int, batch_size: int | None) -> None:
    lengths = [3, 250, 9, 120, 700, 16, 16, 17] * 9
    batches = cut(lengths, streams, batch_size)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    longest = [max(lengths[index] for index in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)
    if batch_size is not None:
        assert {len(batch) for batch in batches[:-1]} == {batch_size}
    else:
        assert all(len(batch) == 1 or len(batch) * top <= 512 for batch, top in zip(batches, longest, strict=True))


def test_every_stream_has_work() -> None:
    assert len(cut([10] * 32, streams=1)) == 1
    assert len(cut([10] * 32, streams=16)) == 16
    assert len(cut([200] * 5, streams=16)) == 5
    assert cut([], streams=4) == []
    assert cut([0, 0], streams=4) != []


def test_every_stream_has_as_many_batches() -> None:
    assert len(cut([11] * 3200)) == 69
    assert len(cut([11] * 3200, streams=16)) == 80
    assert {len(batch) for batch in cut([11] * 3200, streams=16)} == {40}
    assert len(cut([256] * 480, streams=16)) == 240
    assert len(cut([11] * 3200, streams=16, batch_size=100)) == 32


@pytest.mark.parametrize("streams", [2, 4, 16])
def test_no_stream_has_a_batch_more_because_batches_are_aligned(streams: int) -> None:
    for tokens in (5, 6, 8, 10, 11, 16, 30, 128):
        for texts in (52, 100, 272, 408, 1000):
            batches = cut([tokens] * texts, streams, is_aligned=True)
            assert len(batches) <= len(cut([tokens] * texts, streams))
            assert sum(map(len, batches)) == texts


def test_a_batch_has_the_number_of_texts_that_is_nearest_to_512_tokens() -> None:
    assert [len(batch) for batch in cut([129] * 8)] == [4, 4]
    assert [len(batch) for batch in cut([200] * 6)] == [3, 3]
    assert [len(batch) for batch in cut([256] * 4)] == [2, 2]


@pytest.mark.parametrize(
    ("tokens", "texts"),
    [(11, 48), (12, 44), (8, 64), (16, 32), (128, 4), (136, 4), (13, 39), (152, 3), (256, 2), (0, 512)],
)
def test_the_rows_of_a_batch_are_aligned_where_that_changes_it_little(tokens: int, texts: int) -> None:
    assert len(cut([tokens] * 2000, is_aligned=True)[0]) == texts


def test_what_is_computed_faster_with_more_padding() -> None:
    assert [aligned(tokens, 256) for tokens in (11, 63, 64, 65, 129, 249, 256)] == [11, 63, 64, 72, 136, 256, 256]
    assert aligned(250, 250) == 250  # the model has no positions beyond
    assert aligned(129, None) == 129  # nobody knows how many it has
