"""Texts by their role: each by its own method, and in their order."""

import numpy as np

from foundry.loading.prompts import embed_by_role

LONG = "a text of far more words than any query that somebody types has"


def test_rows_are_in_the_order_of_the_texts_and_groups_are_embedded_together() -> None:
    texts = [LONG, "a query", f"{LONG} {LONG}", "another query of five words", LONG]
    calls = {}

    def embed(method: str, group: list[str]) -> np.ndarray:
        calls[method] = group
        return np.array([[len(text), method == "encode_query"] for text in group], np.float32)

    rows = embed_by_role(texts, embed)
    assert rows.tolist() == [[len(text), "query" in text and "words than" not in text] for text in texts]
    assert calls == {"encode_document": [texts[0], texts[2], texts[4]], "encode_query": [texts[1], texts[3]]}
    assert embed_by_role(["a query"], embed).tolist() == [[7, True]]
