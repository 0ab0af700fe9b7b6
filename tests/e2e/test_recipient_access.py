"""A link opened by keyboard, in another language, on narrow and slow connections, on the pages of a site of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import recipient
from tests.e2e.recipient import BORN, PASSCODE, PHONE, Hospital, Person, everything, person

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><circle cx="20" cy="20" r="18" fill="#8a1538"/></svg>'
)
BUDGET = 30_000
"""Bytes over the wire before the viewer."""


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with recipient.hospital(tmp_path_factory.mktemp("hospital")) as running:
        yield running


@pytest.fixture
def anybody(browser: Browser) -> Iterator[Person]:
    with person(browser) as one:
        yield one


def test_a_link_is_opened_with_the_keyboard_alone(hospital: Hospital, anybody: Person) -> None:
    page = anybody.page
    anybody.goes(hospital.share("--passcode", PASSCODE, "--terms"))
    expect(page.locator("h1:visible")).to_be_focused()
    tab_to(page, "#passcode")
    page.keyboard.type(PASSCODE)
    tab_to(page, "#terms")
    page.keyboard.press("Space")
    tab_to(page, "#open")
    page.keyboard.press("Enter")
    anybody.visits()
    tab_to(page, ".button[href^=viewer]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/viewer?**")


def tab_to(page: Page, what: str) -> None:
    """Press Tab until the focus is there; never outside of what can be seen."""
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("(what) => document.activeElement.matches(what)", what):
            expect(page.locator(what).first).to_be_in_viewport()
            return
    raise AssertionError(f"no Tab leads to {what}")


def test_another_language_is_chosen_and_the_secret_neither_lost_nor_sent(hospital: Hospital, anybody: Person) -> None:
    page = anybody.page
    link = hospital.share()
    sent: list[Any] = []
    anybody.goes(link)
    anybody.sees("ready")
    page.on("request", lambda request: sent.append((request.method, request.url, request.post_data)))
    page.locator(".languages summary").focus()
    page.keyboard.press("Enter")
    anybody.looks_over("menu")
    page.get_by_role("button", name="Deutsch").click()
    anybody.language = "de"
    expect(page.locator("html[lang=de]")).to_be_attached()
    anybody.sees("ready")
    secret = link.partition("#")[2]
    assert page.url == link
    assert [(method, url) for method, url, data in sent if secret in f"{url.partition('#')[0]}{data}"] == [
        ("POST", link.partition("#")[0])
    ], "the secret goes where it is looked at, and nowhere else"
    anybody.opens()
    anybody.visits()
    expect(page.locator("html[lang=de]")).to_be_attached()
    page.locator(".languages summary").click()
    page.get_by_role("button", name="Español").click()
    expect(page.locator("html[lang=es]")).to_be_attached()
    anybody.visits()


@pytest.mark.parametrize("language", ["en", "fr", "de", "es"])
def test_everything_before_the_viewer_is_under_30_kb_on_the_wire(
    hospital: Hospital, browser: Browser, language: str
) -> None:
    with person(browser, language) as one:
        loaded: dict[str, float] = {}
        wire = one.context.new_cdp_session(one.page)
        wire.send("Network.enable")
        urls: dict[str, str] = {}
        wire.on("Network.responseReceived", lambda event: urls.update({event["requestId"]: event["response"]["url"]}))
        wire.on(
            "Network.loadingFinished", lambda event: loaded.update({event["requestId"]: event["encodedDataLength"]})
        )
        one.goes(hospital.share("--passcode", PASSCODE, "--birth-date", "--download"))
        one.page.locator("#passcode").fill(PASSCODE)
        one.born(*BORN)
        one.opens()
        one.visits()
        one.page.wait_for_load_state("networkidle")
        sizes = [(urls[name], size) for name, size in loaded.items()]
        assert len(sizes) > 6
        assert sum(size for _, size in sizes) < BUDGET, sizes


def test_nothing_runs_out_of_a_narrow_screen(hospital: Hospital, browser: Browser) -> None:
    with person(browser, "de", {"width": 320, "height": 640}) as one:
        one.goes(hospital.share(*everything(), "--download"))
        one.sees("ready")
        one.page.locator("#send").click()
        expect(one.page.locator("#mail_code")).to_be_visible()
        one.looks_over("narrow")


def test_who_wants_less_motion_sees_none(hospital: Hospital, browser: Browser) -> None:
    with person(browser, reduced_motion="reduce") as one:
        one.page.route("**/s/*", lambda route: route.continue_() if route.request.method == "GET" else None)
        one.page.goto(hospital.share())
        busy = one.page.locator(".busy")
        expect(busy).to_be_visible()
        assert busy.evaluate("(element) => getComputedStyle(element, '::before').animationName") == "none"


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_sites_own_logo_and_colour_shut_nobody_out(browser: Browser, tmp_path: Path, language: str) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text(LOGO)
    own = {"KEYHOLE_SITE_NAME": "Radiologie am Park", "KEYHOLE_SITE_COLOUR": "#8a1538", "KEYHOLE_SITE_LOGO": str(logo)}
    with recipient.hospital(tmp_path / "own", **own) as hospital, person(browser, language, PHONE) as one:
        complaints: list[str] = []
        one.page.on("console", lambda message: complaints.append(message.text))
        one.goes(hospital.share("--passcode", PASSCODE))
        one.sees("ready")
        expect(one.page.locator("header")).to_contain_text("Radiologie am Park")
        assert one.page.locator("header img").evaluate("(image) => image.naturalWidth") > 0
        one.page.emulate_media(color_scheme="light")
        ground = one.page.locator("#open").evaluate("(button) => getComputedStyle(button).backgroundColor")
        assert ground == "rgb(138, 21, 56)"
        one.page.locator("#passcode").fill(PASSCODE)
        one.opens()
        one.visits()
        one.looks_over("site")
        assert complaints == []
