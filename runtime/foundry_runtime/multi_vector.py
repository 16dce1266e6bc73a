"""Texts to a vector for each token, as MultiVectorEncoder.encode_query and encode_document give them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foundry_runtime.errors import UnusableModel
from foundry_runtime.folder import ModelFolder, open_folder
from foundry_runtime.head import MultiVectorMask, Values
from foundry_runtime.late_interaction import COUNTED, Expansion, RoleTokens, role_tokens
from foundry_runtime.max_sim import max_sim
from foundry_runtime.model import Model, check_texts
from foundry_runtime.router import Role
from foundry_runtime.text_model import DOCUMENT_PROMPTS
from foundry_runtime.tokens import Tokens

SIMILARITIES = {"maxsim": False, "meanmaxsim": True}  # whether a score is divided by the query's number of vectors
Vectors = list[np.ndarray]  # of each text (tokens, dimensions)


class MultiVectorEmbedder(Model):
    """A MultiVectorEncoder (late interaction, as ColBERT); see `Model` for the arguments.

    Of every text the vectors come that count: of a query those of its expansion, of a document none of its skip list.
    """

    kind: ClassVar[str] = "MultiVectorEncoder"
    _output: ClassVar[str] = "token_embeddings"
    _finished_output = "token_embeddings"
    _default_prompts = {"query": "", "document": ""}  # noqa: RUF012  as Sentence Transformers has them

    def __init__(
        self,
        model: str | Path | ModelFolder,
        variant: str | None = None,
        *,
        max_seq_length: int | None = None,
        verify: bool = True,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        **options: Any,
    ) -> None:
        folder = model if isinstance(model, ModelFolder) else open_folder(model, verify, revision, token, cache_dir)
        super().__init__(folder, variant, max_seq_length=max_seq_length, **options)
        self.similarity_fn_name = self._layout.model_settings.get("similarity_fn_name") or "maxsim"
        if self.similarity_fn_name not in SIMILARITIES:
            raise UnusableModel(
                f"{folder.name}: similarity {self.similarity_fn_name!r} is not known; known are "
                f"{', '.join(SIMILARITIES)}"
            )
        self._readers = self._read_roles(folder, max_seq_length)

    def _read_roles(self, folder: ModelFolder, max_seq_length: int | None) -> dict[str | None, RoleTokens]:
        """How a query, a document, and what is neither are read."""
        settings, by_length = self._layout.settings, {self._tokens.max_seq_length: self._tokens}
        masks = [step for step in self._head.steps if isinstance(step, MultiVectorMask)]
        expansion = Expansion.read(
            folder.name, settings.get("query_expansion"), self._tokens, self._layout.tokenizer_config
        )

        def tokens(length: int | None) -> Tokens:
            limit = length if max_seq_length is None or length is None else min(length, max_seq_length)
            limit = self._tokens.max_seq_length if limit is None else limit
            if limit not in by_length:
                by_length[limit] = Tokens(folder, self._layout, limit)
            return by_length[limit]

        query_length = settings.get("query_length")
        if expansion is not None and expansion.strategy == "fixed":
            query_length = expansion.length
        elif expansion is not None and query_length is not None:
            query_length = max(query_length, expansion.length)
        lengths = {"query": query_length, "document": settings.get("document_length"), None: None}
        return {task: role_tokens(tokens(length), expansion, masks, task) for task, length in lengths.items()}

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        task: str | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Any:
        """Vectors of each text, a list of arrays (tokens, dimensions) in float32; of a single text its array.

        Args:
            texts: One text, or several.
            task: `query` or `document`; `encode_query` and `encode_document` say so themselves.
            prompt_name: Which of `prompts` is put before each text.
            prompt: The prompt itself, instead.
            batch_size: Texts in a batch; by default as many as have `batch_tokens` tokens.
            show_progress: Whether a line on standard error says how far it is.
        """
        if task not in self._readers:
            raise ValueError(f"task is {task!r}, must be query, document or None")
        before = self._prompt(prompt, prompt_name)
        listed = check_texts([texts] if isinstance(texts, str) else texts)
        found: Vectors = [np.zeros((0, 0), np.float32)] * len(listed)
        prompted = [before + text for text in listed]
        if prompted:
            for places, rows in self._rows(prompted, batch_size, show_progress, reader=self._readers[task]):
                for place, row in zip(places, rows, strict=True):
                    found[place] = row
        return found[0] if isinstance(texts, str) else found

    def encode_query(self, texts: str | Iterable[str], **options: Any) -> Any:
        """`encode` as queries: with their prompt, length and expansion."""
        return self.encode(texts, task="query", **self._with_prompt_of(("query",), options))

    def encode_document(self, texts: str | Iterable[str], **options: Any) -> Any:
        """`encode` as documents: with their prompt and length, without the tokens of the skip list."""
        return self.encode(texts, task="document", **self._with_prompt_of(DOCUMENT_PROMPTS, options))

    def similarity(
        self, queries: np.ndarray | Sequence[np.ndarray], documents: np.ndarray | Sequence[np.ndarray]
    ) -> np.ndarray:
        """MaxSim of each query's vectors with each document's, (queries, documents): what `encode_query` and
        `encode_document` gave, of several texts or of one."""
        by_length = SIMILARITIES[self.similarity_fn_name]
        return max_sim(_as_list(queries), _as_list(documents), by_length)

    def _finish(self, outputs: Values, inputs: Values, prompt_length: int | None, role: Role | None) -> Any:
        vectors = super()._finish(outputs, inputs, prompt_length, role)
        return [row[counts] for row, counts in zip(vectors, inputs[COUNTED], strict=True)]


def _as_list(vectors: np.ndarray | Sequence[np.ndarray]) -> Vectors:
    """The vectors of several texts; those of one alone are an array (tokens, dimensions)."""
    is_single = isinstance(vectors, np.ndarray) and vectors.ndim == 2
    return [np.asarray(vectors)] if is_single else list(vectors)
