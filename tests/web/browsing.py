"""A real browser on a page that is served, and axe-core, which judges pages by the rules of accessibility.

Both are no part of the project: the browser is Debian's, axe-core comes from npm.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from tests.conftest import HANG_S
from tests.web.from_npm import from_npm

_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HANG_MS = HANG_S * 1000


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a window; skips where it is missing."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=program, args=list(_QUIET))
        try:
            yield launched
        finally:
            launched.close()


def axe() -> str:
    """The script of axe-core; skips where it is not to be had."""
    return from_npm("axe-core", "4.14.1", "axe.min.js").read_text(encoding="utf-8")


class Look:
    """One tab, with what it asked for and complained of."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.address = address
        self.page: Page = context.new_page()
        self.page.set_default_timeout(HANG_MS)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", self._note_request)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note_request(self, request: Request) -> None:
        self.asked.append(request.url)

    def open(self, path: str) -> Page:
        """Go to a path of the page."""
        self.page.goto(f"http://{self.address}{path}")
        return self.page

    def violations(self, script: str) -> list[Any]:
        """What axe-core finds wrong with what is shown."""
        # In a world of its own, because the page forbids foreign scripts.
        self.page.evaluate(script)
        options = {"resultTypes": ["violations"]}
        found = self.page.evaluate("options => axe.run(document, options)", options)
        return [
            (one["id"], [node["html"] for node in one["nodes"]])
            for one in found["violations"]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(width))


@contextmanager
def looking(
    launched: Browser, address: str, *, width: int = 1280, **options: Any
) -> Iterator[Look]:
    """A tab of a width; `options` are those of a browser context."""
    viewport = {"width": width, "height": 900}
    context = launched.new_context(viewport=viewport, **options)  # type: ignore[arg-type]  # a dict of two
    try:
        yield Look(context, address)
    finally:
        context.close()
