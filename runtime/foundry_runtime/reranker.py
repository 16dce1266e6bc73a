"""Pairs of texts to scores, as CrossEncoder.predict and rank give them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foundry_runtime import activations
from foundry_runtime.model import Model, check_texts
from foundry_runtime.tokens import Text


class Reranker(Model):
    """A CrossEncoder; see `Model` for the arguments.

    Args:
        activation_fn: What a score is after the model, for arrays (pairs, labels); by default the model's own.
    """

    kind: ClassVar[str] = "CrossEncoder"
    _output: ClassVar[str] = "scores"
    _finished_output = None  # The activation may be another one than the graph's.

    def __init__(
        self,
        model: str | Path,
        variant: str | None = None,
        *,
        activation_fn: Callable[[np.ndarray], np.ndarray] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, variant, **options)
        self.num_labels = self._layout.num_labels
        self.activation_fn = activation_fn or activations.FUNCTIONS[self._layout.score_activation]

    def predict(
        self,
        pairs: Sequence[str] | Iterable[Sequence[str]],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        activation_fn: Callable[[np.ndarray], np.ndarray] | None = None,
        apply_softmax: bool = False,
        show_progress: bool = False,
    ) -> np.ndarray:
        """Scores (pairs,) in float32, or (pairs, labels) of a model with several; of a single pair without the first.

        Args:
            pairs: One pair of texts, or several.
            prompt_name: Which of `prompts` is put before the first text of each pair.
            prompt: The prompt itself, instead.
            batch_size: Pairs in a batch; by default as many as have `batch_tokens` tokens.
            activation_fn: What a score is after the model, for arrays (pairs, labels), instead of `activation_fn`.
            apply_softmax: Whether the labels of a pair are made to add up to 1.
            show_progress: Whether a line on standard error says how far it is.
        """
        listed: list[Any] = list(pairs)
        if listed and isinstance(listed[0], str):
            scores: np.ndarray = self.predict(
                [listed], prompt_name=prompt_name, prompt=prompt, batch_size=batch_size, activation_fn=activation_fn,
                apply_softmax=apply_softmax, show_progress=show_progress,
            )[0]  # fmt: skip
            return scores
        before = self._prompt(prompt, prompt_name)
        activation = activation_fn or self.activation_fn
        found = np.zeros((len(listed), self.num_labels), np.float32)
        for places, rows in self._rows([self._text(row, before) for row in listed], batch_size, show_progress):
            scores = activation(rows)
            found[places] = activations.softmax(scores) if apply_softmax else scores
        return found[:, 0] if self.num_labels == 1 else found

    def _text(self, row: Sequence[str], prompt: str) -> Text:
        """A pair as the tokenizer takes it, with the prompt where this model has it."""
        query, document = _pair(row)
        if self._layout.template is not None:
            return (query, document, prompt)
        return prompt + query, document

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """The documents by their score for the query, the best first: each `corpus_id`, `score` and, if asked, `text`.

        Further arguments are those of `predict`.

        Raises:
            ValueError: for a model of several labels, which gives no single score.
        """
        if self.num_labels != 1:
            raise ValueError(f"rank needs a model with one label, and this one has {self.num_labels}: use predict")
        scores = self.predict([(query, document) for document in documents], **options)
        ranked = [
            {"corpus_id": index, "score": float(scores[index])} for index in np.argsort(-scores, kind="stable")[:top_k]
        ]
        for row in ranked:
            row["corpus_id"] = int(row["corpus_id"])
            if return_documents:
                row["text"] = documents[row["corpus_id"]]
        return ranked


def _pair(row: Sequence[str]) -> tuple[str, str]:
    if isinstance(row, str) or len(row) != 2:
        raise TypeError(f"{row!r} is no pair of texts")
    first, second = check_texts(row)
    return first, second
