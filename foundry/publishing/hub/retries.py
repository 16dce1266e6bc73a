"""Errors of the Hugging Face Hub: which are worth another attempt, and what the others mean."""

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from foundry.base import hub_client
from foundry.base.credentials import hidden
from foundry.base.errors import FoundryError
from foundry.base.failing import chain, is_disk_full
from foundry.base.progress import say

WAITS = (2.0, 8.0, 30.0, 60.0)  # seconds before each further attempt, where the Hub does not say how long
LONGEST_WAIT = 600.0  # seconds; the Hub may ask for more than anybody waits for
RETRIED = (408, 425, 429, 500, 502, 503, 504)  # statuses that may pass

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


def client_errors() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises when the Hub does not do as it is asked."""
    # RuntimeError: an upload in a thread. ValueError: a quota, or a card that the Hub finds invalid.
    return (*hub_client.http_errors(), OSError, RuntimeError, ValueError)


def cause(error: BaseException, kind: type[E]) -> E | None:
    """The first error of a kind among what an error came from."""
    return next((part for part in chain(error) if isinstance(part, kind)), None)


def response(error: BaseException) -> Any:
    """The Hub's answer that an error is about, or None where no answer came."""
    answers = (getattr(part, "response", None) for part in chain(error))
    return next((answer for answer in answers if answer is not None), None)


def is_offline(error: BaseException) -> bool:
    """Whether no answer came at all."""
    broken = hub_client.connection_errors()
    return any(isinstance(part, broken) and response(part) is None for part in chain(error))


def wait_before_retrying(error: BaseException, otherwise: float) -> float | None:
    """Seconds to wait before another attempt, or None where it would end the same."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    answer = response(error)
    if answer is None:
        return otherwise if is_offline(error) and not isinstance(error, OfflineModeIsEnabled) else None
    if answer.status_code not in RETRIED:
        return None
    seconds = answer.headers.get("Retry-After", "")
    return min(float(seconds), LONGEST_WAIT) if re.fullmatch(r"\d+(\.\d+)?", seconds) else otherwise


def explain(error: BaseException, repo: str) -> str:
    """What went wrong and what to do, without anything that gives access: no token, no signed address."""
    from huggingface_hub.errors import LocalTokenNotFoundError

    answer = response(error)
    status = None if answer is None else answer.status_code
    message = " ".join(hidden(str(error)).split())[:500]
    if status == 401 or isinstance(error, LocalTokenNotFoundError):
        return "the Hub does not know this token, or got none: log in with `hf auth login`, or set HF_TOKEN"
    if status == 403:
        return f"this token may not write to {repo}, nor open pull requests there: use one that may ({message})"
    if status in (409, 412):
        return f"{repo} has changed while this was sent, and nothing was: run `dvc repro`, which compares again"
    if status == 413 or "quota" in message.lower():
        return f"the Hub does not take so much for {repo}: {message}. Make room there, or publish fewer variants"
    if status == 404:
        return f"{repo} is not there, or this token may not see it: {message}"
    if answer is None and (is_offline(error) or "offline" in message.lower()):
        kind = type(error).__name__
        return f"the Hub cannot be reached, and publish.to is hub ({kind}). Connect this machine, or set `to: folder`"
    return f"the Hub refuses {repo}: {message}"


def with_retries(action: Callable[[], T], repo: str) -> T:
    """The result of something that is done with the Hub, after another attempt where it fails for the moment only.

    Raises:
        FoundryError: when it fails for good; the message holds no token and no signed address.
    """
    from foundry.base import hub_requests

    with hub_requests.limited():
        for wait in (*WAITS, None):
            try:
                return action()
            except client_errors() as error:
                if isinstance(error, OSError) and is_disk_full(error):
                    raise
                if (final := cause(error, FoundryError)) is not None:  # of an upload in a thread
                    raise final from error
                pause = None if wait is None else wait_before_retrying(error, wait)
                if pause is None:
                    raise FoundryError(explain(error, repo)) from error
                answer = response(error)
                reason = "did not answer" if answer is None else f"answered {answer.status_code}"
                say(f"the Hub {reason}: once more in {pause:.0f} s")
                time.sleep(pause)
    raise AssertionError  # the last attempt returns or raises
