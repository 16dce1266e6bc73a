"""Freeze the torch embeddings of the validation texts: the reference that every variant is compared with."""

from pathlib import Path

import numpy as np

from stages.shared import command, files, loader, params, texts
from stages.shared.command import StageError
from stages.shared.embeddings import EMBEDDINGS
from stages.shared.progress import say


def main(torch: Path, validation: Path, out: Path) -> None:
    batch_size = params.read().validate_.batch_size
    chosen = [row["text"] for row in texts.read(validation)]
    embeddings = loader.load(torch, "torch").encode(chosen, batch_size=batch_size, convert_to_numpy=True)
    if not np.isfinite(embeddings).all():
        raise StageError(f"torch itself gives NaN or infinity for {(~np.isfinite(embeddings).all(axis=1)).sum()} texts")
    with files.replacing_folder(out) as partial:
        np.save(partial / EMBEDDINGS, embeddings.astype(np.float32))
    say(f"{out}: {embeddings.shape[0]} texts, {embeddings.shape[1]} dimensions")


if __name__ == "__main__":
    command.run(main)
