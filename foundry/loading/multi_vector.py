"""A loaded MultiVectorEncoder: a vector for each token of a text that counts."""

from collections.abc import Sequence
from typing import ClassVar, cast

import numpy as np

from foundry.loading.items import Item
from foundry.loading.prompts import Method, by_role
from foundry.loading.variant import LoadedVariant
from foundry.variants.checkpoint_folder import Kind
from foundry.variants.facts import Facts

# What Sentence Transformers' first module says of a text's length and of a query's expansion.
TOKEN_SETTINGS = ("query_length", "document_length", "query_expansion")


class MultiVectorVariant(LoadedVariant):
    """A MultiVectorEncoder: rows are the vectors of tokens, (tokens of all texts, dimensions). Short texts are embedded
    as queries, others as documents."""

    kind: ClassVar[Kind] = "MultiVectorEncoder"

    def encode(self, items: Sequence[Item], batch_size: int = 32) -> np.ndarray:
        return np.concatenate(self.encode_each(items, batch_size))

    def encode_each(self, items: Sequence[Item], batch_size: int = 32) -> list[np.ndarray]:
        texts = cast(Sequence[str], items)
        return by_role(texts, lambda method, group: self.embed(group, batch_size, method))

    def embed(
        self, texts: Sequence[str], batch_size: int, method: Method = "encode", prompt: str | None = None
    ) -> list[np.ndarray]:
        """The vectors of each text, (tokens, dimensions) in float32, by one of the model's own methods."""
        embed = getattr(self.model, method)
        vectors = embed(list(texts), prompt=prompt, batch_size=batch_size, show_progress_bar=False)
        return [rows.float().cpu().numpy() for rows in vectors]

    def unmasked(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """What the modules give for texts in one batch, without prompt or role: (texts, tokens, dimensions), padding
        and all; and which of these tokens are no padding, (texts, tokens)."""
        import torch

        features = self.tokenize(list(texts))
        attended = features["attention_mask"].numpy().astype(bool)
        inputs = {
            name: value.to(self.model.device) if isinstance(value, torch.Tensor) else value
            for name, value in features.items()
        }
        with torch.inference_mode():
            vectors = self.model(inputs)["token_embeddings"]
        return vectors.float().cpu().numpy(), attended

    @property
    def longest_text(self) -> int | None:
        length = getattr(self.transformer, "document_length", None)
        return cast(int | None, self.max_seq_length if length is None else length)

    def facts(self) -> Facts:
        first = {name: getattr(self.transformer, name, None) for name in TOKEN_SETTINGS}
        facts = super().facts()
        return {**facts, "modules": [["Tokens", first], *facts["modules"]]}

    @property
    def similarity_name(self) -> str:
        return str(self.model.similarity_fn_name)
