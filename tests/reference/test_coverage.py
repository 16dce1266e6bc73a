"""The inputs that go over every length, word and row, with torch's numbers."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foundry.loading import loader
from foundry.loading.items import Query
from foundry.reference import coverage, lengths, sequences, tables
from tests.support.checkpoints import make_kind
from tests.support.texts import documents


@pytest.mark.parametrize("maximum", [8, 20, 64, 128, 256, 384, 512, 8192])
def test_lengths_are_spread_up_to_the_maximum(maximum: int) -> None:
    tried = lengths.schedule(maximum)
    assert tried == sorted(set(tried))
    assert (tried[0], tried[-1]) == (1, maximum)
    for shorter, longer in itertools.pairwise(tried):
        assert longer <= max(shorter + 8, shorter * 1.25)


def test_a_model_without_a_limit_has_a_last_length() -> None:
    assert lengths.schedule(None)[-1] == lengths.schedule(100_000)[-1] == lengths.LONGEST_TOKENS


def test_each_text_has_its_length_in_tokens(checkpoint: Path) -> None:
    torch = loader.load(checkpoint, "torch")
    texts = lengths.make(torch, documents()[:5], range(1, 65))
    assert [text.tokens for text in texts] == list(range(2, 65))  # [CLS] and [SEP] stand around a text
    for text in texts:
        assert [len(ids) for ids in torch.token_ids([text.first, text.second])] == [text.tokens] * 2
    assert len({text.first for text in texts}) == len(texts)


def test_each_pair_has_its_length_in_tokens(tmp_path: Path) -> None:
    torch = loader.load(make_kind(tmp_path, "CrossEncoder"), "torch")
    texts = lengths.make(torch, documents()[:5], range(1, 65))
    assert texts[-1].tokens == 64
    for text in texts:
        for item in (text.first, text.second):
            assert isinstance(item, Query)
            pairs = [Query(item.text, (passage,)) for passage in item.passages]
            assert {len(ids) for ids in torch.token_ids([*pairs])} == {text.tokens}


@pytest.mark.parametrize("kind", ["SentenceTransformer", "SparseEncoder", "CrossEncoder"])
def test_sequences_hold_every_word_once_and_give_what_encode_gives(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    folder = checkpoint if kind == "SentenceTransformer" else make_kind(tmp_path, kind)
    torch = loader.load(folder, "torch")
    ids = sequences.make(torch, columns=1)
    special = sequences.special_ids(torch)
    words = [token for token in ids.reshape(-1).tolist() if token not in special]
    assert set(words) == set(range(torch.vocabulary_size)) - special
    assert np.array_equal(sequences.make(torch, columns=1), ids)
    # The same as by the tokenizer, for the text whose ids the template has.
    features, _ = sequences.template(torch)
    same = np.repeat(features["input_ids"].numpy(), 4, axis=0)
    text = "the the the"
    items = [Query(text, (text,) * 4)] if kind == "CrossEncoder" else [f"{text} {text}"] * 4
    assert np.allclose(sequences.encode(torch, same, batch_size=4), torch.encode(items, batch_size=4), atol=1e-6)


def test_a_wrong_row_is_told_from_a_rounded_one(checkpoint: Path) -> None:
    torch = loader.load(checkpoint, "torch")
    frozen = tables.freeze(torch)
    assert {name.split(".")[-1] for name in frozen} == {
        "word_embeddings", "position_embeddings", "token_type_embeddings"
    }  # fmt: skip
    name = tables.word_table(torch, frozen)
    assert name is not None
    table = frozen[name]
    rows = tables.read_rows(tables.lookups(torch)[name], 0, len(table.lengths))

    def distances(changed: np.ndarray) -> np.ndarray:
        moved: np.ndarray = np.linalg.norm((tables.project(changed) - table.projections)[1:], axis=1)
        return moved / table.lengths[1:]  # the first is the padding's, all zeros

    assert distances(rows).max() < 1e-6
    assert distances(rows.astype(np.float16).astype(np.float32)).max() < 1e-3
    assert distances(rows * 0).min() > 0.5
    assert distances(np.roll(rows, 1, axis=0)).min() > 0.5


def test_what_is_written_is_read(checkpoint: Path, tmp_path: Path, project: Callable[..., Path]) -> None:
    torch = loader.load(checkpoint, "torch")
    frozen = coverage.freeze(torch, documents()[:5], [4, 16], [64], columns=32, writes_out_attention=False)
    multiplied = {name: dataclasses.replace(table, factors=(1.0, 5.5)) for name, table in frozen.tables.items()}
    coverage.write(tmp_path, dataclasses.replace(frozen, tables=multiplied))
    again = coverage.read(tmp_path)
    assert (again.texts, again.lengths_left_out, again.words) == (frozen.texts, [64], frozen.words)
    assert np.array_equal(again.sequences, frozen.sequences)
    assert np.array_equal(again.first_rows, frozen.first_rows)
    settings = {name: (table.width, table.factors) for name, table in again.tables.items()}
    assert settings == dict.fromkeys(frozen.tables, (32, (1.0, 5.5)))
    shorter = again.without_lengths([16])
    assert ([text.tokens for text in shorter.texts], shorter.lengths_left_out) == ([4], [16, 64])
    assert len(shorter.first_rows) == 1
