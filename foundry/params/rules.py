"""What must hold between the sections of params.yaml."""

from collections.abc import Callable
from typing import get_args

from foundry.onnx.settings import Level
from foundry.params.schema import Params


def violations(params: Params) -> list[str]:
    """A line for each rule that does not hold: the key, the value, and what is allowed."""
    return [line for rule in RULES for line in rule(params)]


def variant_names(params: Params) -> list[str]:
    """A variant stands in one section; its name starts with its backend, and a level at its end is its level."""
    names = params.variant_names
    lines = [f"variant {name} stands in two sections" for name in sorted({n for n in names if names.count(n) > 1})]
    for section, prefix, source in (
        (params.optimize, "onnx_", "onnx"),
        (params.quantize, "onnx_", "onnx"),
        (params.calibrate_onnx, "onnx_", "onnx"),
        (params.calibrate, "openvino_", "openvino"),
        (params.compress, "openvino_", "openvino"),
    ):
        lines += [f"variant {name}: its name starts with {prefix}" for name in section if not name.startswith(prefix)]
        if section and source not in names:
            lines.append(f"{', '.join(section)}: built from {source}, which `export` leaves out")
    for name, row in params.optimize.items():
        level = name.removeprefix("onnx_")
        if level in get_args(Level) and level != row.level:
            lines.append(f"variant {name}: level {row.level}; a name that ends in a level means that level")
    return lines


def merged_rows(params: Params) -> list[str]:
    """`variants`, which YAML merges from the sections, holds all of them."""
    expected = set(params.variant_names)
    if expected == params.variants.keys():
        return []
    return [
        f"variants holds {', '.join(sorted(params.variants))}; expected torch and every row of export, optimize, "
        f"quantize, calibrate_onnx, calibrate and compress: {', '.join(sorted(expected))}"
    ]


def references_to_variants(params: Params) -> list[str]:
    """Whatever names a variant names one that exists."""
    names = set(params.variant_names)
    listed = ", ".join(sorted(names))
    lines = []
    if unknown := params.validate_.overrides.keys() - names:
        lines.append(f"validate.overrides names {', '.join(sorted(unknown))}; variants are {listed}")
    if unknown := {row.of for row in params.benchmark.settings.values()} - names:
        lines.append(f"benchmark.settings are of {', '.join(sorted(unknown))}; variants are {listed}")
    if both := params.benchmark.settings.keys() & names:
        lines.append(f"benchmark.settings has {', '.join(sorted(both))}, which are names of variants")
    for model, row in params.models.items():
        if unknown := set(row.skip) - (names - {"torch"}):
            optional = ", ".join(sorted(names - {"torch"}))
            lines.append(f"models.{model}.skip names {', '.join(sorted(unknown))}; variants are {optional}")
    return lines


def sides(params: Params) -> list[str]:
    """A side of a Router is taken from a whole checkpoint: not from an adapter, which belongs to one transformer."""
    return [
        f"models.{model}.side: {row.side} does not go with {key}, which is of one transformer"
        for model, row in params.models.items()
        for key in ("adapter", "base")
        if row.side is not None and getattr(row, key) is not None
    ]


def repositories(params: Params) -> list[str]:
    """A repository belongs to a model that exists, and to no other; with `to: hub` every model has a repository."""
    lines = []
    by_repo: dict[str, list[str]] = {}
    for model, repo in params.publish.repos.items():
        by_repo.setdefault(repo.lower(), []).append(model)
    lines += [
        f"publish.repos: {' and '.join(models)} have the same repository, and would replace one another's files there"
        for models in by_repo.values()
        if len(models) > 1
    ]
    if unknown := params.publish.repos.keys() - params.models.keys():
        lines.append(f"publish.repos names {', '.join(sorted(unknown))}; models are {', '.join(params.models)}")
    missing = params.models.keys() - params.publish.repos.keys()
    if params.publish.to == "hub" and missing:
        lines.append(f"publish.repos lacks {', '.join(sorted(missing))}, which `to: hub` needs")
    return lines


RULES: tuple[Callable[[Params], list[str]], ...] = (
    variant_names, merged_rows, references_to_variants, sides, repositories,
)  # fmt: skip
