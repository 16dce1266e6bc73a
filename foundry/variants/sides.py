"""The sides of a loaded model of Sentence Transformers: with a Router, queries go through other modules."""

from collections.abc import Iterator
from typing import Any

from foundry_runtime.router import ROUTERS, Role

ROLES: tuple[Role, ...] = ("query", "document")


def has_router(model: Any) -> bool:
    """Whether one of the model's modules is a Router."""
    return any(type(module).__name__ in ROUTERS for module in model)


def roles(model: Any) -> tuple[Role | None, ...]:
    """The tasks that the model has routes for; None alone where every text goes the same way."""
    return ROLES if has_router(model) else (None,)


def modules(model: Any) -> Iterator[Any]:
    """The model's modules in their order, those inside of Routers in these Routers' places, each once."""
    seen: set[int] = set()
    for module in model:
        inside = [module]
        if type(module).__name__ in ROUTERS:
            inside = [part for route in module.sub_modules.values() for part in route]
        for part in inside:
            if id(part) not in seen:
                seen.add(id(part))
                yield part


def transformer(model: Any) -> Any:
    """The module with the transformer: the first one, or the first in a Router that has one."""
    if type(model[0]).__name__ not in ROUTERS:
        return model[0]
    return next(module for module in modules(model) if hasattr(module, "auto_model"))


def max_seq_length(model: Any) -> int | None:
    """The number of tokens after which the model's transformer truncates; None where it says nothing."""
    length: int | None = getattr(transformer(model), "max_seq_length", None)
    return length


def table(model: Any) -> Any | None:
    """The module that looks queries up in a table; None where they go through the transformer."""
    tables = (module for module in modules(model) if type(module).__name__ == "SparseStaticEmbedding")
    return next(tables, None) if has_router(model) else None


def routers(model: Any) -> list[list[Any]]:
    """Of each Router its place among the modules, and by what it chooses a route, as JSON can hold it."""
    result = []
    for place, module in enumerate(model):
        if type(module).__name__ in ROUTERS:
            # Sentence Transformers 5 has no mappings.
            mappings = {str(key): route for key, route in getattr(module, "route_mappings", {}).items()}
            routes = {name: [type(part).__name__ for part in route] for name, route in module.sub_modules.items()}
            result.append([place, module.default_route, mappings, routes])
    return result
