"""Texts to embeddings, as SentenceTransformer.encode gives them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foundry_runtime.head import normalize as at_length_one
from foundry_runtime.model import check_texts
from foundry_runtime.text_model import TextModel


class Embedder(TextModel[np.ndarray]):
    """A SentenceTransformer; see `Model` for the arguments.

    Args:
        truncate_dim: Dimensions of the embeddings that are kept; by default what the model says, else all.
    """

    kind: ClassVar[str] = "SentenceTransformer"
    _finished_output = "sentence_embedding"
    _default_similarity: ClassVar[str] = "cosine"

    def __init__(
        self, model: str | Path, variant: str | None = None, *, truncate_dim: int | None = None, **options: Any
    ) -> None:
        super().__init__(model, variant, **options)
        self.truncate_dim = (
            truncate_dim if truncate_dim is not None else self._layout.model_settings.get("truncate_dim")
        )

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        task: str | None = None,
        batch_size: int | None = None,
        normalize: bool = False,
        truncate_dim: int | None = None,
        show_progress: bool = False,
    ) -> np.ndarray:
        """Embeddings (texts, dimensions) in float32, in the order of the texts; of a single text (dimensions,).

        Args:
            texts: One text, or several.
            prompt_name: Which of `prompts` is put before each text.
            prompt: The prompt itself, instead.
            task: `query` or `document`, by which a model with a Router embeds them; by default as that says.
            batch_size: Texts in a batch; by default as many as have `batch_tokens` tokens.
            normalize: Whether the embeddings are brought to length 1, after `truncate_dim`.
            truncate_dim: Dimensions that are kept.
            show_progress: Whether a line on standard error says how far it is.
        """
        if isinstance(texts, str):
            return self.encode(
                [texts], prompt_name=prompt_name, prompt=prompt, task=task, batch_size=batch_size,
                normalize=normalize, truncate_dim=truncate_dim, show_progress=show_progress,
            )[0]  # fmt: skip
        role = self._role(task)
        before = self._prompt(prompt, prompt_name)
        listed = check_texts(texts)
        if not listed:  # (0, dimensions), which an empty text knows
            return self.encode([""], task=task, normalize=normalize, truncate_dim=truncate_dim)[:0]
        dimensions = truncate_dim if truncate_dim is not None else self.truncate_dim
        without_prompt = self._head_of(role).without_prompt
        prompt_length = self._tokens.prompt_length(before) if before and without_prompt else None
        prompted = [before + text for text in listed] if before else listed
        embeddings = np.zeros((0, 0), np.float32)
        for places, rows in self._rows(prompted, batch_size, show_progress, prompt_length, role):
            kept = rows[..., :dimensions]
            if not len(embeddings):
                embeddings = np.zeros((len(listed), kept.shape[-1]), np.float32)
            embeddings[places] = at_length_one(kept) if normalize else kept
        return embeddings

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """How alike each embedding of `a` is to each of `b`, (a, b), by the model's own measure."""
        return self._similarity(a, b)
