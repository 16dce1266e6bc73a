"""Freeze the reference of every variant: torch's embeddings of the validation and of hard texts, and its scores."""

from pathlib import Path
from typing import Any

import numpy as np

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.data import texts
from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.loading.encoders import items
from foundry.reference import reference
from foundry.reference.reference import Reference
from foundry.reference.scoring import score_tasks


def freeze(model: Any, chosen: list[str], tasks: dict[str, Task], batch_size: int) -> Reference:
    """The reference that a torch model gives.

    Raises:
        FoundryError: when torch itself gives NaN or infinity, or scores nothing on a task.
    """
    of_pairs = loader.of_pairs(model)
    hard = reference.hard_texts(model)
    some, few = items(chosen, of_pairs), items(list(hard.values()), of_pairs)
    embeddings = model.encode(some, batch_size=batch_size, show_progress_bar=False)
    hard_embeddings = model.encode(few, batch_size=1, show_progress_bar=False)
    if bad := [text for text, row in zip(chosen, embeddings, strict=True) if not np.isfinite(row).all()]:
        raise FoundryError(f"torch itself gives NaN or infinity for {len(bad)} texts, such as {bad[0][:80]!r}")
    offset = float(embeddings.mean()) if of_pairs else 0.0
    scores = score_tasks(model, batch_size, tasks, chosen, embeddings)
    for name, value in scores.items():
        if not value > 0:
            raise FoundryError(f"torch scores {value} on task {name}; a ratio to that says nothing. Take the task out")
    return Reference(
        embeddings=(embeddings - offset).astype(np.float32),
        hard=hard,
        hard_embeddings=(hard_embeddings - offset).astype(np.float32),
        tokens=reference.token_ids(model, [*some, *few]),
        facts=reference.facts(model),
        scores=scores,
        vocabulary_size=len(model.tokenizer),
        batch_size=batch_size,
        offset=offset,
    )


def build(torch: Path, validation_texts: Path, tasks: Path, batch_size: int, out: Path) -> None:
    """Write the reference of the model in `torch` to the folder `out`.

    Raises:
        FoundryError: when Sentence Transformers cannot load the model, and as `freeze` does.
    """
    chosen = [row["text"] for row in texts.read(validation_texts)]
    try:
        model = loader.load(torch, "torch")
    except loader.load_errors() as error:
        raise FoundryError(f"{torch} does not load with Sentence Transformers: {error}") from error
    result = freeze(model, chosen, files.read_json(tasks), batch_size)
    with files.replacing_folder(out) as partial:
        reference.write(partial, result)
    count, width = result.embeddings.shape
    covered = f"{result.vocabulary_covered} of {result.vocabulary_size} vocabulary entries"
    say(f"{out}: {count} texts and {len(result.hard)} hard ones, {width} dimensions, {covered}")
    for name, value in result.scores.items():
        say(f"  {name}: {value:.4f}")
