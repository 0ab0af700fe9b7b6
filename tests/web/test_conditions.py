"""What a link asks, over HTTP: the same for the page's script and for programs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.condition import Conditions
from keyhole.access.decision import Deny, Reason
from keyhole.access.share import ShareKind
from keyhole.sharing.condition import Answers
from tests.asgi import Answer, Caller
from tests.web.openings import DIGITS, TERMS, Memory

EVERYTHING = Conditions(passcode="correct horse", birth_date=b"19800229", mail_code=True, terms=True)
RIGHT = {"passcode": "correct horse", "birth_date": "1980-02-29", "mail_code": DIGITS, "terms": TERMS.version}


async def asked(memory: Memory, conditions: Conditions = EVERYTHING, **more: Any) -> tuple[str, str]:
    """The path of a link, and its secret."""
    share, secret = memory.share(conditions=conditions, mail_to="maria@example.org", **more)
    return f"/s/{share.id}", secret


async def mailed(caller: Caller, path: str, secret: str) -> Answer:
    return await caller.post_json(f"{path}/codes", {"secret": secret})


async def test_looking_tells_what_to_show(caller: Caller, memory: Memory) -> None:
    path, secret = await asked(memory, kind=ShareKind.VIEW_RENDERED, language="de")
    answer = await caller.post_json(path, {"secret": secret}, {"accept-language": "de-AT, en;q=0.5"})
    assert answer.status == 200
    said = answer.json()
    assert said.pop("expires_at")
    assert said == {
        "needs": ["passcode", "birth-date", "mail-code", "terms"],
        "visits_left": None,
        "viewer": "pictures",
        "allows": "view-rendered",
        "mail_to": "m•••@example.org",
        "terms": {"version": TERMS.version, "text": "Ansehen und niemandem erzählen.", "language": "de"},
        "language": "de",
        "tries_left": 5,
    }


async def test_terms_are_in_english_where_there_is_no_other_text(caller: Caller, memory: Memory) -> None:
    path, secret = await asked(memory, Conditions(terms=True))
    answer = await caller.post_json(path, {"secret": secret}, {"accept-language": "fr"})
    assert answer.json()["terms"]["language"] == "en"


async def test_a_code_is_on_its_way_and_tied_to_the_browser(caller: Caller, memory: Memory) -> None:
    path, secret = await asked(memory)
    answer = await mailed(caller, path, secret)
    assert answer.status == 202
    [ticket] = memory.tickets.values()
    assert answer.json() == {
        "mail_to": "m•••@example.org",
        "ends_at": "2026-03-01T12:10:00+00:00",
        "ticket": ticket.reveal(),
    }
    assert answer.header("set-cookie") == (
        f"keyhole_code={ticket.reveal()}; HttpOnly; Max-Age=600; Path={path}; SameSite=lax"
    )
    assert answer.header("cache-control") == "no-store"


async def test_everything_right_opens_with_the_cookie_or_the_ticket(caller: Caller, memory: Memory) -> None:
    path, secret = await asked(memory)
    ticket = (await mailed(caller, path, secret)).json()["ticket"]
    whole = {"secret": secret, **RIGHT}
    cookie = await caller.post_json(f"{path}/visits", whole, {"cookie": f"keyhole_code={ticket}"})
    assert cookie.status == 201
    assert (await caller.post_json(f"{path}/visits", {**whole, "ticket": ticket})).status == 201
    assert (await caller.post_json(f"{path}/visits", whole)).json()["needs"] == ["mail-code"]


async def test_what_is_missing_is_named(caller: Caller, memory: Memory) -> None:
    path, secret = await asked(memory)
    answer = await caller.post_json(f"{path}/visits", {"secret": secret, "passcode": "correct horse"})
    assert (answer.status, answer.json()["reason"]) == (403, "answers-needed")
    assert answer.json()["needs"] == ["birth-date", "mail-code", "terms"]


async def test_what_is_wrong_is_not_told_but_how_often_more(caller: Caller, memory: Memory) -> None:
    path, secret = await asked(memory, Conditions(passcode="correct horse", birth_date=b"19800229"))
    bodies = []
    for wrong in ({"passcode": "wrong horse"}, {"birth_date": "1980-02-28"}):
        answer = await caller.post_json(f"{path}/visits", {"secret": secret, **RIGHT, **wrong})
        assert (answer.status, answer.json()["reason"]) == (403, "wrong-answer")
        bodies.append(answer.json())
    assert [body.pop("tries_left") for body in bodies] == [4, 3]
    assert bodies[0] == bodies[1]


async def test_the_lock_is_told_to_who_holds_the_link_alone(caller: Caller, memory: Memory) -> None:
    path, secret = await asked(memory, Conditions(passcode="correct horse"))
    for _ in range(5):
        await caller.post_json(f"{path}/visits", {"secret": secret, "passcode": "wrong horse"})
    for step in ("", "/visits", "/codes"):
        answer = await caller.post_json(path + step, {"secret": secret, **RIGHT})
        assert (answer.status, answer.json()["reason"]) == (410, "locked")
    _, other = memory.share()
    stranger = await caller.post_json(f"{path}/visits", {"secret": other, **RIGHT})
    assert (stranger.status, stranger.json()["reason"]) == (404, "wrong-secret")


@pytest.mark.parametrize("step", ["/visits", "/codes"])
async def test_too_often_is_told_with_the_time_to_wait(caller: Caller, memory: Memory, step: str) -> None:
    path, secret = await asked(memory, Conditions(passcode="correct horse", mail_code=True))
    ticket = (await mailed(caller, path, secret)).json()["ticket"]
    memory.waits = timedelta(seconds=6.2)
    answer = await caller.post_json(path + step, {"secret": secret, **RIGHT, "ticket": ticket})
    assert (answer.status, answer.header("retry-after"), answer.json()["retry_after"]) == (429, "7", 7)
    assert answer.json()["reason"] == "too-many"


async def test_a_link_that_asks_for_no_code_has_none_to_send(caller: Caller, memory: Memory) -> None:
    path, secret = await asked(memory, Conditions(passcode="correct horse"))
    answer = await mailed(caller, path, secret)
    assert (answer.status, answer.header("set-cookie")) == (404, None)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        pytest.param({"birth_date": "1980-02-29"}, "19800229", id="as one field"),
        pytest.param({"birth_day": "29", "birth_month": "2", "birth_year": "1980"}, "19800229", id="as three"),
        pytest.param({"birth_day": " 9 ", "birth_month": "02", "birth_year": "1980"}, "19800209", id="with blanks"),
        pytest.param({"birth_day": "29", "birth_month": "", "birth_year": "1980"}, None, id="without a month"),
        pytest.param({"birth_day": "²", "birth_month": "2", "birth_year": "1980"}, None, id="what is no digit"),
        pytest.param({"birth_day": "-1", "birth_month": "2", "birth_year": "1980"}, None, id="less than none"),
        pytest.param({"birth_day": "29", "birth_month": "2", "birth_year": "19800"}, None, id="a year too far"),
        pytest.param({"birth_date": "29.02.1980"}, None, id="in another order"),
        pytest.param({"birth_date": "1980-02-29T00:00"}, None, id="with a time"),
        pytest.param({"birth_date": "19800229"}, None, id="without its dashes"),
        pytest.param({}, None, id="not at all"),
    ],
)
async def test_how_a_birth_date_may_be_sent(
    caller: Caller, memory: Memory, sent: dict[str, str], read: str | None
) -> None:
    path, secret = await asked(memory, Conditions(birth_date=b"19800229"))
    await caller.post_json(f"{path}/visits", {"secret": secret, **sent})
    assert memory.answers == [Answers(birth_date=read)]


async def test_a_form_may_answer_too(caller: Caller, memory: Memory) -> None:
    path, secret = await asked(memory, Conditions(passcode="correct horse", birth_date=b"19800229", terms=True))
    body = f"secret={secret}&passcode=correct+horse&birth_day=29&birth_month=2&birth_year=1980&terms={TERMS.version}"
    answer = await caller.post_form(f"{path}/visits", body)
    assert answer.status == 303


async def test_answers_that_are_no_text_are_none(caller: Caller, memory: Memory) -> None:
    path, secret = await asked(memory)
    sent = {"secret": secret, "passcode": ["a"], "birth_date": 19800229, "mail_code": 123456, "terms": True}
    answer = await caller.post_json(f"{path}/visits", sent)
    assert memory.answers == [Answers()]
    assert answer.json()["reason"] == "answers-needed"


@pytest.mark.parametrize("step", ["", "/codes", "/visits"])
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://elsewhere.example"},
        {"sec-purpose": "prefetch"},
    ],
    ids=str,
)
async def test_nothing_is_asked_for_by_other_sites(
    caller: Caller, memory: Memory, step: str, headers: dict[str, str]
) -> None:
    path, secret = await asked(memory)
    answer = await caller.post_json(path + step, {"secret": secret, **RIGHT}, headers)
    assert (answer.status, answer.json()["reason"]) == (403, "cross-site")
    assert memory.calls == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_a_code_is_sent_by_post_alone(caller: Caller, memory: Memory, method: str) -> None:
    path, _ = await asked(memory)
    assert (await caller.call(method, f"{path}/codes")).status == 405
    assert memory.calls == []


@pytest.mark.parametrize("reason", [Reason.MAIL_OFF, Reason.TERMS_OFF])
@pytest.mark.parametrize("step", ["", "/visits", "/codes"])
async def test_what_cannot_be_asked_here_is_an_answer_of_its_own(
    caller: Caller, memory: Memory, monkeypatch: pytest.MonkeyPatch, reason: Reason, step: str
) -> None:
    path, secret = await asked(memory)
    monkeypatch.setattr(memory, "_held", lambda *_: Deny(reason))
    answer = await caller.post_json(path + step, {"secret": secret})
    assert (answer.status, answer.json()["reason"]) == (503, str(reason))
    assert answer.json()["title"] == "This link cannot be opened just now"
