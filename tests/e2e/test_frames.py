"""Inside other pages, over https in a real browser: a portal of the same hospital, a portal of another, a stranger's.

All names lead to this machine; the certificates are made on the spot.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Frame, Page, Playwright, expect

from tests.e2e import dataset, phantom
from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.e2e.visitor import ALIKE, LOADS_WITHIN
from tests.servers.keyhole import COOKIE, Keyhole, keyhole, share_id
from tests.servers.process import free_port, wait_until
from tests.serving.certificates import self_signed

pytestmark = pytest.mark.e2e

CT = range(1, 61)
SAME_SITE, OTHER_SITE, NOT_LISTED = "portal.hospital.test", "portal.other.test", "portal.stranger.test"
NAMES = "--host-resolver-rules=MAP *.test 127.0.0.1"
HOLDS = """(attributes) => {
    document.cookie = `probe=1; ${attributes}`;
    const held = document.cookie.includes("probe=1");
    document.cookie = `probe=1; max-age=0; ${attributes}`;
    return held;
}"""


@dataclass
class Portal:
    """A web server of somebody else's, under every name: one page with one frame in it."""

    port: int
    frames: str = ""

    def url(self, host: str) -> str:
        return f"https://{host}:{self.port}"


@contextmanager
def portal_server(folder: Path) -> Iterator[Portal]:
    portal = Portal(free_port())

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            frame = f'<iframe src="{portal.frames}" width="1200" height="760"></iframe>'
            body = f"<!doctype html><title>Portal</title>{frame}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", portal.port), Page)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(folder, "portal"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield portal
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with portal_server(tmp_path_factory.mktemp("portal")) as running:
        yield running


@pytest.fixture(scope="module")
def server(portal: Portal, studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    folder, port = tmp_path_factory.mktemp("framed"), free_port()
    certificate, key = self_signed(folder)
    settings = {
        "KEYHOLE_ARCHIVE": str(studies),
        "KEYHOLE_PUBLIC_URL": f"https://images.hospital.test:{port}",
        "KEYHOLE_BIND": f"127.0.0.1:{port}",
        "KEYHOLE_TLS_CERT": str(certificate),
        "KEYHOLE_TLS_KEY": str(key),
        "KEYHOLE_FRAME_ANCESTORS": f"{portal.url(SAME_SITE)},{portal.url(OTHER_SITE)}",
    }
    with keyhole(folder, settings) as running:
        yield running


COOKIES = {
    "allowed": {"cookie_controls_mode": 0},
    "blocked": {"cookie_controls_mode": 1},
    "refused": {"content_settings": {"exceptions": {"cookies": {"[*.]hospital.test,[*.]other.test": {"setting": 2}}}}},
}
"""What the owner of a browser let cookies do inside pages of other sites: pass, only partitioned ones, none of ours."""


@contextmanager
def person(driver: Playwright, folder: Path, cookies: str) -> Iterator[Page]:
    """Somebody in front of a browser of their own."""
    (folder / "Default").mkdir(parents=True)
    (folder / "Default" / "Preferences").write_text(json.dumps({"profile": COOKIES[cookies]}))
    with driver.chromium.launch_persistent_context(
        folder,
        executable_path=CHROMIUM,
        args=[*FLAGS, NAMES],
        ignore_https_errors=True,
        viewport={"width": 1280, "height": 800},
        locale="en-GB",
    ) as context:
        yield context.new_page()


@pytest.fixture
def page(driver: Playwright, tmp_path: Path) -> Iterator[Page]:
    """Of a browser that lets cookies of other sites pass."""
    with person(driver, tmp_path / "browser", "allowed") as made:
        yield made


def look_in(page: Page, portal: Portal, host: str, link: str) -> Frame:
    """Go to the page of *host* that frames *link*; the frame."""
    portal.frames = link
    page.goto(portal.url(host))
    framed = page.locator("iframe").element_handle().content_frame()
    assert framed is not None
    return framed


def open_images(frame: Frame, server: Keyhole) -> None:
    frame.get_by_role("button", name="Open the images").click()
    expect(frame.get_by_role("link", name="Open in viewer")).to_be_visible(timeout=20_000)
    server.secrets |= {str(cookie["value"]) for cookie in frame.page.context.cookies()}


def sees(frame: Frame, study: str) -> None:
    """Fail unless a slice of *study* comes up in the frame."""
    canvas = frame.locator('[data-cy="viewport-pane"] canvas').first

    def shown() -> bool:
        picture = canvas.screenshot() if canvas.count() else b""
        return bool(picture) and max(phantom.likeness(picture, study, n) for n in CT) > ALIKE

    wait_until(shown, LOADS_WITHIN, lambda: f"no slice of {study} came up at {frame.url}")


def visits_of(server: Keyhole, link: str) -> int:
    return sum(row["event"] == "visit-begun" and row["share"] == share_id(link) for row in server.trail())


@pytest.mark.parametrize("cookies", ["allowed", "blocked"])
def test_a_portal_of_the_same_hospital_shows_the_images(
    driver: Playwright, tmp_path: Path, portal: Portal, server: Keyhole, cookies: str
) -> None:
    with person(driver, tmp_path, cookies) as page:
        frame = look_in(page, portal, SAME_SITE, server.share(dataset.STUDY))
        open_images(frame, server)
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["sameSite"], cookie.get("partitionKey")) == (COOKIE, "Lax", None)
        frame.get_by_role("link", name="Open in viewer").click()
        sees(frame, dataset.STUDY)


@pytest.mark.parametrize("cookies", ["allowed", "blocked"])
def test_a_portal_of_another_site_shows_the_images(
    driver: Playwright, tmp_path: Path, portal: Portal, server: Keyhole, cookies: str
) -> None:
    link = server.share(dataset.STUDY)
    with person(driver, tmp_path, cookies) as page:
        frame = look_in(page, portal, OTHER_SITE, link)
        expect(frame.get_by_role("button", name="Open the images")).to_be_visible()
        assert frame.evaluate(HOLDS, "SameSite=None; Secure") is (cookies == "allowed"), "this browser is another"
        open_images(frame, server)
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["sameSite"], cookie["secure"]) == (COOKIE, "None", True)
        assert cookie.get("partitionKey") == "https://other.test"
        frame.get_by_role("link", name="Open in viewer").click()
        sees(frame, dataset.STUDY)
    assert visits_of(server, link) == 1


def test_the_framed_visit_is_only_there_inside_that_portal(page: Page, portal: Portal, server: Keyhole) -> None:
    frame = look_in(page, portal, OTHER_SITE, server.share(dataset.PRIOR))
    open_images(frame, server)
    visit = frame.url
    inside_another = look_in(page, portal, SAME_SITE, visit)
    expect(inside_another.get_by_role("heading", name="Please open the link again")).to_be_visible()
    page.goto(visit)
    expect(page.get_by_role("heading", name="Please open the link again")).to_be_visible()
    again = look_in(page, portal, OTHER_SITE, visit)
    expect(again.get_by_role("link", name="Open in viewer")).to_be_visible()


def test_being_done_ends_the_framed_visit(page: Page, portal: Portal, server: Keyhole) -> None:
    frame = look_in(page, portal, OTHER_SITE, server.share(dataset.PRIOR))
    open_images(frame, server)
    frame.get_by_role("button", name="I am done").click()
    expect(frame.get_by_role("heading", name="You are done")).to_be_visible()
    assert page.context.cookies() == []


def test_a_page_that_is_not_listed_shows_nothing(page: Page, portal: Portal, server: Keyhole) -> None:
    link = server.share(dataset.PRIOR)
    refusals: list[str] = []
    page.on("console", lambda said: refusals.append(said.text) if "frame-ancestors" in said.text else None)
    frame = look_in(page, portal, NOT_LISTED, link)
    wait_until(lambda: _turn(page) and bool(refusals), 20, "nothing was refused")
    assert frame.get_by_role("button", name="Open the images").count() == 0
    assert page.context.cookies() == []
    assert visits_of(server, link) == 0


def _turn(page: Page) -> bool:
    """Let the browser's driver hear what has happened meanwhile."""
    page.wait_for_timeout(50)
    return True


def test_where_no_cookie_comes_back_a_new_window_is_offered_and_nothing_is_lost(
    driver: Playwright, tmp_path: Path, portal: Portal, server: Keyhole
) -> None:
    link = server.share(dataset.STUDY, visits=1)
    with person(driver, tmp_path, "refused") as page:
        posts: list[str] = []
        page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
        frame = look_in(page, portal, OTHER_SITE, link)
        offered = frame.get_by_role("link", name="Open in a new window")
        expect(offered).to_be_visible()
        assert posts == []
        with page.context.expect_page() as opening:
            offered.click()
        window = opening.value
        assert window.evaluate("[window.opener, document.referrer]") == [None, ""]
        open_images(window.main_frame, server)
    assert visits_of(server, link) == 1


def test_outside_of_frames_nothing_is_tried_and_the_cookie_is_the_ordinary_one(page: Page, server: Keyhole) -> None:
    page.goto(server.share(dataset.PRIOR))
    expect(page.get_by_role("button", name="Open the images")).to_be_visible()
    assert page.context.cookies() == []
    open_images(page.main_frame, server)
    (cookie,) = page.context.cookies()
    assert (cookie["sameSite"], cookie.get("partitionKey")) == ("Lax", None)
