"""A person in front of a browser: opens a link, looks, scrolls; and everything the browser complained about."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.e2e import phantom
from tests.servers.keyhole import Keyhole
from tests.servers.process import wait_until

ALIKE = 0.85
"""The phantoms of two slices are never this much alike; a slice on the screen and its phantom are."""
LOADS_WITHIN = 60
THUMBNAIL = '[data-cy^="study-browser-thumbnail"]'


@dataclass
class Visitor:
    """One page of one browser without history."""

    server: Keyhole
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    """Requests to anything but the public listener."""

    def open(self, link: str) -> None:
        """Follow *link* and press the button; the visit's page is shown then."""
        self.page.goto(link)
        self.page.get_by_role("button", name="Open the images").click()
        self.page.wait_for_url("**/v/*/")
        self._note_cookies()

    def _note_cookies(self) -> None:
        self.server.secrets |= {str(cookie["value"]) for cookie in self.context.cookies()}

    def enter_viewer(self) -> None:
        """From the visit's page into the viewer."""
        self.page.get_by_role("link", name="Open in viewer").click()
        self.page.wait_for_url("**/viewer?**")

    @property
    def visit(self) -> str:
        """The path that the visit lies below."""
        return "/".join(self.page.url.removeprefix(self.server.public_url).split("/")[:3]) + "/"

    def shown(self) -> bytes:
        """The viewport's canvas as it is on the screen (PNG); empty while there is none."""
        canvas = self.page.locator('[data-cy="viewport-pane"] canvas').first
        return canvas.screenshot() if canvas.count() else b""

    def sees(self, study: str, slices: Iterable[int]) -> int:
        """Wait until one of *slices* of *study* is on the screen; which one."""
        seen = 0

        def some() -> bool:
            nonlocal seen
            picture = self.shown()
            likeness, seen = max((phantom.likeness(picture, study, n), n) for n in slices) if picture else (0.0, 0)
            return likeness > ALIKE

        wait_until(some, LOADS_WITHIN, f"no slice of {study} came up at {self.page.url}; {self.complaints}")
        return seen

    def choose(self, series: str) -> None:
        """Put the series of that description into the viewport, and wait until it is what is shown."""
        thumbnail = self.page.locator(THUMBNAIL).filter(has_text=series).first
        thumbnail.dblclick()

    def series_listed(self) -> list[str]:
        """The descriptions in the study browser."""
        expect(self.page.locator(THUMBNAIL).first).to_be_visible(timeout=LOADS_WITHIN * 1000)
        return self.page.locator('[data-cy="series-description-label"]').all_inner_texts()

    def grey(self) -> npt.NDArray[np.float64]:
        """The canvas in shades of grey, its middle square brought to 64 x 64."""
        picture = Image.open(io.BytesIO(self.shown())).convert("L")
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side)).resize((64, 64), Image.Resampling.BOX)
        return np.asarray(square, float)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"console: {message.text[:300]} {message.location}")


@contextmanager
def visitor(browser: Browser, server: Keyhole, *, clicks_through: bool = False) -> Iterator[Visitor]:
    """A visitor with an empty browser; one who *clicks_through* goes on where a certificate is self-signed."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, locale="en-GB", ignore_https_errors=clicks_through
    )
    page = context.new_page()
    who = Visitor(server, context, page)
    page.on("console", who._console)
    page.on("pageerror", lambda error: who.complaints.append(f"page: {error}"))
    local = (f"{server.public_url}/", "data:", "blob:", "about:")
    context.on("request", lambda request: request.url.startswith(local) or who.elsewhere.append(request.url))
    try:
        yield who
    finally:
        context.close()
