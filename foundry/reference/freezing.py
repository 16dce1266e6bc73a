"""Freeze the reference of every variant: torch's embeddings of the validation and of hard texts, and its scores."""

from pathlib import Path

import numpy as np

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.base.progress import say
from foundry.data import texts as frozen_texts
from foundry.data.labelled import Task
from foundry.loading import loader
from foundry.loading.variant import LoadedVariant
from foundry.reference import reference
from foundry.reference.hard_texts import make_hard_texts
from foundry.reference.reference import Reference
from foundry.reference.scoring import score_tasks


def freeze_reference(torch: LoadedVariant, texts: list[str], tasks: dict[str, Task], batch_size: int) -> Reference:
    """The reference that a torch model gives on the validation texts and tasks.

    Raises:
        FoundryError: when torch itself gives NaN or infinity, or scores nothing on a task.
    """
    hard_texts = make_hard_texts(torch)
    items, hard_items = torch.items(texts), torch.items(list(hard_texts.values()))
    embeddings = torch.encode(items, batch_size)
    hard_embeddings = torch.encode(hard_items, batch_size=1)
    if bad := [text for text, row in zip(texts, embeddings, strict=True) if not np.isfinite(row).all()]:
        raise FoundryError(f"torch itself gives NaN or infinity for {len(bad)} texts, such as {bad[0][:80]!r}")
    offset = float(embeddings.mean()) if torch.kind == "CrossEncoder" else 0.0
    scores = score_tasks(torch, batch_size, tasks, texts, embeddings)
    for name, score in scores.items():
        if not score > 0:
            raise FoundryError(
                f"torch scores {score} on task {name}, and a variant's ratio to that means nothing; remove the task"
            )
    return Reference(
        embeddings=(embeddings - offset).astype(np.float32),
        hard_texts=hard_texts,
        hard_embeddings=(hard_embeddings - offset).astype(np.float32),
        tokens=torch.token_ids([*items, *hard_items]),
        facts=torch.facts(),
        scores=scores,
        vocabulary_size=torch.vocabulary_size,
        batch_size=batch_size,
        offset=offset,
    )


def build(torch: Path, validation_texts: Path, tasks: Path, batch_size: int, out: Path) -> None:
    """Write the reference of the model in `torch` to the folder `out`.

    Raises:
        FoundryError: when Sentence Transformers cannot load the model, and as `freeze_reference` does.
    """
    texts = [row["text"] for row in frozen_texts.read(validation_texts)]
    try:
        model = loader.load(torch, "torch")
    except loader.load_errors() as error:
        raise FoundryError(f"{torch} does not load with Sentence Transformers: {error}") from error
    labelled: dict[str, Task] = files.read_json(tasks)
    result = freeze_reference(model, texts, labelled, batch_size)
    with files.replacing_folder(out) as partial:
        reference.write(partial, result)
    count, width = result.embeddings.shape
    covered = f"{result.vocabulary_covered} of {result.vocabulary_size} vocabulary entries"
    say(f"{out}: {count} texts and {len(result.hard_texts)} hard ones, {width} dimensions, {covered}")
    for name in labelled:
        if name in result.scores:
            say(f"  {name}: {result.scores[name]:.4f}")
        else:
            say(f"  {name}: left out, because this {model.kind} gives a pair several scores, which rank nothing")
