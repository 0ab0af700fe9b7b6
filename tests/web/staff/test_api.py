"""The staff API: what it takes, what it answers, and what it never tells."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.resource import Action
from tests.web.staff.asking import SHARES, UNKNOWN, WEEK, bearer, shared, told
from tests.web.staff.client import Client
from tests.web.staff.world import CT, MR, NOW, OTHER, World

# -- sharing


async def test_a_study_is_shared_and_the_link_is_in_the_answer(sharer: Client, world: World) -> None:
    answer = await sharer.ask(
        "POST", SHARES, WEEK | {"note": "for Monday", "recipient": "Dr Roe", "max_visits": 2, "force": True}
    )
    assert answer.status == 201
    share = answer.json
    assert answer.headers["location"] == f"{SHARES}/{share['id']}"
    assert share["link"] == world.desk.link(world.rows.held[share["id"]])
    assert share["resources"] == [{"study": CT, "series": None}]
    assert share["expires_at"] == "2026-03-08T12:00:00Z"
    assert (share["state"], share["allows"], share["visits"], share["max_visits"]) == ("open", "view", 0, 2)
    assert (share["note"], share["recipient"]) == ("for Monday", "Dr Roe")


async def test_the_files_are_shared_as_well_when_that_is_said(sharer: Client) -> None:
    share = await shared(sharer, allows="download")
    assert share["allows"] == "download"
    assert (await sharer.ask("GET", f"{SHARES}/{share['id']}")).json["allows"] == "download"
    assert (await sharer.ask("POST", SHARES, WEEK | {"allows": "everything"})).status == 422


async def test_an_end_may_be_a_time_in_any_zone(sharer: Client) -> None:
    share = await sharer.ask("POST", SHARES, {"studies": [CT, MR], "expires_at": "2026-03-02T12:00:00+02:00"})
    assert share.json["expires_at"] == "2026-03-02T10:00:00Z"
    assert [resource["study"] for resource in share.json["resources"]] == [CT, MR]


async def test_one_series_is_shared(sharer: Client) -> None:
    assert (await shared(sharer, series=f"{CT}.1"))["resources"] == [{"study": CT, "series": f"{CT}.1"}]


async def test_the_sender_is_on_the_trail_with_address_and_agent(sharer: Client, world: World) -> None:
    share = await shared(sharer)
    record = world.rows.trail[-1].record
    assert (record.event, record.share, record.subject) == (Event.SHARE_CREATED, share["id"], share["creator"])
    assert record.personal == {"address": "192.0.2.7", "agent": "worklist/1"}


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        pytest.param({"for": "7d"}, "", id="neither studies nor a patient"),
        pytest.param(WEEK | {"patient": {"id": "P1"}}, "", id="studies and a patient"),
        pytest.param({"for": "7d", "patient": {"id": "P*"}}, "patient.id", id="many patients"),
        pytest.param({"for": "7d", "patient": {"id": ""}}, "patient.id", id="a patient without an id"),
        pytest.param({"for": "7d", "patient": "P1"}, "patient", id="a patient as text"),
        pytest.param(WEEK | {"priors": "all"}, "priors", id="priors of no kind"),
        pytest.param(WEEK | {"passcode": ""}, "passcode", id="an empty passcode"),
        pytest.param(WEEK | {"passcode": 12345678}, "passcode", id="a passcode as number"),
        pytest.param(WEEK | {"birth_date": "19800101"}, "birth_date", id="the birth date itself"),
        pytest.param(WEEK | {"terms": False}, "terms", id="terms that are not asked"),
        pytest.param(WEEK | {"mail_to": "x" * 300}, "mail_to", id="a long address"),
        pytest.param({"studies": [CT], "for": "7d", "expires_at": "2026-03-02T12:00:00Z"}, "", id="two ends"),
        pytest.param({"studies": [CT], "expires_at": "2026-03-02T12:00:00"}, "expires_at", id="a time without zone"),
        pytest.param({"studies": [CT], "expires_at": "2026-03-02"}, "expires_at", id="a day is no time"),
        pytest.param({"studies": [CT], "expires_at": 1772366400}, "expires_at", id="a number is no time"),
        pytest.param({"studies": [CT], "expires_at": "2026-02-30T12:00:00Z"}, "expires_at", id="no such day"),
        pytest.param({"studies": [CT], "expires_at": "9999-12-31T23:59:59-01:00"}, "expires_at", id="past all years"),
        pytest.param({"studies": [CT], "for": "-7d"}, "for", id="a negative duration"),
        pytest.param({"studies": [CT], "for": "0d"}, "for", id="no duration"),
        pytest.param({"studies": [CT], "for": 7}, "for", id="a duration without unit"),
        pytest.param({"studies": [], "for": "7d"}, "studies", id="no study"),
        pytest.param({"studies": CT, "for": "7d"}, "studies", id="a study that is no list"),
        pytest.param({"studies": ["1.2.x"], "for": "7d"}, "studies.0", id="no UID"),
        pytest.param({"studies": [CT, MR], "series": "1.1", "for": "7d"}, "", id="a series of two studies"),
        pytest.param(WEEK | {"max_visits": 0}, "max_visits", id="never to be opened"),
        pytest.param(WEEK | {"max_visits": "2"}, "max_visits", id="a number as text"),
        pytest.param(WEEK | {"max_visits": True}, "max_visits", id="a truth value as number"),
        pytest.param(WEEK | {"note": "\x00"}, "note", id="a note with a NUL"),
        pytest.param(WEEK | {"note": "x" * 1001}, "note", id="a note that is too long"),
        pytest.param(WEEK | {"note": None}, "", id="null"),
        pytest.param(WEEK | {"allow": "download"}, "allow", id="an unknown field"),
        pytest.param([], "", id="no object"),
        pytest.param("x", "", id="a text"),
    ],
)
async def test_what_is_not_of_the_form_is_named_and_nothing_happens(
    sharer: Client, world: World, wanted: object, field: str
) -> None:
    answer = await sharer.ask("POST", SHARES, wanted)
    assert told(answer) == (422, "invalid")
    assert [error["field"] for error in answer.json["errors"]] == [field]
    assert world.rows.trail == []


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b'{"studies": ["1.2.3"], "for": "7d", "note": "\\ud800"}'])
async def test_what_cannot_be_read_is_refused(sharer: Client, body: bytes) -> None:
    answer = await sharer.send("POST", SHARES, body, [*sharer.headers, ("content-type", "application/json")])
    status, reason = told(answer)
    assert (status in (400, 422), reason) == (True, "invalid")


async def test_a_body_of_another_type_is_not_guessed_at(sharer: Client) -> None:
    answer = await sharer.send("POST", SHARES, json.dumps(WEEK).encode(), [*sharer.headers])
    assert told(answer) == (422, "invalid")


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        pytest.param({"studies": ["5.5"]}, (404, "not-found"), id="an unknown study"),
        pytest.param({"series": "5.5"}, (404, "not-found"), id="an unknown series"),
        pytest.param({"archive": "elsewhere"}, (404, "not-found"), id="an unknown archive"),
        pytest.param({"for": "31d"}, (422, "refused"), id="longer than configured"),
        pytest.param({"terms": True}, (422, "refused"), id="terms that there are not"),
        pytest.param({"mail_code": True}, (422, "refused"), id="a code that is mailed to nobody"),
        pytest.param({"mail_to": "x@y@z"}, (422, "refused"), id="an address that is none"),
        pytest.param({"language": "tlh"}, (422, "refused"), id="a language that nobody speaks"),
        pytest.param({"passcode": "12345678"}, (422, "refused"), id="a passcode that would be guessed first"),
        pytest.param({"birth_date": True}, (422, "refused"), id="a birth date that is none"),
        pytest.param({"max_visits": 1}, (422, "conditions-needed"), id="openings that anybody can use up"),
        pytest.param({"not_before": "2026-03-09T12:00:00Z"}, (422, "refused"), id="over before it begins"),
    ],
)
async def test_what_cannot_be_shared_is_refused_and_nothing_happens(
    sharer: Client, world: World, wanted: dict[str, Any], answer: tuple[int, str]
) -> None:
    assert told(await sharer.ask("POST", SHARES, WEEK | wanted)) == answer
    assert world.rows.held == {}


async def test_who_may_not_share_is_refused_and_that_is_on_the_trail(reader: Client, world: World) -> None:
    assert told(await reader.ask("POST", SHARES, WEEK)) == (403, "no-grant")
    await world.ledger.flush()
    [row] = world.rows.trail
    refusal = row.record
    assert (refusal.event, refusal.reason, refusal.action) == (Event.REFUSAL, Reason.NO_GRANT, Action.SHARE)
    assert (refusal.archive, refusal.study) == ("main", CT)
    assert refusal.subject.startswith("key:")
    assert refusal.personal["address"] == "192.0.2.7"


async def test_a_key_does_not_exceed_its_ceiling(stranger: Client, world: World) -> None:
    narrow = world.key("sharer", ceiling=frozenset({Action.SEARCH}))
    answer = await stranger.ask("POST", SHARES, WEEK, bearer(narrow))
    assert told(answer) == (403, "ceiling")
    assert answer.headers["www-authenticate"] == 'Bearer realm="keyhole", error="insufficient_scope"'


# -- looking at shares


async def test_a_share_is_shown_without_its_link(sharer: Client) -> None:
    share = await shared(sharer)
    answer = await sharer.ask("GET", f"{SHARES}/{share['id']}")
    assert answer.json == {name: value for name, value in share.items() if name not in ("link", "passcode")}


async def test_the_link_is_shown_again_and_that_is_on_the_trail(sharer: Client, world: World) -> None:
    share = await shared(sharer)
    answer = await sharer.ask("GET", f"{SHARES}/{share['id']}/link")
    assert answer.json == {"link": share["link"]}
    assert world.rows.trail[-1].record.event is Event.LINK_SHOWN


async def test_shares_come_in_pages_newest_first(sharer: Client) -> None:
    ids = [(await shared(sharer))["id"] for _ in range(5)]
    seen: list[str] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        page = (await sharer.ask("GET", f"{SHARES}?limit=2" + (f"&after={after}" if after else ""))).json
        seen += [share["id"] for share in page["shares"]]
        after, pages = page["next"], pages + 1
    assert (seen, pages) == (ids[::-1], 3)


async def test_a_full_last_page_has_no_next(sharer: Client) -> None:
    await shared(sharer)
    assert (await sharer.ask("GET", f"{SHARES}?limit=1")).json["next"] is None


async def test_shares_are_listed_by_study(sharer: Client) -> None:
    await shared(sharer)
    other = await shared(sharer, studies=[OTHER])
    page = await sharer.ask("GET", f"{SHARES}?study={OTHER}")
    assert [share["id"] for share in page.json["shares"]] == [other["id"]]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=1000", "study=*", "after=x", "creator=anna", "limit=1&x=2"]
)
async def test_an_unclear_page_is_refused(sharer: Client, query: str) -> None:
    assert told(await sharer.ask("GET", f"{SHARES}?{query}")) == (422, "invalid")


async def test_a_share_that_is_not_there_and_one_that_is_not_mine_are_one_answer(
    sharer: Client, reader: Client
) -> None:
    share = await shared(sharer)
    foreign = await reader.ask("GET", f"{SHARES}/{share['id']}")
    absent = await sharer.ask("GET", f"{SHARES}/{UNKNOWN}")
    assert told(foreign) == told(absent) == (404, "not-found")
    assert foreign.json["detail"].replace(share["id"], UNKNOWN) == absent.json["detail"]


@pytest.mark.parametrize(("minutes", "state"), [(0, "not-yet"), (60, "open"), (7 * 24 * 60, "expired")])
async def test_whether_a_share_can_be_opened(sharer: Client, world: World, minutes: int, state: str) -> None:
    share = await shared(sharer, not_before="2026-03-01T13:00:00Z")
    world.now = NOW + timedelta(minutes=minutes)
    assert (await sharer.ask("GET", f"{SHARES}/{share['id']}")).json["state"] == state


async def test_a_share_whose_openings_are_used_up_says_so(sharer: Client, world: World) -> None:
    share = await shared(sharer, max_visits=1, force=True)
    world.rows.held[share["id"]] = replace(world.rows.held[share["id"]], visits=1)
    assert (await sharer.ask("GET", f"{SHARES}/{share['id']}")).json["state"] == "used-up"


async def test_the_timeline_tells_what_happened(sharer: Client, world: World) -> None:
    share = await shared(sharer)
    await world.rows.append(
        [
            Record(
                at=NOW,
                event=Event.COUNT,
                subject="visit:x",
                study=CT,
                share=share["id"],
                images=120,
                bytes=63_000_000,
                personal={"address": "198.51.100.9"},
            )
        ]
    )
    created, counted = (await sharer.ask("GET", f"{SHARES}/{share['id']}/timeline")).json["events"]
    assert created["event"] == "share-created"
    assert created["detail"]["max_visits"] == "unlimited"
    assert (counted["images"], counted["bytes"], counted["address"]) == (120, 63_000_000, "198.51.100.9")


# -- changing shares


async def test_a_share_is_renewed_in_one_step(sharer: Client) -> None:
    share = await shared(sharer, max_visits=1, force=True)
    answer = await sharer.ask(
        "PATCH", f"{SHARES}/{share['id']}", {"for": "14d", "more_visits": 2, "note": "again", "recipient": "Dr Doe"}
    )
    changed = answer.json
    assert (changed["expires_at"], changed["max_visits"]) == ("2026-03-15T12:00:00Z", 3)
    assert (changed["note"], changed["recipient"], changed["link"]) == ("again", "Dr Doe", None)


async def test_a_new_link_is_another_link(sharer: Client) -> None:
    share = await shared(sharer)
    changed = (await sharer.ask("PATCH", f"{SHARES}/{share['id']}", {"new_link": True})).json
    assert changed["link"] not in (None, share["link"])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"note": None},
        {"new_link": False},
        {"more_visits": -1},
        {"withdrawn_at": "2026-03-01T12:00:00Z"},
        {"for": ""},
    ],
)
async def test_a_change_of_no_known_form_changes_nothing(sharer: Client, world: World, change: dict[str, Any]) -> None:
    share = await shared(sharer)
    assert told(await sharer.ask("PATCH", f"{SHARES}/{share['id']}", change)) == (422, "invalid")
    assert len(world.rows.trail) == 1


async def test_a_share_is_withdrawn_once(sharer: Client, world: World) -> None:
    share = await shared(sharer)
    for _ in range(2):
        answer = await sharer.ask("DELETE", f"{SHARES}/{share['id']}")
        assert (answer.status, answer.body) == (204, b"")
    assert (await sharer.ask("GET", f"{SHARES}/{share['id']}")).json["state"] == "withdrawn"
    assert [row.record.event for row in world.rows.trail] == [Event.SHARE_CREATED, Event.SHARE_WITHDRAWN]


async def test_a_withdrawal_is_for_good(sharer: Client) -> None:
    share = await shared(sharer)
    await sharer.ask("DELETE", f"{SHARES}/{share['id']}")
    assert told(await sharer.ask("PATCH", f"{SHARES}/{share['id']}", {"for": "7d"})) == (422, "refused")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/link"), ("GET", "/timeline")],
)
async def test_nothing_can_be_done_to_a_share_that_is_not_there(sharer: Client, method: str, path: str) -> None:
    body = {"for": "7d"} if method == "PATCH" else None
    assert told(await sharer.ask(method, f"{SHARES}/{UNKNOWN}{path}", body)) == (404, "not-found")


# -- visits and studies


async def test_a_visit_is_prepared_for_a_minute(reader: Client) -> None:
    answer = await reader.ask("POST", "/api/v1/visits", {"studies": [CT, MR]})
    assert answer.status == 201
    assert answer.json["url"].startswith("https://images.example.org/o#")
    assert answer.json["expires_at"] == "2026-03-01T12:01:00Z"


async def test_a_visit_of_an_unknown_study_is_not_prepared(reader: Client, world: World) -> None:
    assert told(await reader.ask("POST", "/api/v1/visits", {"studies": ["5.5"]})) == (404, "not-found")
    assert world.rows.held_visits == {}


async def test_studies_are_found_in_plain_names(reader: Client) -> None:
    answer = await reader.ask("GET", f"/api/v1/studies?study={CT}&study={OTHER}")
    ct, other = answer.json["studies"]
    assert ct == {
        "study": CT,
        "date": "2026-02-14",
        "time": "10:15:00",
        "description": "Thorax",
        "modalities": ["CT", "SR"],
        "accession_number": None,
        "patient_name": "Doe^Jane",
        "patient_id": "Doe",
        "birth_date": None,
        "sex": None,
        "referring_physician": None,
        "series": 2,
        "images": 120,
    }
    assert other["date"] is None


async def test_a_search_becomes_a_query_of_the_standard(reader: Client, world: World) -> None:
    await reader.ask(
        "GET",
        "/api/v1/studies?patient_name=Doe*&modality=CT&since=2026-01-01&until=2026-12-31&description=a%26b&limit=5",
    )
    assert world.queries == [
        (
            b"includefield=00080090&includefield=00081030&includefield=00201206&includefield=00201208"
            b"&00100010=Doe*&00081030=a%26b&00080061=CT&00080020=20260101-20261231&limit=5&offset=0"
        )
    ]


@pytest.mark.parametrize(
    "query",
    [
        "patient=x",
        "patient_name=",
        "patient_name=a%5Cb",
        "study=*",
        "since=today",
        "since=1772366400",
        "limit=-1",
        "offset=x",
    ],
)
async def test_an_unclear_search_is_refused(reader: Client, query: str, world: World) -> None:
    assert told(await reader.ask("GET", f"/api/v1/studies?{query}")) == (422, "invalid")
    assert world.queries == []
