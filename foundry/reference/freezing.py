"""Freeze the reference of every variant: torch's embeddings of the validation and of hard texts, and its scores."""

from pathlib import Path

import numpy as np

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.data import texts as frozen_texts
from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.loading.variant import LoadedVariant, PairVariant
from foundry.reference import (
    between_sides,
    coverage,
    lengths,
    memory_needed,
    queries,
    reference,
    scoring,
    scripts,
    token_rows,
)
from foundry.reference.between_sides import OtherSide
from foundry.reference.hard_texts import make_hard_texts
from foundry.reference.reference import Reference, less_offsets


def freeze_reference(
    torch: LoadedVariant,
    folder: Path,
    texts: list[str],
    tasks: dict[str, Task],
    batch_size: int,
    other: OtherSide | None = None,
) -> Reference:
    """The reference that a torch model gives on the validation texts and tasks. Of the hard texts and lengths, those
    are left out for which there is no memory. `other` is the other side, where the model is one side of a Router.

    Raises:
        FoundryError: when torch itself gives NaN or infinity, scores nothing on a task, or would not have the memory
            for the validation texts.
    """
    room = memory_needed.Room(folder, written_out=_writes_out_attention(torch))
    hard_texts = make_hard_texts(torch)
    tokens = torch.token_ids([*torch.items(texts), *torch.items(list(hard_texts.values()))])
    room.require(batch_size, max(map(len, tokens[: len(texts)])), f"Lower validate.batch_size ({batch_size})")
    lengths_of_hard_texts = dict(zip(hard_texts, map(len, tokens[len(texts) :]), strict=True))
    left_out = sorted(name for name, length in lengths_of_hard_texts.items() if not room.fits(1, length))
    hard_texts = {name: text for name, text in hard_texts.items() if name not in left_out}
    tried = lengths.schedule(torch.longest_text)
    items, hard_items = torch.items(texts), torch.items(list(hard_texts.values()))
    embeddings, counts = token_rows.encode(torch, items, batch_size)
    hard_embeddings, hard_counts = token_rows.encode(torch, hard_items, batch_size=1)
    rows_of_texts = token_rows.split(embeddings, counts)
    if bad := [text for text, rows in zip(texts, rows_of_texts, strict=True) if not np.isfinite(rows).all()]:
        raise FoundryError(f"torch itself gives NaN or infinity for {len(bad)} texts, such as {bad[0][:80]!r}")
    offsets = label_offsets(torch, embeddings)
    scores = scoring.score_tasks(torch, batch_size, tasks, texts, embeddings, other)
    for name, score in scores.items():
        if not score > 0:
            raise FoundryError(
                f"torch scores {score} on task {name}, and a variant's ratio to that means nothing; remove the task"
            )
    return Reference(
        embeddings=less_offsets(embeddings, offsets).astype(np.float32),
        hard_texts=hard_texts,
        hard_embeddings=less_offsets(hard_embeddings, offsets).astype(np.float32),
        tokens=torch.token_ids([*items, *hard_items]),
        facts=torch.facts(),
        scores=scores,
        vocabulary_size=torch.vocabulary_size,
        scripts={"texts": scripts.count(texts), "vocabulary": scripts.count(torch.vocabulary)},
        batch_size=batch_size,
        offsets=offsets,
        queries=queries.make(torch, [*texts, *hard_texts.values()]),
        query_texts=list(hard_texts.values()) if torch.has_query_table else [],
        hard_texts_left_out=left_out,
        counts=counts,
        hard_counts=hard_counts,
        other_side=other,
        coverage=coverage.freeze(
            torch,
            texts,
            [length for length in tried if room.fits(1, length)],
            [length for length in tried if not room.fits(1, length)],
            embeddings.shape[1],
            room.written_out,
        ),
    )


def _writes_out_attention(torch: LoadedVariant) -> bool:
    """Whether torch holds the scores of a whole text at once: with every attention but those that go by blocks."""
    config = getattr(torch.transformer.auto_model, "config", None)
    return getattr(config, "_attn_implementation", "eager") not in ("sdpa", "flash_attention_2")


def label_offsets(torch: LoadedVariant, rows: np.ndarray) -> list[float]:
    """The mean score of each label over all pairs of a CrossEncoder's rows (queries, passages times labels).

    Labels are centred one by one: their scores may lie far apart, and one mean of all would leave that in every row,
    where it outweighs what tells one pair from another. For embeddings, none.
    """
    if not isinstance(torch, PairVariant):
        return []
    return [float(mean) for mean in rows.reshape(-1, torch.model.num_labels).mean(axis=0, dtype=np.float64)]


def build(torch: Path, other_side: Path, validation_texts: Path, tasks: Path, batch_size: int, out: Path) -> None:
    """Write the reference of the model in `torch` to the folder `out`.

    `other_side` holds the other side, where the model is one side of a Router.

    Raises:
        FoundryError: when Sentence Transformers cannot load the model, and as `freeze_reference` does.
    """
    texts = [row["text"] for row in frozen_texts.read(validation_texts)]
    try:
        model = loader.load(torch, "torch")
    except loader.load_errors() as error:
        raise FoundryError(f"{torch} does not load with Sentence Transformers: {error}") from error
    labelled: dict[str, Task] = files.read_json(tasks)
    other = between_sides.freeze(other_side, texts, labelled, batch_size)
    result = freeze_reference(model, torch, texts, labelled, batch_size, other)
    with files.replacing_folder(out) as partial:
        reference.write(partial, result)
    width = result.embeddings.shape[1]
    covered = f"{result.vocabulary_covered} of {result.vocabulary_size} vocabulary entries"
    for line in coverage.summary(result.coverage):
        say(f"  {line}")
    say(f"{out}: {len(texts)} texts and {len(result.hard_texts)} hard ones, {width} dimensions, {covered}")
    if missing := scripts.uncovered(result.scripts):
        say(("warning: ", "yellow"), f"what is measured says nothing of scripts without texts: {', '.join(missing)}")
    for name in labelled:
        if name in result.scores:
            say(f"  {name}: {result.scores[name]:.4f}")
        else:
            say(f"  {name}: left out, because {scoring.why_left_out(model.kind)}")
