"""From another machine, by a numeric address: over https with a certificate nobody signed, and over http by force.

A browser gives a page that came over http from elsewhere much less (no secure context: no ``crypto.subtle``, no service
workers, no shared memory). The link must open and show its pixels all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, expect

from tests.e2e import dataset
from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.e2e.test_viewer import (
    test_every_series_shows_whatever_its_transfer_syntax,
    test_the_secret_is_gone_from_the_address_and_reload_comes_back_to_the_visit,
    test_withdrawing_shows_the_end_page_within_seconds,
)
from tests.e2e.visitor import Visitor, visitor
from tests.servers.keyhole import Keyhole, keyhole
from tests.servers.namespace import Namespace, namespace
from tests.servers.process import free_port
from tests.serving.certificates import self_signed

__all__ = [  # these run here again, with the server and the person of this module
    "test_every_series_shows_whatever_its_transfer_syntax",
    "test_the_secret_is_gone_from_the_address_and_reload_comes_back_to_the_visit",
    "test_withdrawing_shows_the_end_page_within_seconds",
]

CT = range(1, 61)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


@pytest.fixture(scope="module")
def browser_elsewhere(
    driver: Playwright, elsewhere: Namespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    program = elsewhere.program(tmp_path_factory.mktemp("browser"), CHROMIUM)
    running = driver.chromium.launch(executable_path=program, headless=True, args=list(FLAGS))
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module", params=["https", "http"])
def server(
    request: pytest.FixtureRequest, elsewhere: Namespace, studies: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Keyhole]:
    folder, place = tmp_path_factory.mktemp(request.param), f"{elsewhere.address}:{free_port()}"
    if request.param == "https":
        certificate, key = self_signed(folder, address=elsewhere.address)
        way = {"KEYHOLE_TLS_CERT": str(certificate), "KEYHOLE_TLS_KEY": str(key)}
    else:
        way = {"KEYHOLE_INSECURE_HTTP": "yes"}
    addresses = {"KEYHOLE_PUBLIC_URL": f"{request.param}://{place}", "KEYHOLE_BIND": place}
    with keyhole(folder, {"KEYHOLE_ARCHIVE": str(studies)}, **addresses, **way) as running:
        yield running


@pytest.fixture
def person(browser_elsewhere: Browser, server: Keyhole) -> Iterator[Visitor]:
    with visitor(browser_elsewhere, server, clicks_through=True) as who:
        yield who
        assert not who.elsewhere, "requests left the origin"


def test_the_link_opens_in_the_viewer_and_shows_its_pixels(person: Visitor, server: Keyhole) -> None:
    person.open(server.share(dataset.STUDY))
    expect(person.page.get_by_role("heading", name="the recorded study")).to_be_visible()
    secure = person.page.evaluate("[isSecureContext, typeof crypto.subtle]")
    assert secure == ([True, "object"] if server.public_url.startswith("https:") else [False, "undefined"])
    person.enter_viewer()
    person.sees(dataset.STUDY, CT)
    person.page.reload()
    person.sees(dataset.STUDY, CT)
    assert person.complaints == []
