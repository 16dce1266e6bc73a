"""Every request to the Hub with a time limit: for the connection, for the answer, and for each byte that is moved.

huggingface_hub gives most of its requests no limit, and one between two bytes to the others, so that a server that
takes the connection and never answers, or answers a byte now and then, would be waited for without an end. How a
connection is given its limit depends on the client's generation: `limited_requests` for huggingface_hub 0,
`limited_httpx` since 1.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from foundry.base import hub_client, time_limits

# What huggingface_hub has of these settings, and what they are meanwhile.
TRANSFERS = {"HF_HUB_DISABLE_XET": True, "HF_HUB_ENABLE_HF_TRANSFER": False}


@contextmanager
def limited() -> Iterator[None]:
    """Let huggingface_hub ask the Hub with time limits alone, and quietly.

    Its transfers through Xet and hf_transfer are off, because they have no limit; plain HTTP moves the same bytes. Its
    warnings are off, because they quote signed addresses, and its progress bars outside of a terminal.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    time_limits.forget_unanswered()
    verbosity, had_bars = logging.get_verbosity(), not are_progress_bars_disabled()
    before = {name: getattr(constants, name) for name in TRANSFERS if hasattr(constants, name)}
    for name in before:
        setattr(constants, name, TRANSFERS[name])
    reset = _limit_requests()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            enable_progress_bars()
        reset()
        for name, value in before.items():
            setattr(constants, name, value)


def _limit_requests() -> Callable[[], None]:
    """Let the client's requests have limits; what is returned takes them away again."""
    if hub_client.generation() == 0:
        from huggingface_hub import configure_http_backend, constants

        from foundry.base import limited_requests

        if not constants.HF_HUB_OFFLINE:  # the client's own session refuses every request then
            configure_http_backend(limited_requests.session)
        return configure_http_backend
    from huggingface_hub import set_client_factory

    from foundry.base import limited_httpx

    default_client_factory = importlib.import_module("huggingface_hub.utils._http").default_client_factory

    set_client_factory(partial(limited_httpx.client, default_client_factory))
    return partial(set_client_factory, default_client_factory)
