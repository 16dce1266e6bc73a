"""What a variant's folder says of all that stands behind its transformer, as the runtime reads it."""

from pathlib import Path
from typing import NamedTuple

from foundry_runtime.errors import UnusableModel
from foundry_runtime.folder import open_folder
from foundry_runtime.head import Step, read_head
from foundry_runtime.layout import GIVEN, read_layout

# The output that a kind of model is about, and the values of the head that it is taken from.
OUTPUTS = {
    "SentenceTransformer": ("sentence_embedding", "sentence_embedding"),
    "SparseEncoder": ("sparse_embedding", "sentence_embedding"),
    "CrossEncoder": ("scores", "scores"),
    "MultiVectorEncoder": ("token_embeddings", "token_embeddings"),
}


class Unsupported(Exception):
    """The head cannot be part of a graph; the message says why."""


class HeadOfModel(NamedTuple):
    """All that a graph's first output goes through until it is what the model is about.

    Of a MultiVectorEncoder that is a finished vector for every token. None is masked: which count depends on whether
    the text is a query, and the vectors of a query's expansion count although their mask is 0.
    """

    steps: tuple[Step, ...]
    # What the head calls the graph's first output: `token_embeddings`; `scores` of a classifier, `causal_logits` of a
    # language model.
    given: str
    result: str  # the value of the head that is the output
    output: str  # `sentence_embedding`, `sparse_embedding`, `token_embeddings` or `scores`
    truncate_dim: int | None
    activation: str  # of the scores; `Identity` for other kinds

    @property
    def shape(self) -> list[str]:
        """The names of the output's dimensions."""
        tokens = ["tokens"] if self.result == "token_embeddings" else []
        return ["texts", *tokens, f"{self.output}_dimensions"]


def read(folder: Path) -> HeadOfModel:
    """The head of the model in a folder of Sentence Transformers.

    Raises:
        Unsupported: when a module is not known, or no graph can compute it.
    """
    try:
        opened = open_folder(folder, verify=False)
        layout = read_layout(opened)
        head = read_head(opened, layout.modules, layout.kind)
        activation = layout.score_activation if layout.kind == "CrossEncoder" else "Identity"
    except UnusableModel as error:
        raise Unsupported(str(error).removeprefix(f"{folder}: ").replace(str(folder), "the model")) from error
    sides = layout.sides
    if sides is not None and sides.query_table is None and sides.query != sides.document:
        raise Unsupported(
            "its Router has a head for queries and another for documents, and a graph does not know which"
        )
    if head.without_prompt:
        raise Unsupported("its pooling leaves the prompt out, and a graph does not know where the prompt ends")
    output, result = OUTPUTS[layout.kind]
    given = GIVEN.get(layout.task, "token_embeddings")
    truncate_dim = layout.model_settings.get("truncate_dim") if layout.kind == "SentenceTransformer" else None
    return HeadOfModel(head.steps, given, result, output, truncate_dim, activation)
