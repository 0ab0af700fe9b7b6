from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.decision import Deny, Reason
from keyhole.errors import StoreFailed
from keyhole.gateway.client import Client
from keyhole.web.incoming import LARGEST_BODY
from tests.asgi import Caller
from tests.web.openings import CODE, NOW, Memory

OVER_HTTPS = pytest.mark.parametrize("public_url", ["https://images.example.org"], indirect=True)
FORM = "application/x-www-form-urlencoded"


async def test_the_page_is_the_same_bytes_for_every_id(caller: Caller, memory: Memory) -> None:
    share, _ = memory.share()
    ids = (share.id, "a" * 16, "nonsense", "A.B-c_1")
    answers = [await caller.get(f"/s/{name}") for name in (*ids, *ids)]
    assert {(answer.status, answer.body, answer.headers) for answer in answers} == {
        (200, answers[0].body, answers[0].headers)
    }


@pytest.mark.parametrize("path", ["/s/aaaaaaaaaaaaaaaa", "/o", "/s", "/s/"])
async def test_get_and_head_consume_nothing_and_set_no_cookie(caller: Caller, memory: Memory, path: str) -> None:
    shown, headed = await caller.get(path), await caller.head(path)
    assert memory.calls == []
    assert shown.header("set-cookie") is None
    assert (headed.status, headed.headers, headed.body) == (shown.status, shown.headers, b"")


async def test_looking_consumes_nothing_and_tells_what_is_needed(caller: Caller, memory: Memory) -> None:
    share, secret = memory.share(max_visits=2)
    answer = await caller.post_json(f"/s/{share.id}", {"secret": secret})
    assert answer.status == 200
    assert answer.json() == {
        "needs": [],
        "expires_at": "2026-03-08T12:00:00+00:00",
        "visits_left": 2,
        "viewer": "ohif",
        "allows": "view",
        "mail_to": None,
        "terms": None,
        "language": None,
        "tries_left": None,
    }
    assert memory.calls == ["look"]
    assert memory.shares[share.id].visits == 0
    assert answer.header("set-cookie") is None


async def test_opening_begins_a_visit_with_cookie_and_bearer(caller: Caller, memory: Memory) -> None:
    share, secret = memory.share()
    answer = await caller.post_json(f"/s/{share.id}/visits", {"secret": secret}, {"user-agent": "test"})
    (visit,) = memory.visits.values()
    assert answer.status == 201
    said = answer.json()
    assert said["visit"] == visit.id
    assert said["url"] == f"http://127.0.0.1:8000/v/{visit.id}/"
    assert said["bearer"].startswith(f"khv_{visit.id}_")
    assert said["expires_at"] == "2026-03-02T00:00:00+00:00"
    assert answer.header("set-cookie") == (
        f"keyhole_visit={said['bearer'][-32:]}; HttpOnly; Max-Age=43200; Path=/v/{visit.id}/; SameSite=lax"
    )
    assert memory.clients == [Client("192.0.2.7", "test")]


@OVER_HTTPS
async def test_over_https_the_cookie_is_secure_and_the_url_is_public(caller: Caller, memory: Memory) -> None:
    share, secret = memory.share()
    answer = await caller.post_json(f"/s/{share.id}/visits", {"secret": secret})
    assert answer.header("set-cookie").endswith("; Secure")
    assert answer.json()["url"].startswith("https://images.example.org/v/")


@pytest.mark.parametrize("path", ["/s/{id}/visits", "/s", "/s/"])
async def test_a_form_with_the_whole_link_opens_too(caller: Caller, memory: Memory, path: str) -> None:
    share, secret = memory.share()
    link = f"http%3A%2F%2F127.0.0.1%3A8000%2Fs%2F{share.id}%23{secret}"
    answer = await caller.post_form(path.format(id=share.id), f"secret={link}")
    (visit,) = memory.visits.values()
    assert (answer.status, answer.header("location")) == (303, f"/v/{visit.id}/")
    assert answer.header("set-cookie").startswith("keyhole_visit=")


async def test_a_form_that_looks_is_sent_on_to_open(caller: Caller, memory: Memory) -> None:
    answer = await caller.post_form("/s/aaaaaaaaaaaaaaaa", "secret=x")
    assert (answer.status, answer.header("location")) == (307, "/s/aaaaaaaaaaaaaaaa/visits")
    assert memory.calls == []


async def test_a_form_is_refused_with_a_page(caller: Caller, memory: Memory) -> None:
    share, secret = memory.share(withdrawn_at=NOW)
    answer = await caller.post_form(f"/s/{share.id}/visits", f"secret={secret}")
    assert answer.status == 410
    assert answer.header("content-type").startswith("text/html")
    assert "This link was withdrawn" in answer.text


@pytest.mark.parametrize("step", ["", "/visits"])
@pytest.mark.parametrize(
    ("more", "status", "reason"),
    [
        ({"expires_at": NOW}, 410, "expired"),
        ({"withdrawn_at": NOW}, 410, "withdrawn"),
        ({"max_visits": 1, "visits": 1}, 410, "used-up"),
        ({"not_before": NOW + timedelta(hours=1)}, 403, "not-yet"),
    ],
)
async def test_the_holder_of_the_secret_is_told_why_it_does_not_open(
    caller: Caller, memory: Memory, step: str, more: dict[str, Any], status: int, reason: str
) -> None:
    share, secret = memory.share(**more)
    answer = await caller.post_json(f"/s/{share.id}{step}", {"secret": secret})
    assert (answer.status, answer.header("content-type")) == (status, "application/problem+json")
    assert answer.json()["reason"] == reason
    assert answer.json().get("not_before") == ("2026-03-01T13:00:00+00:00" if reason == "not-yet" else None)
    assert answer.header("set-cookie") is None


@pytest.mark.parametrize("step", ["", "/visits"])
async def test_wrong_secret_unknown_share_and_malformed_id_are_one_answer(
    caller: Caller, memory: Memory, step: str
) -> None:
    share, _ = memory.share()
    _, other = memory.share()
    answers = [
        await caller.post_json(f"/s/{name}{step}", {"secret": other}) for name in (share.id, "a" * 16, "no-share")
    ]
    assert {(answer.status, answer.headers, answer.body) for answer in answers} == {
        (404, answers[0].headers, answers[0].body)
    }
    assert answers[0].json()["reason"] == "wrong-secret"


@pytest.mark.parametrize("sent", [{}, {"secret": ""}, {"secret": "aaaa"}, {"secret": "a" * 35}, {"secret": ["x"]}])
async def test_a_mistyped_secret_is_told_without_looking_anything_up(
    caller: Caller, memory: Memory, sent: dict[str, Any]
) -> None:
    answer = await caller.post_json("/s/aaaaaaaaaaaaaaaa/visits", sent)
    assert (answer.status, answer.json()["reason"]) == (404, "mistyped")
    assert memory.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"sec-fetch-site": "same-origin", "sec-purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
    ],
)
@pytest.mark.parametrize("path", ["/s/{id}", "/s/{id}/visits", "/o"])
async def test_what_another_site_or_a_prefetch_sends_is_refused(
    caller: Caller, memory: Memory, headers: dict[str, str], path: str
) -> None:
    share, secret = memory.share()
    answer = await caller.post_json(path.format(id=share.id), {"secret": secret, "code": CODE}, headers)
    assert (answer.status, answer.json()["reason"]) == (403, "cross-site")
    assert memory.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin", "origin": "http://localhost:8000"},
        {"sec-fetch-site": "none"},
        {"origin": "http://127.0.0.1:8000"},
    ],
)
async def test_our_own_pages_and_programs_may_post(caller: Caller, memory: Memory, headers: dict[str, str]) -> None:
    share, secret = memory.share()
    assert (await caller.post_json(f"/s/{share.id}", {"secret": secret}, headers)).status == 200


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"{}", 415),
        ("", b"{}", 415),
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b'"\xff"', 400),
        ("application/json", b"[" * 4000, 400),
        ("application/json", b" " * (LARGEST_BODY + 1), 413),
        (FORM, b"secret=a&secret=b", 400),
        (FORM, b"secret=%ff", 400),
        (FORM, b"secret=\xff", 400),
        (FORM, b"&".join([b"a=b"] * 9), 400),
        (FORM, b"secret=" + b"a" * LARGEST_BODY, 413),
    ],
)
async def test_bad_bodies_are_refused_before_anything_is_looked_up(
    caller: Caller, memory: Memory, content_type: str, body: bytes, status: int
) -> None:
    pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    answer = await caller.call("POST", "/s/aaaaaaaaaaaaaaaa/visits", {"content-type": content_type}, pieces)
    assert answer.status == status
    assert memory.calls == []


async def test_a_body_announced_too_large_is_not_read(caller: Caller) -> None:
    headers = {"content-type": "application/json", "content-length": "5000"}
    assert (await caller.call("POST", "/o", headers, [b"{}"])).status == 413


async def test_a_code_opens_once(caller: Caller, memory: Memory) -> None:
    first, second = [await caller.post_json("/o", {"code": CODE}) for _ in range(2)]
    assert first.status == 201
    assert first.json()["visit"] in memory.visits
    assert first.header("set-cookie").startswith("keyhole_visit=")
    assert (second.status, second.json()["reason"]) == (404, "wrong-secret")


async def test_what_cannot_be_a_code_is_not_looked_up(caller: Caller, memory: Memory) -> None:
    assert (await caller.post_json("/o", {"code": "../"})).status == 404
    assert memory.calls == []


async def test_a_lost_database_is_503_and_says_no_more(caller: Caller, memory: Memory) -> None:
    share, secret = memory.share()
    memory.breaks = StoreFailed("disk I/O error in /var/lib/keyhole")
    answer = await caller.post_json(f"/s/{share.id}", {"secret": secret})
    assert (answer.status, answer.json()["reason"]) == (503, "store-failed")
    assert answer.header("retry-after") is not None
    assert "disk" not in answer.text


async def test_too_many_tries_are_told_when_to_come_back(
    caller: Caller, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(*_: object) -> Deny:
        return Deny(Reason.TOO_MANY)

    monkeypatch.setattr(memory, "look", look)
    _, secret = memory.share()
    answer = await caller.post_json("/s/aaaaaaaaaaaaaaaa", {"secret": secret})
    assert (answer.status, answer.header("retry-after")) == (429, "60")


async def test_no_answer_repeats_the_secret(caller: Caller, memory: Memory) -> None:
    share, secret = memory.share(withdrawn_at=NOW)
    for answer in (
        await caller.post_json(f"/s/{share.id}", {"secret": secret}),
        await caller.post_form(f"/s/{share.id}/visits", f"secret={secret}"),
        await caller.post_json(f"/s/{share.id}/visits", {"secret": secret + "x"}),
    ):
        assert secret not in answer.text + str(answer.headers)
