"""The errors of the Hub's client: each generation of huggingface_hub speaks HTTP by another library."""

import importlib

HTTP_LIBRARIES = {"0": "requests", "1": "httpx", "2": "httpx2"}  # by huggingface_hub's major version


def _http_library() -> str:
    import huggingface_hub

    return HTTP_LIBRARIES[huggingface_hub.__version__.partition(".")[0]]


def http_errors() -> tuple[type[Exception], ...]:
    """All that its library raises, whether an answer came or not."""
    name = _http_library()
    library = importlib.import_module(name)
    return (library.RequestException if name == "requests" else library.HTTPError,)


def connection_errors() -> tuple[type[Exception], ...]:
    """What its library raises where no answer came, or half of one."""
    name = _http_library()
    library = importlib.import_module(name)
    if name == "requests":
        return (library.ConnectionError, library.Timeout, library.exceptions.ChunkedEncodingError)
    return (library.TransportError,)
