"""Checks that a variant is the source's model: its tokenizer, maximum length, modules and settings."""

from collections.abc import Collection, Sequence

from foundry.reference.reference import Reference
from foundry.validation.results import Check, at_most
from foundry.variants.facts import Facts


def same_model(tokens: Sequence[Sequence[int]], facts: Facts, expected: Reference) -> list[Check]:
    """Each check counts what differs: texts that are tokenized differently, modules, settings."""
    changed_settings = [
        facts["similarity"] != expected.facts["similarity"],
        facts["prompts"] != expected.facts["prompts"],
        facts["truncate_dim"] != expected.facts["truncate_dim"],
    ]
    different_tokens = sum(ids != expected_ids for ids, expected_ids in zip(tokens, expected.tokens, strict=True))
    return [
        at_most("different_tokens", different_tokens, 0),
        at_most("different_max_length", facts["max_seq_length"] != expected.facts["max_seq_length"], 0),
        at_most("different_modules", facts["modules"] != expected.facts["modules"], 0),
        at_most("different_settings", sum(changed_settings), 0),
    ]


def inputs_given(missing_inputs: Collection[str]) -> Check:
    """Every input of the graph is given by the tokenizer: one that is missing would be filled with a guess."""
    return at_most("inputs_not_given", len(missing_inputs), 0)
