"""Inside other pages: which may frame ours, which cookie comes back there, and what another site cannot make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.web.pages import PublicPages
from keyhole.web.public import public_app
from keyhole.web.viewer import ViewerFiles
from tests.asgi import Answer, Caller
from tests.web.conftest import Dicomweb
from tests.web.openings import CODE, NOW, Memory, NoCodes

PORTAL = "https://portal.other.test"
FRAMED = {"keyhole-framed": "yes", "sec-fetch-site": "same-origin", "sec-fetch-dest": "empty"}
A_FORM_IN_A_FRAME = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}


def app(memory: Memory, viewer_folder: Path, url: str, *ancestors: str) -> Caller:
    pages = PublicPages(url, ancestors)
    return Caller(
        public_app(memory, NoCodes(), ViewerFiles(viewer_folder, pages.framing), Dicomweb(), pages, lambda: NOW)
    )


@pytest.fixture
def framing(memory: Memory, viewer_folder: Path) -> Caller:
    """Where a portal may frame our pages."""
    return app(memory, viewer_folder, "https://images.hospital.test", PORTAL, "https://portal.hospital.test:8443")


@pytest.fixture
def alone(memory: Memory, viewer_folder: Path) -> Caller:
    """Where nobody may."""
    return app(memory, viewer_folder, "https://images.hospital.test")


async def begin(caller: Caller, memory: Memory, headers: dict[str, str]) -> Answer:
    share, secret = memory.share()
    return await caller.post_json(f"/s/{share.id}/visits", {"secret": secret}, headers)


def cookie_of(answer: Answer) -> dict[str, str]:
    return {"cookie": (answer.header("set-cookie") or "").partition(";")[0]}


@pytest.mark.parametrize("path", ["/s/aaaaaaaaaaaaaaaa", "/o", f"/v/{'a' * 16}/", f"/v/{'a' * 16}/expired", "/nothing"])
async def test_every_page_says_whose_pages_may_frame_it(framing: Caller, alone: Caller, path: str) -> None:
    policy = (await framing.get(path)).header("content-security-policy") or ""
    assert policy.endswith(f"; frame-ancestors {PORTAL} https://portal.hospital.test:8443")
    assert ((await alone.get(path)).header("content-security-policy") or "").endswith("; frame-ancestors 'none'")


async def test_so_does_the_viewer(framing: Caller, alone: Caller, memory: Memory) -> None:
    opened = await begin(framing, memory, {})
    path = f"{opened.header('location')}viewer?StudyInstanceUIDs=1.2.3"
    policy = (await framing.get(path, cookie_of(opened))).header("content-security-policy") or ""
    assert policy.endswith(f"; frame-ancestors {PORTAL} https://portal.hospital.test:8443")
    policy = (await alone.get(path, cookie_of(opened))).header("content-security-policy") or ""
    assert policy.endswith("; frame-ancestors 'none'")


async def test_nothing_is_said_that_an_older_browser_would_take_for_a_refusal(framing: Caller) -> None:
    assert (await framing.get("/s/aaaaaaaaaaaaaaaa")).header("x-frame-options") is None


async def test_in_a_frame_of_another_site_the_cookie_is_tied_to_that_site(framing: Caller, memory: Memory) -> None:
    answer = await begin(framing, memory, FRAMED)
    secret, path = answer.json()["bearer"][-32:], answer.header("location")
    assert answer.header("set-cookie") == (
        f"keyhole_visit={secret}; HttpOnly; Max-Age=43200; Path={path}; SameSite=none; Secure; Partitioned"
    )


async def test_a_form_in_a_frame_gets_the_cookie_that_works_in_every_frame(framing: Caller, memory: Memory) -> None:
    share, secret = memory.share()
    answer = await framing.post_form(f"/s/{share.id}/visits", f"secret={secret}", A_FORM_IN_A_FRAME)
    assert answer.status == 303
    assert (answer.header("set-cookie") or "").endswith("; SameSite=none; Secure; Partitioned")


async def test_a_code_for_an_instant_visit_opens_in_a_frame_too(framing: Caller) -> None:
    answer = await framing.post_json("/o", {"code": CODE}, FRAMED)
    assert (answer.header("set-cookie") or "").endswith("; SameSite=none; Secure; Partitioned")


@pytest.mark.parametrize("headers", [{}, {"sec-fetch-site": "same-origin", "sec-fetch-dest": "empty"}])
async def test_outside_of_frames_the_cookie_is_the_ordinary_one(
    framing: Caller, memory: Memory, headers: dict[str, str]
) -> None:
    answer = await begin(framing, memory, headers)
    assert (answer.header("set-cookie") or "").endswith("; SameSite=lax; Secure")


@pytest.mark.parametrize("path", ["/s/{id}", "/s/{id}/visits", "/o"])
@pytest.mark.parametrize(
    ("url", "ancestors"),
    [
        pytest.param("https://images.hospital.test", (), id="nobody may frame"),
        pytest.param("http://127.0.0.1:8000", (PORTAL,), id="without https"),
    ],
)
async def test_where_no_cookie_would_come_back_nothing_is_opened_for_it(
    memory: Memory, viewer_folder: Path, path: str, url: str, ancestors: tuple[str, ...]
) -> None:
    caller = app(memory, viewer_folder, url, *ancestors)
    share, secret = memory.share()
    answer = await caller.post_json(path.format(id=share.id), {"secret": secret, "code": CODE}, FRAMED)
    assert (answer.status, answer.json()["reason"]) == (400, "cookies-off")
    assert answer.header("set-cookie") is None
    assert memory.calls == []


async def test_being_done_in_a_frame_takes_either_cookie_back(framing: Caller, memory: Memory) -> None:
    opened = await begin(framing, memory, FRAMED)
    path = opened.header("location")
    answer = await framing.call("POST", f"{path}end", {**cookie_of(opened), **A_FORM_IN_A_FRAME})
    taken = [value for name, value in answer.headers if name == "set-cookie"]
    assert len(taken) == 2
    assert all(f"Max-Age=0; Path={path}; SameSite=" in each for each in taken)
    assert [each.partition("SameSite=")[2] for each in taken] == ["lax; Secure", "none; Secure; Partitioned"]


ELSEWHERE = [
    pytest.param({"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, id="a picture"),
    pytest.param({"sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}, id="a script"),
    pytest.param({"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, id="fetch"),
    pytest.param({"sec-fetch-mode": "no-cors", "sec-fetch-dest": "empty"}, id="fetch without cors"),
    pytest.param({"sec-fetch-mode": "navigate", "sec-fetch-dest": "object"}, id="an object"),
    pytest.param({"sec-fetch-mode": "navigate", "sec-fetch-dest": "embed"}, id="an embedded thing"),
    pytest.param({"sec-fetch-mode": "websocket", "sec-fetch-dest": "websocket"}, id="a socket"),
    pytest.param({}, id="whatever does not say"),
]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unheard-of"])
@pytest.mark.parametrize("headers", ELSEWHERE)
@pytest.mark.parametrize(
    ("method", "below"),
    [("GET", ""), ("HEAD", ""), ("GET", "viewer"), ("GET", "here"), ("POST", "here"), ("POST", "end"), ("GET", "end")],
)
async def test_another_site_makes_no_use_of_a_framed_visits_cookie(
    framing: Caller, memory: Memory, site: str, headers: dict[str, str], method: str, below: str
) -> None:
    opened = await begin(framing, memory, FRAMED)
    del memory.calls[:]
    sent = {**cookie_of(opened), **headers, "sec-fetch-site": site}
    answer = await framing.call(method, f"{opened.header('location')}{below}", sent)
    assert answer.status == 403
    assert memory.calls == []


@pytest.mark.parametrize("dest", ["iframe", "frame"])
async def test_only_a_page_that_may_frame_ours_takes_a_frame_to_a_visit(
    framing: Caller, alone: Caller, memory: Memory, dest: str
) -> None:
    opened = await begin(framing, memory, FRAMED)
    into = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": dest}
    path = opened.header("location") or ""
    assert (await framing.get(path, {**cookie_of(opened), **into})).status == 200
    assert (await alone.get(path, {**cookie_of(opened), **into})).status == 403


async def test_a_frame_cannot_be_sent_to_end_a_visit(framing: Caller, memory: Memory) -> None:
    opened = await begin(framing, memory, FRAMED)
    del memory.calls[:]
    into = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    for below in ("end", "here"):
        answer = await framing.call("POST", f"{opened.header('location')}{below}", {**cookie_of(opened), **into})
        assert answer.status == 403
    assert memory.calls == []


@pytest.mark.parametrize("path", ["/s/{id}/visits", "/s", "/o"])
async def test_the_page_around_posts_nothing_into_its_frame(framing: Caller, memory: Memory, path: str) -> None:
    share, secret = memory.share()
    into = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe", "origin": PORTAL}
    answer = await framing.post_form(path.format(id=share.id), f"secret={secret}&code={CODE}", into)
    assert answer.status == 403
    assert answer.header("set-cookie") is None
    assert memory.calls == []


async def test_following_a_link_from_another_site_back_to_a_visit_goes_on_working(
    framing: Caller, alone: Caller, memory: Memory
) -> None:
    opened = await begin(framing, memory, {})
    from_a_mail = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    for caller in (framing, alone):
        answer = await caller.get(opened.header("location") or "", {**cookie_of(opened), **from_a_mail})
        assert answer.status == 200
