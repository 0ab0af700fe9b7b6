"""How the HTML of mails looks: in a browser, by light and by dark, on a phone and a desktop, in two languages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, Request

from keyhole.access.condition import Conditions
from keyhole.access.mail import MailKind
from tests.gateway.post.makers import NOW, a_share, a_writer, all_mails

pytestmark = pytest.mark.e2e

PICTURES = os.environ.get("KEYHOLE_PICTURES")
"""A folder that pictures are written into, such as docs/img; without, none are."""
WIDTHS = (320, 720)
PASSCODE_AND_CODE = Conditions(passcode="$argon2id$", mail_code=True)


def html(kind: MailKind, tag: str | None = None, **site: str) -> str:
    share = a_share(conditions=PASSCODE_AND_CODE, max_visits=3, visits=1, first_opened_at=NOW, locked_at=NOW)
    mail = replace(all_mails(share)[kind], language=tag)
    part = a_writer(name="Radiology, Example Hospital", **site).written(mail, share, NOW + timedelta(hours=1))
    body = part.get_body(("html",))
    assert body is not None
    return str(body.get_content())


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    with browser.new_context(color_scheme=request.param, java_script_enabled=True) as context:
        yield context.new_page()


def shown(page: Page, content: str, width: int) -> list[Request]:
    """Show *content*, *width* pixels wide; what it asks the network for."""
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - its handlers are written to
    page.set_viewport_size({"width": width, "height": 600})
    page.set_content(content)
    return asked


@pytest.mark.parametrize("kind", MailKind)
@pytest.mark.parametrize("tag", ["en", "de"])
def test_every_mail_can_be_read_on_any_screen_and_loads_nothing(page: Page, kind: MailKind, tag: str) -> None:
    for width in WIDTHS:
        assert shown(page, html(kind, tag), width) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{width} pixels are enough"
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]})
    assert found.violations_count == 0, found.generate_report()


def test_a_sites_colour_can_be_read_too(page: Page) -> None:
    shown(page, html(MailKind.LINK, colour="#8a1538"), 720)
    found = Axe().run(page, options={"runOnly": ["color-contrast"]})
    assert found.violations_count == 0, found.generate_report()
    button = page.locator("a.key")
    assert button.evaluate("element => getComputedStyle(element).backgroundColor") == "rgb(138, 21, 56)"


def test_by_light_it_is_light_and_by_dark_it_is_dark(browser: Browser) -> None:
    light, dark = picture(browser, "light", MailKind.LINK), picture(browser, "dark", MailKind.CODE)
    grounds = [image.convert("L").getpixel((5, 5)) for image in (light, dark)]
    assert grounds == [pytest.approx(245, abs=8), pytest.approx(21, abs=8)]
    if PICTURES is not None:
        both = Image.new("RGB", (light.width + dark.width, light.height))
        both.paste(light, (0, 0))
        both.paste(dark, (light.width, 0))
        both.save(Path(PICTURES) / "mail.png", optimize=True)


def picture(browser: Browser, scheme: Literal["light", "dark"], kind: MailKind) -> Image.Image:
    with browser.new_context(color_scheme=scheme, viewport={"width": 600, "height": 700}) as context:
        page = context.new_page()
        page.set_content(html(kind))
        return Image.open(BytesIO(page.screenshot()))
