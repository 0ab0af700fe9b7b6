"""Links that were changed on their way lead where they led, for everybody alike, or to plain words."""

from __future__ import annotations

import pytest

from tests.asgi import Caller
from tests.web.openings import Memory

SHARE, SECRET = "abcdefghijklmnop", "a" * 35


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        pytest.param(f"/S/{SHARE.upper()}", f"/s/{SHARE}", id="capital letters"),
        pytest.param(f"/s/{SHARE.title()}", f"/s/{SHARE}", id="a capital letter"),
        pytest.param(f"/s/{SHARE}/", f"/s/{SHARE}", id="a slash"),
        pytest.param(f"/s/{SHARE}/?utm_source=mail", f"/s/{SHARE}", id="a slash and a tracker's query"),
        pytest.param(f"/s/{SHARE}%23{SECRET}", f"/s/{SHARE}#{SECRET}", id="an escaped sign"),
        pytest.param(f"/S/{SHARE.upper()}%23{SECRET.upper()}", f"/s/{SHARE}#{SECRET.upper()}", id="both"),
        pytest.param(f"/s/{SHARE}%23{SECRET}%3E", f"/s/{SHARE}#{SECRET}", id="and the end of a quotation"),
        pytest.param(f"/s/{SHARE}%23", f"/s/{SHARE}#", id="an escaped sign and nothing"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_link_that_was_bent_is_straightened(
    caller: Caller, memory: Memory, method: str, path: str, leads_to: str
) -> None:
    answer = await caller.call(method, path)
    assert (answer.status, answer.header("location"), answer.body) == (308, leads_to, b"")
    assert answer.header("cache-control") == "no-store"
    assert answer.header("set-cookie") is None
    assert memory.calls == []


@pytest.mark.parametrize(
    "path",
    [
        f"/s/{SHARE}%2523{SECRET}",
        f"/s/{SHARE}x%23{SECRET}",
        f"/s/{SHARE}%23{SECRET}/visits",
        f"/s//{SHARE}%23{SECRET}",
        f"/S/{SHARE}/visits",
        f"/s/{SHARE}%0d%0aset-cookie:a=b",
        f"/s/{SHARE}/%23{'a' * 65}\\",
    ],
)
async def test_what_could_be_something_else_is_told_in_words(caller: Caller, memory: Memory, path: str) -> None:
    answer = await caller.get(path)
    assert answer.status in (308, 404)
    assert answer.header("location") in (None, f"/s/{SHARE}#{'a' * 64}")
    assert memory.calls == []


@pytest.mark.parametrize("path", [f"/S/{SHARE.upper()}", f"/s/{SHARE}/", f"/s/{SHARE}%23{SECRET}"])
async def test_nothing_is_sent_on_but_a_reader(caller: Caller, memory: Memory, path: str) -> None:
    for method in ("POST", "PUT", "OPTIONS"):
        assert (await caller.call(method, path)).status in (404, 405)
    assert memory.calls == []


@pytest.mark.parametrize("query", ["?utm_source=mail&utm_medium=x", "?fbclid=IwAR0", "?secret=x", "?"])
async def test_what_trackers_put_to_a_link_changes_nothing(caller: Caller, query: str) -> None:
    plain, tracked = await caller.get(f"/s/{SHARE}"), await caller.get(f"/s/{SHARE}{query}")
    assert (tracked.status, tracked.headers, tracked.body) == (200, plain.headers, plain.body)


@pytest.mark.parametrize("end", [".", ">", "%3E", "?utm_source=mail", "&fbclid=x"])
@pytest.mark.parametrize("step", ["", "/visits"])
async def test_what_ends_up_behind_the_secret_is_left_out(caller: Caller, memory: Memory, end: str, step: str) -> None:
    share, secret = memory.share()
    answer = await caller.post_json(f"/s/{share.id}{step}", {"secret": secret + end})
    assert answer.status in (200, 201)


@pytest.mark.parametrize("header", [{"x-moz": "prefetch"}, {"purpose": "prefetch"}, {"sec-purpose": "prefetch"}])
async def test_a_browser_ahead_of_its_user_opens_nothing(
    caller: Caller, memory: Memory, header: dict[str, str]
) -> None:
    share, secret = memory.share()
    answer = await caller.post_json(f"/s/{share.id}/visits", {"secret": secret}, header)
    assert (answer.status, answer.json()["reason"]) == (403, "cross-site")
    assert memory.calls == []
