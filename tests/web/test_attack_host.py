"""No name that a request calls this host by changes an answer: caches, rebound names and proxies may say anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.asgi import Caller
from tests.web.openings import Memory

ELSEWHERE = "attacker.example"
V = "/v/" + "a" * 16
PATHS = ("/", "/s", "/s/aaaaaaaaaaaaaaaa", "/o", V, f"{V}/expired", "/nothing")
HEADERS = {
    "x-forwarded-host": ELSEWHERE,
    "x-host": ELSEWHERE,
    "forwarded": f"host={ELSEWHERE};proto=http",
    "x-original-url": f"//{ELSEWHERE}/",
    "x-rewrite-url": f"//{ELSEWHERE}/",
    "x-forwarded-prefix": f"//{ELSEWHERE}",
}


@pytest.mark.parametrize("path", PATHS)
async def test_no_page_and_no_redirect_leads_where_a_request_says(caller: Caller, path: str) -> None:
    told = await replace(caller, host=ELSEWHERE).get(path, HEADERS)
    assert told == await caller.get(path)
    assert not (told.header("location") or "/").startswith(("//", "http"))


async def test_a_visit_is_where_the_operator_says(caller: Caller, memory: Memory, public_url: str) -> None:
    share, secret = memory.share()
    elsewhere = replace(caller, host=ELSEWHERE)
    answer = await elsewhere.post_json(f"/s/{share.id}/visits", {"secret": secret}, HEADERS)
    assert answer.status == 201
    assert answer.json()["url"].startswith(f"{public_url}/v/")
    assert ELSEWHERE not in answer.text + str(answer.headers)
    form = await elsewhere.post_form(f"/s/{share.id}", f"secret={secret}", HEADERS)
    assert (form.status, form.header("location")) == (307, f"/s/{share.id}/visits")


@pytest.mark.parametrize("host", ["[:]", "x//attacker.example", "x?", "x#", "[::1", "a/b", "@"])
async def test_a_host_that_is_none_bends_no_address(caller: Caller, memory: Memory, host: str) -> None:
    """The server in front of this refuses them; nothing here rests on that."""
    share, secret = memory.share()
    answer = await replace(caller, host=host).post_form(f"/s/{share.id}", f"secret={secret}")
    assert (answer.status, answer.header("location")) == (307, f"/s/{share.id}/visits")
