"""The built-in viewer in a real browser, in front of each kind of archive, on a desktop and on a phone with touch."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, CDPSession, ConsoleMessage, Page, Playwright, Request, Route, expect

from tests.e2e import dataset, phantom
from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.e2e.recipient import DESKTOP, PHONE, Person
from tests.servers.keyhole import COOKIE, Keyhole
from tests.servers.process import wait_until

CT = range(1, 61)
ALIKE = 0.9
WITHIN = 60
MOST_AT_ONCE = 10
"""Requests under way: four for what is near, one for what is wanted, one that lists; and as many that have just ended,
of which the browser tells late."""

TOUCH: Mapping[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
SCREENS: Mapping[str, Mapping[str, Any]] = {"desktop": {"viewport": DESKTOP}, "phone": TOUCH}


@dataclass
class Looker:
    """Somebody in the viewer of pictures."""

    server: Keyhole
    page: Page
    below: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    under_way: set[Request] = field(default_factory=set)
    most: int = 0
    devices: CDPSession | None = None
    """What moves fingers: one for all of them."""

    def grey(self) -> npt.NDArray[np.float64]:
        """The middle square of the picture as it is on the screen, 64 x 64."""
        picture = Image.open(io.BytesIO(self.shown())).convert("L")
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side)).resize((64, 64), Image.Resampling.BOX)
        return np.asarray(square, float)

    def shown(self) -> bytes:
        """The canvas as it is on the screen (PNG)."""
        return self.page.locator("#picture").screenshot()

    def sees(self, number: int, study: str = dataset.STUDY) -> None:
        """Wait until slice *number* is on the screen, and told to be."""
        wait_until(
            lambda: phantom.likeness(self.shown(), study, number) > ALIKE,
            WITHIN,
            lambda: f"slice {number} did not come up: {self.counter} {self.complaints}",
        )
        expect(self.page.locator("#slider")).to_have_value(str(number))

    @property
    def counter(self) -> str:
        """What it says about the place in the series."""
        return self.page.locator("#counter").inner_text()

    def chooses(self, series: str) -> None:
        """Tap the series of that description."""
        self.page.locator("#series button").filter(has_text=series).first.click()
        expect(self.page.locator("#about")).to_have_text(series)

    def looks(self, name: str) -> None:
        """Choose a window."""
        self.page.locator("#looks").select_option(name)

    def touches(self, kind: str, *points: tuple[float, float]) -> None:
        """Fingers on the stage: ``touchStart``, ``touchMove`` or ``touchEnd``."""
        self.devices = self.devices or self.page.context.new_cdp_session(self.page)
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self.devices.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    @property
    def middle(self) -> tuple[float, float]:
        """Of the stage."""
        box = self.page.locator("#stage").bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def begun(self, request: Request) -> None:
        """Note how many requests to the archive are under way."""
        if not request.url.startswith((f"{self.server.public_url}/", "data:")):
            self.elsewhere.append(request.url)
        if "/dicom-web/" in request.url:
            self.under_way.add(request)
            self.most = max(self.most, len(self.under_way))


@contextmanager
def looker(
    browser: Browser, server: Keyhole, screen: Mapping[str, Any], *, query: str = "", pictures: bool = True
) -> Iterator[Looker]:
    """Somebody who has opened a share of the recorded study."""
    visit = server.open(server.share(dataset.STUDY, pictures=pictures))
    context = browser.new_context(locale="en-GB", **screen)
    context.add_cookies([{"name": COOKIE, "value": visit.cookie, "domain": "127.0.0.1", "path": visit.below}])
    page = context.new_page()
    who = Looker(server, page, visit.below)

    def console(message: ConsoleMessage) -> None:
        if message.type == "error":
            who.complaints.append(f"{message.text[:200]} {message.location}")

    page.on("console", console)
    page.on("pageerror", lambda error: who.complaints.append(str(error)))
    page.on("request", who.begun)
    for end in ("requestfinished", "requestfailed"):
        page.on(end, lambda request: who.under_way.discard(request))  # noqa: PLW0108 - one that is its own
    try:
        page.goto(f"{server.public_url}{visit.below}pictures{query}")
        yield who
        assert not who.elsewhere, "requests left the origin"
        assert who.most <= MOST_AT_ONCE
    finally:
        context.close()


@pytest.fixture(params=SCREENS)
def person(request: pytest.FixtureRequest, browser: Browser, server: Keyhole) -> Iterator[Looker]:
    with looker(browser, server, SCREENS[request.param]) as who:
        yield who


@pytest.fixture
def at_a_desk(browser: Browser, server: Keyhole) -> Iterator[Looker]:
    with looker(browser, server, SCREENS["desktop"]) as who:
        yield who


@pytest.fixture
def on_a_phone(browser: Browser, server: Keyhole) -> Iterator[Looker]:
    with looker(browser, server, SCREENS["phone"]) as who:
        yield who


def test_the_link_opens_the_pictures_and_they_are_those_of_the_study(browser: Browser, server: Keyhole) -> None:
    context = browser.new_context(**TOUCH)
    page = context.new_page()
    page.goto(server.share(dataset.STUDY, pictures=True))
    page.get_by_role("button", name="Open the images").click()
    page.wait_for_url("**/v/*/pictures")
    server.secrets |= {str(cookie["value"]) for cookie in context.cookies()}
    Looker(server, page, "").sees(1)
    expect(page.get_by_role("link", name="Overview")).to_have_count(0)
    page.get_by_role("button", name="I am done").click()
    expect(page.get_by_role("heading", name="You are done")).to_be_visible()
    context.close()


def test_keys_wheel_slider_and_buttons_go_through_the_series(at_a_desk: Looker) -> None:
    who, page = at_a_desk, at_a_desk.page
    who.sees(1)
    page.keyboard.press("ArrowDown")
    who.sees(2)
    page.keyboard.press("End")
    who.sees(60)
    page.keyboard.press("PageUp")
    who.sees(50)
    page.keyboard.press("ArrowLeft")
    who.sees(49)
    page.keyboard.press("Home")
    who.sees(1)
    page.mouse.move(*who.middle)
    page.mouse.wheel(0, 120)
    who.sees(3)
    page.locator("#slider").fill("30")
    who.sees(30)
    page.get_by_role("button", name="Next image").click()
    who.sees(31)
    page.get_by_role("button", name="Previous image").click()
    who.sees(30)
    expect(page.locator("#slider")).to_have_attribute("aria-valuetext", "image 30 of 60")
    expect(page.get_by_role("img", name="phantom, image 30 of 60")).to_be_visible()
    assert phantom.likeness(who.shown(), dataset.PRIOR, 1) < 0.6


def test_a_finger_scrolls_and_two_of_them_magnify(on_a_phone: Looker) -> None:
    who = on_a_phone
    who.sees(1)
    x, y = who.middle
    who.touches("touchStart", (x, y - 100))
    for step in range(1, 11):
        who.touches("touchMove", (x, y - 100 + step * 20))
    who.touches("touchEnd")
    after = int(who.page.locator("#slider").input_value())
    assert 5 < after <= 60
    who.sees(after)

    whole = who.grey()
    who.touches("touchStart", (x - 30, y), (x + 30, y))
    for step in range(1, 6):
        who.touches("touchMove", (x - 30 - step * 10, y), (x + 30 + step * 10, y))
    who.touches("touchEnd")
    wait_until(lambda: _alike(who.grey(), whole) < ALIKE, WITHIN, "two fingers magnify nothing")
    near = who.grey()
    who.touches("touchStart", (x, y))
    who.touches("touchMove", (x + 60, y + 60))
    who.touches("touchEnd")
    wait_until(lambda: _alike(who.grey(), near) < ALIKE, WITHIN, "a finger does not move what is magnified")
    assert int(who.page.locator("#slider").input_value()) == after
    who.page.get_by_role("button", name="Whole picture").tap()
    who.sees(after)
    for _ in range(2):
        who.touches("touchStart", (x, y))
        who.touches("touchEnd")
    wait_until(lambda: _alike(who.grey(), whole) < ALIKE, WITHIN, "two taps magnify nothing")


def _alike(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if one.std() > 1 else 0.0


def _bright(value: float, center: float, width: float) -> float:
    """PS3.3 section C.11.2.1.2."""
    return float(np.clip((value - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255)


@pytest.mark.parametrize(
    ("look", "center", "width"),
    [("usual", *phantom.WINDOW), ("bone", 480, 2500), ("lung", -600, 1500), ("abdomen", 40, 400), ("brain", 40, 80)],
)
def test_a_window_shows_the_values_as_it_says(at_a_desk: Looker, look: str, center: float, width: float) -> None:
    who = at_a_desk
    who.sees(1)
    who.looks(look)
    fields = [_bright(value, center, width) for value in (phantom.DARK, phantom.BRIGHT)]

    def as_wanted() -> bool:
        middle = who.grey()[18:46, 18:46]
        return bool(np.abs(np.percentile(middle, (5, 95)) - fields).max() < 6)

    wait_until(as_wanted, WITHIN, lambda: f"{np.percentile(who.grey()[18:46, 18:46], (5, 95))} and not {fields}")


def test_an_mr_has_no_organs_but_gets_brighter_and_darker(person: Looker) -> None:
    person.sees(1)
    person.chooses("MR")
    expect(person.page.locator("#looks option")).to_have_text(["Usual", "Brighter", "Darker"])
    wait_until(lambda: person.grey().mean() > 30, WITHIN, "the MR does not come up")
    usual = person.grey().mean()
    person.looks("brighter")
    wait_until(lambda: person.grey().mean() > usual * 1.15, WITHIN, "nothing gets brighter")
    person.looks("darker")
    wait_until(lambda: person.grey().mean() < usual * 0.85, WITHIN, "nothing gets darker")


def test_a_film_runs_and_stops(person: Looker) -> None:
    person.sees(1)
    person.chooses("cine")
    wait_until(lambda: person.counter == "1 / 30" and person.grey().mean() > 2, WITHIN, "the cine does not come up")
    first = person.grey()
    play = person.page.get_by_role("button", name="Play as a film")
    play.click()
    expect(play).to_have_attribute("aria-pressed", "true")
    seen: set[str] = set()

    def runs() -> bool:
        seen.add(person.counter)
        return len(seen) > 4

    wait_until(runs, WITHIN, lambda: f"no film runs: {seen}")
    play.click()
    expect(play).to_have_attribute("aria-pressed", "false")
    person.page.locator("#slider").fill("12")
    wait_until(lambda: np.abs(person.grey() - first).mean() > 0.3, WITHIN, "every picture of the film is the first")
    still = person.counter
    person.page.wait_for_timeout(1000)
    assert person.counter == still


def test_what_is_no_picture_is_told_and_passed_over(person: Looker, archive: Mapping[str, str]) -> None:
    person.sees(1)
    page = person.page
    person.chooses("report")
    expect(page.get_by_text("This is a report or another document")).to_be_visible()
    person.chooses("cine")
    page.get_by_role("button", name="Next series").click()
    expect(page.locator("#about")).to_have_text("JPEG-LS")
    page.get_by_role("button", name="Previous series").click()
    expect(page.locator("#about")).to_have_text("cine")
    person.chooses("JPEG 2000")
    if "KEYHOLE_ARCHIVE_USER" in archive:  # neither Orthanc has a decoder for it
        expect(page.get_by_text("cannot make a picture of this image")).to_be_visible(timeout=WITHIN * 1000)
        expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    else:
        wait_until(lambda: person.grey().mean() > 30, WITHIN, "the JPEG 2000 image does not come up")
        assert person.complaints == []
    person.chooses("RLE")
    wait_until(lambda: person.grey().mean() > 30, WITHIN, "the RLE image does not come up")
    expect(page.locator("#message")).to_be_hidden()


def test_it_begins_with_the_series_that_was_asked_for(browser: Browser, server: Keyhole) -> None:
    with looker(browser, server, SCREENS["desktop"], query=f"?series={dataset.STUDY}.4", pictures=False) as who:
        wait_until(lambda: who.counter == "1 / 30", WITHIN, "another series came up")
        who.page.get_by_role("link", name="Overview").click()
        who.page.get_by_role("link", name="Look at simple pictures").click()
        who.sees(1)


def test_withdrawing_shows_the_end_page_within_seconds(browser: Browser, server: Keyhole) -> None:
    link = server.share(dataset.STUDY, pictures=True)
    context = browser.new_context(**TOUCH)
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button", name="Open the images").click()
    page.wait_for_url("**/v/*/pictures")
    server.secrets |= {str(cookie["value"]) for cookie in context.cookies()}
    Looker(server, page, "").sees(1)
    server.revoke(link)
    page.wait_for_url("**/expired", timeout=15_000)
    context.close()


class TestABadNetwork:
    """Trouble on the way, made by the browser itself."""

    def test_is_told_in_plain_words_and_got_over(self, at_a_desk: Looker) -> None:
        page, troubles = at_a_desk.page, 2
        at_a_desk.sees(1)

        def trouble(route: Route) -> None:
            nonlocal troubles
            troubles -= 1
            if troubles < 0:
                route.continue_()
            else:
                route.fulfill(status=503)

        page.route("**/rendered?*2500*", trouble)
        at_a_desk.looks("bone")
        expect(page.get_by_text("Trying again")).to_be_visible()
        wait_until(lambda: at_a_desk.grey().max() < 200, WITHIN, "the picture does not come in the end")
        expect(page.locator("#message")).to_be_hidden()

    def test_that_stays_bad_offers_another_try(self, at_a_desk: Looker) -> None:
        page = at_a_desk.page
        at_a_desk.sees(1)
        page.route("**/rendered?*2500*", lambda route: route.abort())
        at_a_desk.looks("bone")
        expect(page.get_by_text("could not be loaded")).to_be_visible(timeout=WITHIN * 1000)
        page.unroute("**/rendered?*2500*")
        page.get_by_role("button", name="Try again").click()
        wait_until(lambda: 50 < at_a_desk.grey().max() < 200, WITHIN, "the other try shows nothing")

    @pytest.mark.parametrize("unknown", ["window", "viewport"])
    def test_an_archive_that_knows_less_shows_the_picture_all_the_same(self, at_a_desk: Looker, unknown: str) -> None:
        page = at_a_desk.page
        at_a_desk.sees(1)
        page.route(f"**/rendered?*{unknown}=*", lambda route: route.fulfill(status=406))
        at_a_desk.under_way.clear()
        page.reload()
        wait_until(lambda: at_a_desk.grey().std() > 20, WITHIN, "nothing is shown")
        if unknown == "window":
            expect(page.locator("#looks option")).to_have_text(["Usual", "Brighter", "Darker"])
            before = at_a_desk.grey().mean()
            at_a_desk.looks("brighter")
            wait_until(lambda: at_a_desk.grey().mean() > before * 1.1, WITHIN, "the screen does not help out")
        drawn = "button => button.firstChild.getContext('2d').getImageData(0, 0, 128, 128).data.some(Boolean)"
        thumbnail = page.locator("#series button").filter(has_text="palette")
        wait_until(lambda: thumbnail.evaluate(drawn), WITHIN, "the thumbnail stays empty")


@pytest.mark.parametrize("flag", ["--disable-3d-apis", "--disable-webgl"])
def test_it_works_without_webgl_and_is_offered_there(driver: Playwright, server: Keyhole, flag: str) -> None:
    browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=[*FLAGS, flag, "--disable-webgl2"])
    try:
        with looker(browser, server, SCREENS["phone"], pictures=False) as who:
            assert who.page.evaluate("document.createElement('canvas').getContext('webgl2')") is None
            who.sees(1)
            who.page.get_by_role("link", name="Overview").click()
            expect(who.page.get_by_text("WebGL 2 is missing")).to_be_visible()
            expect(who.page.get_by_role("link", name="Open in viewer")).to_be_hidden()
            who.page.get_by_role("link", name="Look at simple pictures").tap()
            who.sees(1)
    finally:
        browser.close()


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("screen", SCREENS)
def test_nobody_is_shut_out(browser: Browser, server: Keyhole, screen: str, language: str) -> None:
    locale = {"en": "en-GB", "de": "de-DE"}[language]
    visit = server.open(server.share(dataset.STUDY, pictures=True))
    context = browser.new_context(locale=locale, **SCREENS[screen])
    context.add_cookies([{"name": COOKIE, "value": visit.cookie, "domain": "127.0.0.1", "path": visit.below}])
    page = context.new_page()
    page.goto(f"{server.public_url}{visit.below}pictures")
    who, person = Looker(server, page, visit.below), Person(context, page, language)
    who.sees(1)
    person.looks_over(f"pictures-{screen}")
    who.chooses("report")
    person.looks_over(f"pictures-document-{screen}")
    page.locator("#help").click()
    expect(page.locator("#keys")).to_be_visible()
    person.looks_over(f"pictures-help-{screen}")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_focused()
    for target in page.locator("button:visible, select:visible, a:visible").all():
        box = target.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 43, target.inner_html()
    page.goto(f"{server.public_url}{visit.below}viewer")
    person.looks_over("pictures-instead")
    context.close()


FILES = [
    "/studies/{study}",
    "/studies/{study}?accept=application/zip",
    "/studies/{study}/metadata",
    "/studies/{study}/series/{study}.1",
    "/studies/{study}/series/{study}.1/metadata",
    "/studies/{study}/series/{study}.1/instances/{study}.1.1",
    "/studies/{study}/series/{study}.1/instances/{study}.1.1/metadata",
    "/studies/{study}/series/{study}.1/instances/{study}.1.1/frames/1",
    "/studies/{study}/series/{study}.1/instances/{study}.1.1/bulkdata",
    "/studies/{study}/series/{study}.1/instances/{study}.1.1/bulk/7FE00010",
    "/studies/{study}/series/{study}.1/instances/{study}.1.1/pixeldata",
    "/studies/{study}/series/{study}.5/instances/{study}.5.1/rendered",
    "/studies/{study}/series/{study}.5/instances/{study}.5.1/bulk/00420011",
    "/wado?requestType=WADO&studyUID={study}&seriesUID={study}.1&objectUID={study}.1.1&contentType=application/dicom",
]
ROOTS = ["{below}dicom-web", "/dicom-web", "/archives/archive/dicom-web", "/orthanc/dicom-web", "/orthanc"]


@pytest.mark.parametrize(
    "accept", ["*/*", "image/jpeg", "application/dicom", 'multipart/related; type="application/dicom"']
)
def test_whoever_may_look_at_pictures_gets_nothing_that_they_are_made_of(server: Keyhole, accept: str) -> None:
    visit = server.open(server.share(dataset.STUDY, pictures=True))
    for root in ROOTS:
        for path in FILES:
            who = visit.as_cookie if root.startswith("{") else visit.as_bearer
            target = root.format(below=visit.below) + path.format(study=dataset.STUDY)
            answer = server.get(target, {**who, "Accept": accept})
            assert answer.status in (403, 404, 406), target
            assert b"DICM" not in answer.body
            assert b"%PDF" not in answer.body


def test_the_lists_for_pictures_tell_nothing_of_the_patient(server: Keyhole) -> None:
    visit = server.open(server.share(dataset.STUDY, pictures=True))
    for path in ("/studies", f"/studies/{dataset.STUDY}/series", f"/studies/{dataset.STUDY}/instances"):
        for query in ("", "?includefield=all", "?includefield=PatientName,PatientID,PatientBirthDate,7FE00010"):
            answer = server.get(f"{visit.below}dicom-web{path}{query}", visit.as_cookie)
            assert answer.status == 200
            assert answer.json()
            for said in ("Quellwasser", dataset.ANNA.id, "19700203", "BulkDataURI", "InlineBinary"):
                assert said.encode() not in answer.body
