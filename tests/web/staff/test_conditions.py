"""Conditions, patients and openings through the staff API: what is answered once, and what never."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from typing import Any

import pytest

from keyhole.access.condition import Conditions
from keyhole.access.decision import Event, Record
from keyhole.access.mail import Mail, MailKind
from keyhole.access.resource import Action
from keyhole.gateway.passcode import Passcodes
from keyhole.gateway.policy import Policy, Required
from keyhole.web import api
from tests.web.staff import world as staff_world
from tests.web.staff.asking import SHARES, WEEK, bearer, shared, told
from tests.web.staff.client import Client
from tests.web.staff.world import CT, MR, NOW, World

WORDS = "winter garden"
GENERATED = re.compile(r"[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{2}")


def sharer_of(world: World) -> Client:
    client = Client(api.staff(world.desk, world.decisions, world, lambda _: None, "main"))
    return replace(client, headers=bearer(world.key("sharer")))


@pytest.fixture
def born(monkeypatch: pytest.MonkeyPatch) -> str:
    """The birth date of everybody in the archive."""
    items = [{**item, "00100030": {"vr": "DA", "Value": ["19850214"]}} for item in staff_world.ARCHIVE]
    monkeypatch.setattr(staff_world, "ARCHIVE", items)
    return "19850214"


async def test_a_generated_passcode_is_answered_once_and_only_there(sharer: Client, world: World) -> None:
    share = await shared(sharer, passcode="generate")
    made = share["passcode"]
    assert GENERATED.fullmatch(made)
    kept = world.rows.held[share["id"]].conditions.passcode
    assert kept is not None
    assert await Passcodes().right(kept, made.lower())
    path = f"{SHARES}/{share['id']}"
    for target in (path, f"{path}/link", f"{path}/timeline", f"{path}/visits", f"{path}/mails", SHARES):
        answer = await sharer.ask("GET", target)
        assert answer.status == 200
        assert not [
            secret for secret in (made, made.replace("-", ""), "argon2", kept) if secret in answer.body.decode()
        ]


async def test_a_chosen_passcode_is_never_answered(
    sharer: Client, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    share = await shared(sharer, passcode=WORDS)
    assert share["passcode"] is None
    assert share["conditions"] == ["passcode"]
    changed = await sharer.ask("PATCH", f"{SHARES}/{share['id']}", {"passcode": "other words", "note": "x"})
    assert changed.json["passcode"] is None
    refused = await sharer.ask("POST", SHARES, WEEK | {"passcode": WORDS, "for": "999d"})
    said = json.dumps(share) + changed.body.decode() + refused.body.decode() + caplog.text + repr(world.rows.trail)
    assert WORDS not in said
    assert "other words" not in said


async def test_a_passcode_is_not_echoed_by_what_is_wrong_beside_it(sharer: Client) -> None:
    for wanted in (WEEK | {"passcode": WORDS, "x": 1}, WEEK | {"passcode": [WORDS]}, WEEK | {"passcode": WORDS * 99}):
        answer = await sharer.ask("POST", SHARES, wanted)
        assert told(answer) == (422, "invalid")
        assert WORDS.encode() not in answer.body


async def test_a_passcode_is_made_for_a_share_that_is_changed(sharer: Client, world: World) -> None:
    share = await shared(sharer)
    changed = (await sharer.ask("PATCH", f"{SHARES}/{share['id']}", {"passcode": "generate"})).json
    assert GENERATED.fullmatch(changed["passcode"])
    assert (changed["conditions"], changed["link"]) == (["passcode"], None)


async def test_the_birth_date_is_asked_and_never_told(sharer: Client, world: World, born: str) -> None:
    share = await shared(sharer, birth_date=True, passcode="generate")
    assert share["conditions"] == ["passcode", "birth-date"]
    everything = [await sharer.ask("GET", f"{SHARES}/{share['id']}{part}") for part in ("", "/timeline", "/visits")]
    assert not [answer for answer in everything if born in answer.body.decode() or "1985" in answer.body.decode()]
    assert born not in repr(world.rows.trail)


async def test_why_the_birth_date_cannot_be_asked_is_told_plainly(sharer: Client) -> None:
    answer = await sharer.ask("POST", SHARES, WEEK | {"birth_date": True})
    assert told(answer) == (422, "refused")
    why = f"that of study {CT} is missing, incomplete or a placeholder"
    assert answer.json["detail"] == f"the birth date cannot be asked for: {why}"


@pytest.mark.parametrize(
    ("required", "fields", "words"),
    [
        ("any", ["passcode", "birth_date", "mail_code"], "one of these is needed"),
        ("birth-date,terms", ["birth_date", "terms"], "is needed"),
    ],
)
async def test_a_link_without_what_links_need_is_refused_and_says_what_is_missing(
    required: str, fields: list[str], words: str
) -> None:
    world = World(policy=Policy(required=Required.parse(required), terms=True))
    answer = await sharer_of(world).ask("POST", SHARES, WEEK)
    assert told(answer) == (422, "conditions-needed")
    assert answer.json["errors"] == [{"field": field, "problem": words} for field in fields]
    assert world.rows.held == {}


async def test_a_program_gets_the_safe_way_by_one_word() -> None:
    world = World(policy=Policy(required=Required.parse("any")))
    sharer = sharer_of(world)
    share = await shared(sharer, passcode="generate", max_visits=1)
    assert GENERATED.fullmatch(share["passcode"])
    for change in ({"for": "14d"}, {"more_visits": 1}, {"new_link": True}):
        assert (await sharer.ask("PATCH", f"{SHARES}/{share['id']}", change)).status == 200


async def test_force_is_for_openings_that_are_counted_and_nothing_else(sharer: Client) -> None:
    assert (await shared(sharer, max_visits=1, force=True))["max_visits"] == 1
    strict = sharer_of(World(policy=Policy(required=Required.parse("any"))))
    assert told(await strict.ask("POST", SHARES, WEEK | {"max_visits": 1, "force": True})) == (422, "conditions-needed")


async def test_a_share_needs_an_end_unless_there_is_a_usual_one(sharer: Client) -> None:
    answer = await sharer.ask("POST", SHARES, {"studies": [CT]})
    assert (told(answer), answer.json["detail"]) == ((422, "refused"), "a share needs an end")
    usual = sharer_of(World(policy=Policy(lasts=staff_world.timedelta(days=3))))
    share = await usual.ask("POST", SHARES, {"studies": [CT]})
    assert share.json["expires_at"] == "2026-03-04T12:00:00Z"


async def test_who_may_not_share_learns_neither_policy_nor_birth_date() -> None:
    world = World(policy=Policy(required=Required.parse("any")))
    reader = replace(sharer_of(world), headers=bearer(world.key("reader")))
    for more in ({}, {"birth_date": True}, {"passcode": "generate"}, {"max_visits": 1}):
        assert told(await reader.ask("POST", SHARES, WEEK | more)) == (403, "no-grant")
    named = {"for": "7d", "patient": {"id": "Doe"}}
    assert told(await reader.ask("POST", SHARES, named)) == (403, "no-grant")
    assert world.queries == []


# -- patients


async def test_a_patient_is_shared_and_named_in_no_answer_of_ours(sharer: Client, world: World) -> None:
    wanted = {"for": "7d", "patient": {"id": "Doe", "issuer": ""}}
    answer = await sharer.ask("POST", SHARES, wanted)
    assert answer.status == 201
    assert [resource["study"] for resource in answer.json["resources"]] == [CT, MR]
    assert answer.json["priors"] == "present"
    assert "Doe" not in answer.body.decode()
    [row] = world.rows.trail
    assert "Doe" not in repr(replace(row.record, personal={}))
    timeline = await sharer.ask("GET", f"{SHARES}/{answer.json['id']}/timeline")
    assert "Doe" not in timeline.body.decode()


async def test_priors_come_with_a_study_when_that_is_said(sharer: Client) -> None:
    assert [node["study"] for node in (await shared(sharer, studies=[MR], priors="present"))["resources"]] == [MR, CT]
    future = await shared(sharer, studies=[MR], priors="future")
    assert future["priors"] == "future"
    assert (await shared(sharer))["priors"] == "none"


@pytest.mark.parametrize(
    ("patient", "priors"), [({"id": "doe"}, None), ({"id": "Doe", "issuer": "X"}, None), ({"id": "Doe"}, "none")]
)
async def test_a_patient_who_is_not_there_is_refused_without_being_named(
    sharer: Client, world: World, patient: dict[str, str], priors: str | None
) -> None:
    more = {"priors": priors} if priors else {}
    answer = await sharer.ask("POST", SHARES, {"for": "7d", "patient": patient, **more})
    assert told(answer) == (422, "refused")
    assert patient["id"] not in answer.body.decode().replace("PatientID", "")
    assert world.rows.held == {}


async def test_a_patient_in_an_address_is_refused(sharer: Client, world: World) -> None:
    assert told(await sharer.ask("GET", f"{SHARES}?patient=Doe")) == (422, "invalid")


# -- what the sender sees


async def seen(world: World, share: str) -> None:
    """Somebody opened *share* twice, looked, and downloaded."""
    here: dict[str, Any] = {"at": NOW, "share": share, "archive": "main"}
    one: dict[str, Any] = {"subject": "visit:one", "visit": "one", "study": CT, **here}
    left: dict[str, Any] = {**one, "event": Event.COUNT}
    whence = {"address": "198.51.100.9", "agent": "phone"}
    await world.rows.append(
        [
            Record(event=Event.VISIT_BEGUN, subject="visit:one", visit="one", personal=whence, **here),
            Record(event=Event.ACCESS, action=Action.RETRIEVE, **one),
            Record(action=Action.RETRIEVE, images=100, bytes=5000, **left),
            Record(action=Action.RENDER, images=20, bytes=1000, **left),
            Record(action=Action.SEARCH, bytes=77, **left),
            Record(event=Event.ACCESS, action=Action.DOWNLOAD, **{**one, "study": MR}),
            Record(event=Event.EXPORT, action=Action.DOWNLOAD, **one),
            Record(action=Action.DOWNLOAD, images=3, bytes=9000, **left),
            Record(event=Event.VISIT_BEGUN, subject="visit:two", visit="two", **here),
            Record(event=Event.VISIT_ENDED, subject="visit:one", visit="one", **here),
            Record(event=Event.COUNT, subject="key:x", study=CT, action=Action.RETRIEVE, images=9, **here),
        ]
    )


async def test_each_opening_tells_when_from_where_and_what_was_looked_at_and_downloaded(
    sharer: Client, world: World
) -> None:
    share = await shared(sharer, recipient="Dr Roe")
    await seen(world, share["id"])
    first, second = (await sharer.ask("GET", f"{SHARES}/{share['id']}/visits")).json["openings"]
    assert first == {
        "visit": "one",
        "at": "2026-03-01T12:00:00Z",
        "ended_at": "2026-03-01T12:00:00Z",
        "address": "198.51.100.9",
        "agent": "phone",
        "recipient": "Dr Roe",
        "looked_at": [{"study": CT, "images": 120, "bytes": 6000}],
        "downloaded": [{"study": CT, "images": 3, "bytes": 9000}],
        "erased": False,
    }
    assert (second["visit"], second["looked_at"], second["downloaded"]) == ("two", [], [])
    assert (second["address"], second["ended_at"]) == (None, None)


async def test_wrong_answers_and_the_lock_are_told(sharer: Client, world: World) -> None:
    share = await shared(sharer, passcode=WORDS)
    held = world.rows.held[share["id"]]
    world.rows.held[share["id"]] = replace(held, attempts=7, passed=2, locked_at=NOW)
    shown = (await sharer.ask("GET", f"{SHARES}/{share['id']}")).json
    assert (shown["state"], shown["wrong_answers"], shown["locked_at"]) == ("locked", 5, "2026-03-01T12:00:00Z")
    [listed] = (await sharer.ask("GET", SHARES)).json["shares"]
    assert listed["state"] == "locked"


async def test_mails_that_failed_are_told_with_why(sharer: Client, world: World) -> None:
    share = await shared(sharer, notify="s@example.org")
    failed = Mail(
        id="m" * 16,
        share=share["id"],
        generation=1,
        kind=MailKind.LINK,
        to="jane@example.org",
        created_at=NOW,
        due_at=NOW,
        give_up_at=NOW,
        tries=3,
        failed_at=NOW,
        problem="mailbox unavailable",
    )
    world.rows.held_mails.append(failed)
    ending, link = (await sharer.ask("GET", f"{SHARES}/{share['id']}/mails")).json["mails"]
    assert (ending["kind"], ending["to"], ending["sent_at"]) == ("ending", "s@example.org", None)
    assert (link["kind"], link["tries"], link["problem"]) == ("link", 3, "mailbox unavailable")


@pytest.mark.parametrize("part", ["visits", "mails"])
async def test_openings_and_mails_are_for_who_may_see_the_share(sharer: Client, reader: Client, part: str) -> None:
    share = await shared(sharer)
    assert told(await reader.ask("GET", f"{SHARES}/{share['id']}/{part}")) == (404, "not-found")
    assert told(await sharer.ask("GET", f"{SHARES}/{'a' * 16}/{part}")) == (404, "not-found")


async def test_who_may_not_give_cannot_ask_more(sharer: Client, stranger: Client, world: World) -> None:
    share = await shared(sharer)
    blind = world.key("sharer", ceiling=frozenset({Action.SEARCH, Action.SHARE}))
    for change in ({"passcode": "generate"}, {"terms": True}, {"new_link": True, "passcode": WORDS}):
        answer = await stranger.ask("PATCH", f"{SHARES}/{share['id']}", change, bearer(blind))
        assert told(answer) == (403, "ceiling")
    assert world.rows.held[share["id"]].conditions == Conditions()
