"""A link in a real browser, in front of each kind of archive: OHIF shows what was shared, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e import dataset, phantom
from tests.e2e.visitor import LOADS_WITHIN, Visitor, visitor
from tests.servers.keyhole import Keyhole
from tests.servers.process import wait_until

CT = range(1, 61)
SHORT = range(1, 6)


@pytest.fixture
def person(browser: Browser, server: Keyhole) -> Iterator[Visitor]:
    with visitor(browser, server) as who:
        yield who
        assert not who.elsewhere, "requests left the origin"


def test_the_link_opens_in_the_viewer_and_the_pixels_are_those_of_the_study(person: Visitor, server: Keyhole) -> None:
    person.open(server.share(dataset.STUDY))
    expect(person.page.get_by_role("heading", name="the recorded study")).to_be_visible()
    expect(person.page.get_by_text("the prior")).to_have_count(0)
    person.enter_viewer()
    first = person.sees(dataset.STUDY, CT)

    person.page.mouse.move(700, 400)
    person.page.mouse.wheel(0, 120)
    wait_until(lambda: person.sees(dataset.STUDY, CT) != first, LOADS_WITHIN, "scrolling shows no other slice")
    others = max(
        phantom.likeness(person.shown(), study, n) for study in (dataset.PRIOR, dataset.STRANGER) for n in SHORT
    )
    assert others < 0.6

    person.page.reload()
    person.sees(dataset.STUDY, CT)
    assert person.complaints == []


def test_every_series_shows_whatever_its_transfer_syntax(person: Visitor, server: Keyhole) -> None:
    person.open(server.share(dataset.STUDY))
    person.enter_viewer()
    person.sees(dataset.STUDY, CT)
    listed = person.series_listed()
    assert {"phantom", "MR", "palette", "cine", "report", "JPEG-LS", "JPEG 2000", "RLE"} <= set(listed)

    person.choose("MR")
    wait_until(lambda: _differs_from_ct(person), LOADS_WITHIN, "the MR does not come up")
    uncompressed = person.grey()
    for codec in ("JPEG-LS", "JPEG 2000", "RLE"):
        person.choose("palette")
        wait_until(
            lambda: _alike(person.grey(), uncompressed) < 0.9, LOADS_WITHIN, "the palette image does not come up"
        )
        person.choose(codec)
        wait_until(lambda: _alike(person.grey(), uncompressed) > 0.98, LOADS_WITHIN, f"{codec} is another picture")
    person.choose("cine")
    wait_until(lambda: _alike(person.grey(), uncompressed) < 0.9, LOADS_WITHIN, "the cine does not come up")
    assert person.complaints == []


def _differs_from_ct(person: Visitor) -> bool:
    grey = person.grey()
    return grey.std() > 5 and max(phantom.likeness(person.shown(), dataset.STUDY, n) for n in CT) < 0.6


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if one.std() > 1 else 0.0


def test_two_shared_studies_both_show_and_a_third_of_the_same_patient_does_not(
    person: Visitor, server: Keyhole
) -> None:
    person.open(server.share(dataset.PRIOR, dataset.EARLIER))
    for shown in ("the prior", "the one before"):
        expect(person.page.get_by_role("heading", name=shown)).to_be_visible()
    expect(person.page.get_by_text("the recorded study")).to_have_count(0)
    visit = person.visit
    for study in (dataset.PRIOR, dataset.EARLIER):
        person.page.goto(f"{server.public_url}{visit}viewer?StudyInstanceUIDs={study}")
        person.sees(study, SHORT)
    person.page.goto(f"{server.public_url}{visit}viewer?StudyInstanceUIDs={dataset.PRIOR},{dataset.EARLIER}")
    for listed in ("the prior", "the one before"):
        expect(person.page.get_by_text(listed)).to_be_visible(timeout=LOADS_WITHIN * 1000)
    assert "the recorded study" not in person.page.content()
    assert dataset.STUDY not in person.page.content()
    assert person.complaints == []


def test_a_shared_series_shows_alone(person: Visitor, server: Keyhole) -> None:
    person.open(server.share(dataset.STUDY, series=f"{dataset.STUDY}.1"))
    person.enter_viewer()
    person.sees(dataset.STUDY, CT)
    assert person.series_listed() == ["phantom"]
    assert person.complaints == []


@pytest.mark.parametrize("study", [dataset.PRIOR, dataset.STRANGER, "1.2.3.4.5"])
def test_an_edited_address_reaches_nothing(study: str, person: Visitor, server: Keyhole) -> None:
    person.open(server.share(dataset.STUDY))
    bodies: list[bytes] = []
    person.page.on(
        "response",
        lambda answer: bodies.append(answer.body()) if "/dicom-web/" in answer.url and answer.ok else None,
    )
    person.page.goto(f"{server.public_url}{person.visit}viewer?StudyInstanceUIDs={study}")
    expect(person.page.get_by_text("not available")).to_be_visible(timeout=LOADS_WITHIN * 1000)
    assert set(bodies) <= {b"[]"}


def test_withdrawing_shows_the_end_page_within_seconds(person: Visitor, server: Keyhole) -> None:
    link = server.share(dataset.STUDY)
    person.open(link)
    person.enter_viewer()
    person.sees(dataset.STUDY, CT)
    server.revoke(link)
    person.page.wait_for_url("**/expired", timeout=10_000)
    expect(person.page.get_by_role("heading", name="The visit has ended")).to_be_visible()


def test_create_sr_cannot_write(person: Visitor, server: Keyhole) -> None:
    person.open(server.share(dataset.STUDY))
    person.enter_viewer()
    person.sees(dataset.STUDY, CT)
    expect(person.page.get_by_text("Create SR")).to_have_count(0)
    for path in ("studies", f"studies/{dataset.STUDY}"):
        status = person.page.evaluate(
            """async (path) => (await fetch(path, {method: 'POST', body: '--b--',
            headers: {'Content-Type': 'multipart/related; type="application/dicom"; boundary=b'}})).status""",
            f"{person.visit}dicom-web/{path}",
        )
        assert status in (403, 405)


def test_two_links_live_side_by_side_in_one_browser(person: Visitor, server: Keyhole) -> None:
    person.open(server.share(dataset.PRIOR))
    first = person.page.url
    person.open(server.share(dataset.EARLIER))
    person.enter_viewer()
    person.sees(dataset.EARLIER, SHORT)
    person.page.goto(first)
    person.enter_viewer()
    person.sees(dataset.PRIOR, SHORT)
    assert person.complaints == []


def test_the_secret_is_gone_from_the_address_and_reload_comes_back_to_the_visit(
    person: Visitor, server: Keyhole
) -> None:
    link = server.share(dataset.PRIOR, visits=1)
    person.open(link)
    assert "#" not in person.page.url
    person.page.reload()
    expect(person.page.get_by_role("link", name="Open in viewer")).to_be_visible()
    person.page.goto(link)
    expect(person.page.locator('[data-state="used-up"]')).to_be_visible()


def test_without_cookies_the_page_says_so(browser: Browser, server: Keyhole) -> None:
    with visitor(browser, server) as who:
        who.page.add_init_script("Object.defineProperty(navigator, 'cookieEnabled', {get: () => false})")
        who.page.goto(server.share(dataset.PRIOR))
        expect(who.page.locator('[data-state="cookies-off"]')).to_be_visible()


def test_without_webgl_the_page_says_so(browser: Browser, server: Keyhole) -> None:
    with visitor(browser, server) as who:
        who.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        who.page.goto(server.share(dataset.PRIOR))
        expect(who.page.get_by_text("WebGL 2 is missing")).to_be_visible()
