"""Facts of a model are compared by what it computes, not by how a version of Sentence Transformers writes them."""

from typing import Any

import pytest

from foundry.variants.facts import same_modules

POOLING = ["Pooling", {"embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": True}]
DENSE = {"in_features": 8, "out_features": 8, "bias": True, "module_input_name": "sentence_embedding"}
# What 5.7 and 6.2 write of the same modules.
BY_5: list[list[Any]] = [POOLING, ["Dense", DENSE], ["Normalize", {}]]
NAMES = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
BY_6: list[list[Any]] = [POOLING, ["Dense", {**DENSE, **NAMES}], ["Normalize", NAMES]]


def test_a_reference_of_one_version_serves_the_other() -> None:
    assert same_modules(BY_5, BY_6)
    assert same_modules(BY_6, BY_5)
    several = [["Pooling", {"pooling_mode": ("mean", "cls")}]]
    assert same_modules(several, [["Pooling", {"pooling_mode": ["mean", "cls"]}]])


@pytest.mark.parametrize(
    "changed",
    [
        [["Pooling", {**POOLING[1], "pooling_mode": "cls"}], *BY_6[1:]],
        [["Pooling", {**POOLING[1], "include_prompt": False}], *BY_6[1:]],
        [POOLING, ["Dense", {**DENSE, "use_residual": True}], BY_6[2]],
        [POOLING, ["Dense", {**DENSE, "out_features": 4}], BY_6[2]],
        [*BY_6[:2], ["Normalize", {"module_input_name": "token_embeddings"}]],
        BY_6[:2],
        [BY_6[1], BY_6[0], BY_6[2]],
        [POOLING, ["LayerNorm", {"dimension": 8}], BY_6[2]],
    ],
)
def test_what_computes_something_else_is_another_model(changed: list[list[Any]]) -> None:
    assert not same_modules(changed, BY_5)
    assert not same_modules(BY_6, changed)
