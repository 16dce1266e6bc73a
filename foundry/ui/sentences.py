"""Two variants side by side on a user's own sentences: similarity, nearest neighbours, and time.

It runs as a process of its own (`python -m foundry.ui.sentences`) in the project's folder, because the libraries and
the models take memory that the server should not keep.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from foundry.base import command
from foundry.base.errors import FoundryError
from foundry.ui import editing, limits, short_commands
from foundry.ui.workspaces import Workspace

NEIGHBOURS = 3


class Side(TypedDict):
    """One variant."""

    variant: str
    ms_per_sentence: float  # in a batch of all, the median of three passes
    neighbours: list[list[int]]  # of each sentence, the nearest first
    similarities: list[list[float]]


class Comparison(TypedDict):
    """Both, and how close their embeddings are."""

    sentences: list[str]
    cosines: list[float]
    sides: list[Side]


def compare(workspace: Workspace, model: Any, left: Any, right: Any, text: Any) -> Comparison:
    """Embed the lines of a text by two variants of a model.

    Raises:
        FoundryError: when there are too many lines or fewer than two, or a variant is not there.
    """
    name = editing.require_model(workspace, model)
    params = editing.read(workspace)
    for variant in (left, right):
        editing.require_variants(params, [variant])
        if not (workspace.root / "artifacts/models" / name / str(variant)).is_dir():
            raise FoundryError(f"{variant} of {name} is not built yet")
    sentences = [line.strip() for line in str(text).splitlines() if line.strip()]
    if not 2 <= len(sentences) <= limits.SENTENCES:
        raise FoundryError(f"got {len(sentences)} sentences, one a line; 2 to {limits.SENTENCES} are expected")
    if max(map(len, sentences)) > limits.SENTENCE_CHARACTERS:
        raise FoundryError(f"a sentence has at most {limits.SENTENCE_CHARACTERS} characters here")
    given = {"model": name, "variants": [str(left), str(right)], "sentences": sentences}
    printed = short_commands.run(workspace, ["foundry.ui.sentences"], given)
    result: Comparison = json.loads(printed.splitlines()[-1])
    return result


def main() -> None:
    given = json.load(sys.stdin)
    folder = Path("artifacts/models") / given["model"]
    print(json.dumps(embed(folder, given["variants"], given["sentences"])))


def embed(folder: Path, variants: Sequence[str], sentences: list[str]) -> Comparison:
    """Embed sentences by variants of a model's folder.

    Raises:
        FoundryError: when a variant does not load, or is of a kind that has no embedding of a sentence.
    """
    from foundry.loading import loader
    from foundry.reference.closeness import cosines

    rows, sides = [], []
    for variant in variants:
        try:
            loaded = loader.load(folder / variant, variant)
            if loaded.kind == "CrossEncoder":
                raise FoundryError("a CrossEncoder scores pairs and has no embedding of a sentence to compare")
            if loaded.kind == "MultiVectorEncoder":
                raise FoundryError(
                    "a MultiVectorEncoder has a vector for each token, and none of a sentence to compare"
                )
            items = loaded.items(sentences)
            embeddings = loaded.encode(items)
            passes = []
            for _ in range(3):
                start = time.perf_counter()
                loaded.encode(items)
                passes.append(time.perf_counter() - start)
        except loader.load_errors() as error:
            if isinstance(error, FoundryError):
                raise
            raise FoundryError(f"{variant} does not load or run: {type(error).__name__} {error}") from error
        rows.append(embeddings)
        sides.append(side_of(variant, embeddings, 1000 * sorted(passes)[1] / len(sentences)))
    return {"sentences": sentences, "cosines": [float(v) for v in cosines(rows[0], rows[1])], "sides": sides}


def side_of(variant: str, embeddings: Any, ms_per_sentence: float) -> Side:
    """The neighbours and similarities by one variant's embeddings (sentences, dimensions)."""
    import numpy as np

    from foundry.reference.closeness import similarities

    matrix = similarities(embeddings)
    others = matrix.copy()
    np.fill_diagonal(others, -np.inf)
    nearest = np.argsort(-others, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(matrix) - 1)]
    return {
        "variant": variant,
        "ms_per_sentence": round(ms_per_sentence, 3),
        "neighbours": nearest.tolist(),
        "similarities": [[round(float(value), 4) for value in row] for row in matrix],
    }


if __name__ == "__main__":
    command.run_app(main)
