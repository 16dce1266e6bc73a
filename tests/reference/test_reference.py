"""What a reference compares with: embeddings and scores without what all of them have in common."""

from pathlib import Path

import numpy as np
import pytest

from foundry.reference import closeness, reference
from foundry.reference.reference import Reference, less_offsets
from foundry.variants.checkpoint_folder import Kind

GENERATOR = np.random.default_rng(0)
TEXTS = closeness.directions(GENERATOR.normal(size=(120, 32)))


def make_reference(embeddings: np.ndarray, kind: Kind = "SentenceTransformer", labels: int = 0) -> Reference:
    """A reference of these embeddings, or of scores (queries, passages times labels) before the offsets are taken."""
    offsets = [float(mean) for mean in embeddings.reshape(-1, labels).mean(axis=0)] if labels else []
    rows = less_offsets(embeddings, offsets).astype(np.float32)
    return Reference(
        embeddings=rows, hard_texts={"empty": ""}, hard_embeddings=rows[:1], tokens=[[1]], scores={}, batch_size=8,
        vocabulary_size=10, offsets=offsets, scripts={"texts": {}, "vocabulary": {}},
        facts={"kind": kind, "max_seq_length": 64, "similarity": "cosine", "prompts": {}, "truncate_dim": None,
               "trust_remote_code": False, "modules": []},
    )  # fmt: skip


@pytest.mark.parametrize("length", [1.0, 3.0, 20.0])
def test_the_centred_cosine_is_the_same_however_much_all_embeddings_have_in_common(length: float) -> None:
    noise = 0.1 * GENERATOR.normal(size=TEXTS.shape) / np.sqrt(TEXTS.shape[1])
    common = np.zeros((1, 33))
    common[0, -1] = length
    original, changed = (np.hstack([rows, np.zeros((120, 1))]) for rows in (TEXTS, TEXTS + noise))
    alone = 1 - make_reference(original).centred_cosines(changed, original).mean()
    shifted = 1 - make_reference(original + common).centred_cosines(changed + common, original + common).mean()
    assert shifted == pytest.approx(alone, rel=0.1)
    plain = 1 - closeness.cosines(changed + common, original + common).mean()
    assert plain < alone / (1 + length**2) * 1.1


def test_of_an_embedding_the_direction_counts_and_not_the_length() -> None:
    scaled = TEXTS * GENERATOR.uniform(0.5, 2, size=(120, 1))
    assert make_reference(TEXTS).centred_cosines(scaled, TEXTS) == pytest.approx(np.ones(120))


def test_a_label_that_is_far_from_the_others_hides_nothing() -> None:
    passages, labels = 4, 3
    scores = GENERATOR.normal(size=(50, passages, labels)) + np.array([-9.0, 0.0, 9.0])
    others = GENERATOR.normal(size=(50, passages, labels)) + np.array([-9.0, 0.0, 9.0])
    expected = make_reference(scores.reshape(50, -1), "CrossEncoder", labels)
    assert expected.offsets == pytest.approx([-9, 0, 9], abs=0.3)
    rows = expected.less_offsets(others.reshape(50, -1))
    assert abs(closeness.cosines(rows, expected.embeddings).mean()) < 0.2
    # Centred by the mean of all scores, as before, scores that have nothing in common look alike.
    one_number = [others.reshape(50, -1) - scores.mean(), scores.reshape(50, -1) - scores.mean()]
    assert closeness.cosines(*one_number).mean() > 0.95


def test_another_number_of_scores_is_no_error_here() -> None:
    expected = make_reference(GENERATOR.normal(size=(50, 12)), "CrossEncoder", 3)
    assert expected.less_offsets(np.ones((50, 7))).shape == (50, 7)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    expected = make_reference(GENERATOR.normal(size=(50, 12)), "CrossEncoder", 3)
    reference.write(tmp_path, expected)
    read = reference.read(tmp_path)
    assert (read.offsets, read.scripts, read.facts) == (expected.offsets, expected.scripts, expected.facts)
    assert np.array_equal(read.mean, expected.mean)
