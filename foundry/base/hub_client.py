"""The Hub's client: each generation of huggingface_hub speaks HTTP by another library, whose errors it lets through."""

import importlib
from typing import Any

HTTP_LIBRARIES = {0: "requests", 1: "httpx", 2: "httpx2"}  # by huggingface_hub's major version


def generation() -> int:
    """huggingface_hub's major version."""
    import huggingface_hub

    return int(huggingface_hub.__version__.partition(".")[0])


def _library() -> Any:
    return importlib.import_module(HTTP_LIBRARIES[generation()])


def http_core() -> Any:
    """What httpx, or httpx2, moves bytes by; huggingface_hub 0 has no such thing."""
    return importlib.import_module(HTTP_LIBRARIES[generation()].replace("httpx", "httpcore"))


def http_errors() -> tuple[type[Exception], ...]:
    """All that the library raises, whether an answer came or not."""
    library = _library()
    return (library.RequestException,) if generation() == 0 else (library.HTTPError, library.InvalidURL)


def connection_errors() -> tuple[type[Exception], ...]:
    """What the library raises where no answer came, or half of one."""
    library = _library()
    if generation() == 0:
        return (library.ConnectionError, library.Timeout, library.exceptions.ChunkedEncodingError)
    return (library.TransportError,)
