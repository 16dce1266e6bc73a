"""The page of `foundry ui` on a free port of loopback, and a real browser that notes whatever it complains of."""

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

USER_HEADER = "x-test-user"  # who asks, where a test stands in for the Hub's login
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OF_GRADIO = ("Method not implemented.",)  # a warning of its own, of each file that is chosen
SECONDS = 300  # that something on the page may take, where other work shares the cores


def browser_path() -> str | None:
    """A Chromium of this machine."""
    return next((path for name in CHROMIUM if (path := shutil.which(name))), None)


needs_browser = pytest.mark.skipif(
    browser_path() is None and not os.environ.get("CI"), reason="needs Chromium: `apt-get install chromium`"
)


@contextlib.contextmanager
def serving(app: Any, certificate: Path | None = None, key: Path | None = None) -> Iterator[str]:
    """The address of an ASGI application, which is served by a thread of this process; by HTTPS with a certificate."""
    import uvicorn

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_level="warning",
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http{'' if certificate is None else 's'}://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


class Browser:
    """Pages of one Chromium. What any of them writes to the console, or asks of another host, is noted."""

    def __init__(self, chromium: Any, address: str) -> None:
        self.chromium, self.address = chromium, address
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.contexts: list[Any] = []

    def open(self, width: int = 1280, height: int = 900, user: str | None = None, dark: bool = False) -> Any:
        """The page, opened by a browser that knows nothing of any other."""
        headers = {USER_HEADER: user} if user is not None else {}
        context = self.chromium.new_context(
            viewport={"width": width, "height": height}, extra_http_headers=headers,
            color_scheme="dark" if dark else "light",
        )  # fmt: skip
        context.set_default_timeout(1000 * SECONDS)
        self.contexts.append(context)
        page = context.new_page()
        page.on("request", self._note)
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.address)
        page.wait_for_selector("#models table")
        return page

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and text not in OF_GRADIO:
            self.complaints.append(f"{kind}: {text}")


@contextlib.contextmanager
def browsing(address: str) -> Iterator[Browser]:
    """A browser for the page at an address; nothing that it complained of or asked elsewhere goes unnoticed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        browser = Browser(chromium, address)
        try:
            yield browser
        finally:
            for context in browser.contexts:
                context.close()
            chromium.close()
    assert not browser.complaints, browser.complaints
    assert not browser.elsewhere, browser.elsewhere


def go(page: Any, tab: str) -> None:
    """Open a tab."""
    page.get_by_role("tab", name=tab).click()


def choose(page: Any, element: str, value: str) -> None:
    """Choose a value of a dropdown, by clicks."""
    page.locator(f"#{element} input").click()
    page.get_by_role("option", name=value, exact=True).first.click()


def fill(page: Any, element: str, value: str) -> None:
    """Write into a field."""
    _write(page, page.locator(f"#{element} textarea, #{element} input").first, value)


def slide(page: Any, element: str, value: str) -> None:
    """Write a slider's number into the field beside it."""
    _write(page, page.locator(f"#{element} input[type=number]"), value)


def _write(page: Any, field: Any, value: str) -> None:
    """Write until it stays: an answer's message is shown before its other values, which then replace what was written.

    What a field shows is handed on when it is left, and a slider's number a little later.
    """
    for _ in range(20):
        field.fill(value)
        page.keyboard.press("Tab")
        page.wait_for_timeout(500)
        if field.input_value() == value:
            return
    raise AssertionError(f"{field} does not keep {value!r}; it shows {field.input_value()!r}")


def says(page: Any, element: str, text: str) -> None:
    """Wait until an element says this."""
    page.locator(f"#{element}").get_by_text(text).filter(visible=True).first.wait_for()


def state_of(page: Any, stage: str) -> str:
    """How the picture of the pipeline shows a stage."""
    classes: str = page.locator(f"[data-stage='{stage}']").get_attribute("class")
    return classes.split()[1]


def picture(page: Any, name: str) -> Path | None:
    """Keep what the page looks like in the folder that FOUNDRY_PICTURES names, if it names one."""
    if not (folder := os.environ.get("FOUNDRY_PICTURES")):
        return None
    path = Path(folder) / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path
