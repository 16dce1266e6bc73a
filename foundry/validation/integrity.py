"""Checks that a variant is the source's model: its tokenizer, maximum length, modules and settings."""

import posixpath
from collections.abc import Collection, Sequence
from pathlib import Path

from foundry.base import files
from foundry.base.errors import FoundryError
from foundry.reference.reference import Reference
from foundry.validation.results import Check, at_most
from foundry.variants import graph_files, naming, variant_folder
from foundry.variants.facts import Facts, same_modules


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
        at_most("different_modules", not same_modules(facts["modules"], expected.facts["modules"]), 0),
        at_most("different_settings", sum(changed_settings), 0),
    ]


def inputs_given(missing_inputs: Collection[str]) -> Check:
    """Every input of the graph is given by the tokenizer: one that is missing would be filled with a guess."""
    return at_most("inputs_not_given", len(missing_inputs), 0)


def unknown_files(folder: Path, variant: str) -> list[str]:
    """Files that a variant's graph needs or has beside it, and that publishing does not know: it would run here, and
    nowhere else. They are given relative to the folder.

    Empty where the graph is missing or is none: loading says so.
    """
    if naming.backend(variant) == "torch":  # whose folder is published as a whole
        return []
    graph = variant_folder.weights_path(folder, variant)
    known = {path.relative_to(folder).as_posix() for path in variant_folder.weights_files(folder, variant)}
    inside = graph.parent.relative_to(folder).as_posix()
    names = (
        {f"{inside}/{path.as_posix()}" for path in files.files_below(graph.parent)} if graph.parent.is_dir() else set()
    )
    if naming.backend(variant) == "onnx" and graph.is_file():
        try:
            locations = graph_files.sidecar_names(graph_files.load_structure(graph))
        except FoundryError:
            locations = set()
        names |= {posixpath.normpath(f"{inside}/{location}") for location in locations}
    return sorted(names - known)
