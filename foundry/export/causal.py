"""A causal language model that reranks: of its logits, those of the tokens that make the score, behind the last token.

Sentence Transformers' LogitScore looks for them at the tokens' ids, in what torch computes and in what a graph gives:
both stand in one folder, with one file that names the ids. So a graph computes the wanted rows of the language model's
head alone, and puts each logit at its token's id, with zeros before it and between.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def expected_logits(model: Any, inputs: Mapping[str, np.ndarray], tokens: Sequence[int]) -> np.ndarray:
    """What a graph should give: torch's logits behind the last token of each text, (texts, 1, largest id + 1).

    All but those of the `tokens` are zero.
    """
    import torch

    with torch.inference_mode():
        given = {name: torch.from_numpy(value) for name, value in inputs.items()}
        logits = model(**given, **_options(model))[0][:, -1:].numpy()
    expected = np.zeros((*logits.shape[:2], max(tokens) + 1), np.float32)
    expected[..., list(tokens)] = logits[..., list(tokens)]
    return expected


def _options(model: Any) -> dict[str, Any]:
    """What has a language model compute the last logits alone, and keep no cache, where it takes that."""
    known = inspect.signature(model.forward).parameters
    return {name: value for name, value in {"use_cache": False, "logits_to_keep": 1}.items() if name in known}


def with_scored_tokens(model: Any, tokens: Sequence[int]) -> Any:
    """A module that takes what the model takes, and gives (logits,) as `expected_logits` describes them."""
    import torch

    places = sorted(set(tokens))
    head = model.get_output_embeddings()
    rows = torch.nn.Linear(head.in_features, len(places), bias=head.bias is not None)
    with torch.no_grad():
        rows.weight.copy_(head.weight[places])
        if head.bias is not None:
            rows.bias.copy_(head.bias[places])
    model.set_output_embeddings(rows)  # what the architecture does to its logits is done to these
    options = _options(model)

    class ScoredTokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, **inputs: Any) -> tuple[Any]:
            logits = self.model(**inputs, **options)[0][:, -1:]
            parts, filled = [], 0
            for column, place in enumerate(places):
                parts.append(torch.nn.functional.pad(logits[..., column : column + 1], (place - filled, 0)))
                filled = place + 1
            return (torch.cat(parts, dim=-1),)

    return ScoredTokens()
