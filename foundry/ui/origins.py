"""Which page a request comes from: by its `Host`, its `Origin`, and what its browser says of itself."""

import os
import re
from collections.abc import Collection
from http import HTTPStatus

from foundry.ui import asking
from foundry.ui.asking import RefusedError

# Where another page may lead a browser to.
ENTRANCE = re.compile(r"/|/login/(huggingface|callback)/?")
LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
FOREIGN = "another page may not use this one"


def check_loopback(host: str) -> None:
    """Check that a page for one machine is asked for by a name of that machine.

    Raises:
        RefusedError: when it is not: a page of another site, whose name its owner lets point to this machine.
    """
    if not LOOPBACK.fullmatch(host):
        raise RefusedError(HTTPStatus.FORBIDDEN, "this page is for this machine alone: open it as http://127.0.0.1")


def check_sender(headers: dict[str, str], hosts: Collection[str]) -> None:
    """Check that what is sent comes from this page, by the names of its host.

    Raises:
        RefusedError: when it comes from another.
    """
    origin = headers.get("origin")
    if origin is not None and asking.host_of(origin) not in hosts:
        raise RefusedError(HTTPStatus.FORBIDDEN, FOREIGN)


def check_opened(headers: dict[str, str], path: str) -> None:
    """Check that no other page asks, as its browser says: with the cookie of who is logged in, it would open sessions
    in the place of theirs, log them out, and read what Gradio lets all pages read.

    Raises:
        RefusedError: when one does, and does not just open this one.
    """
    is_elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    is_opened = headers.get("sec-fetch-mode") == "navigate" and ENTRANCE.fullmatch(path)
    if is_elsewhere and not is_opened:
        raise RefusedError(HTTPStatus.FORBIDDEN, FOREIGN)


def space_hosts() -> list[str]:
    """The names of a Space, which the Hub sets: several where it has a domain of its own. What stands in front of it
    may ask for another one than the browser did."""
    return [name.strip().lower() for name in os.environ.get("SPACE_HOST", "").split(",") if name.strip()]
