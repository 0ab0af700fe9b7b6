"""Who can reach a study, and through what: for auditors alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action, Resource
from keyhole.access.secret import new_secret
from keyhole.access.share import ShareChange
from keyhole.gateway import audit_desk
from keyhole.identity.role import ROLES
from keyhole.web import api
from tests.gateway.gate import DAY, HOUR, NOW, OK, SECOND, SERIES, Gate, Visitor, prepared
from tests.gateway.judging import decisions_of
from tests.web.staff.asking import told
from tests.web.staff.client import Client

WHO_CAN = f"/api/v1/studies/{OK}/who-can"


@dataclass
class Desk:
    gate: Gate
    client: Client

    async def found(self, query: str = "") -> dict[str, Any]:
        answer = await self.client.ask("GET", WHO_CAN + query)
        assert answer.status == 200, answer.body
        return answer.json  # type: ignore[no-any-return]

    async def shares(self, query: str = "") -> list[str]:
        return [share["id"] for share in (await self.found(query))["shares"]]


@pytest.fixture
async def desk() -> Desk:
    gate = Gate()
    app = api.staff(gate.desk, decisions_of(gate), gate.identity, gate.ledger.refuse, "main")
    return Desk(gate, Client(app, list((await gate.key("auditor")).items())))


async def staff_visit(gate: Gate, **more: Any) -> Visitor:
    code, secret = new_secret(), new_secret()
    record = Record(at=NOW, event=Event.VISIT_PREPARED, subject="user:anna")
    await gate.store.prepare_visit(prepared(code, NOW, **more), record)
    visit = await gate.store.redeem_visit(code.digest(), secret.digest(), NOW, NOW + 12 * HOUR, record)
    assert visit is not None
    return Visitor(visit, secret)


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_only_auditors_may_see_it(desk: Desk, role: str) -> None:
    answer = await desk.client.ask("GET", WHO_CAN, headers=list((await desk.gate.key(role)).items()))
    if role in {"auditor", "administrator"}:
        assert answer.status == 200
    else:
        assert told(answer) == (403, "ceiling")
        assert await desk.gate.trail(Event.GRANTS_READ) == []


async def test_nobody_can_where_nothing_was_granted(desk: Desk) -> None:
    found = await desk.found()
    assert (found["shares"], found["visits"], found["keys"]) == ([], [], [])


async def test_a_share_is_listed_with_its_cause_and_its_running_visits(desk: Desk) -> None:
    share = await desk.gate.share((OK, SERIES), max_visits=3, recipient="Dr Roe", note="for Monday")
    one, other = await desk.gate.open(share), await desk.gate.open(share)
    await desk.gate.store.end_visit(other.visit.id, NOW, Record(at=NOW, event=Event.VISIT_ENDED, subject="x"))
    [found] = (await desk.found())["shares"]
    assert (found["id"], found["state"], found["creator"]) == (share.id, "open", "user:anna")
    assert (found["recipient"], found["note"], found["visits_left"]) == ("Dr Roe", "for Monday", 1)
    assert found["series"] == [SERIES]
    assert [visit["id"] for visit in found["visits"]] == [one.visit.id]


async def test_what_does_not_reach_the_study_now_is_not_listed(desk: Desk) -> None:
    gate = desk.gate
    reaching = await gate.share((OK,), (SECOND,))
    await gate.share((SECOND,))
    await gate.share((OK,), archive="research")
    await gate.share((OK,), not_before=NOW + HOUR)
    await gate.share((OK,), expires_at=NOW)
    gone = await gate.share((OK,))
    record = Record(at=NOW, event=Event.SHARE_WITHDRAWN, subject="user:anna")
    await gate.store.change_share(gone.id, ShareChange(withdrawn_at=NOW), record)
    assert await desk.shares() == [reaching.id]
    assert await desk.shares("?action=download") == []
    assert await desk.shares("?action=store") == []


async def test_a_used_up_share_is_listed_for_its_visits(desk: Desk) -> None:
    visitor = await desk.gate.visitor((OK,), max_visits=1)
    [found] = (await desk.found())["shares"]
    assert (found["state"], found["visits_left"], len(found["visits"])) == ("used-up", 0, 1)
    assert found["visits"][0]["id"] == visitor.visit.id


async def test_an_idle_visit_is_none(desk: Desk) -> None:
    await desk.gate.visitor((OK,))
    desk.gate.after(timedelta(minutes=31))
    [found] = (await desk.found())["shares"]
    assert found["visits"] == []


async def test_shares_are_found_page_by_page_newest_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_desk, "_PAGE", 2)
    made = []
    for _ in range(5):
        made.append((await desk.gate.share((OK,))).id)
        desk.gate.after(timedelta(seconds=1))
    assert await desk.shares() == made[::-1]


async def test_keys_are_listed_that_may(desk: Desk) -> None:
    gate = desk.gate
    reader, _ = await gate.new_key("reader")
    await gate.new_key("uploader")
    await gate.new_key("reader", ceiling=frozenset({Action.SEARCH}))
    await gate.new_key("reader", expires_at=NOW)
    gone, _ = await gate.new_key("reader")
    await gate.store.revoke_key(gone.id, NOW, Record(at=NOW, event=Event.KEY_REVOKED, subject="x"))
    [found] = (await desk.found())["keys"]
    assert (found["id"], found["name"], found["roles"]) == (reader.id, "test", ["reader"])
    auditors = (await desk.found("?action=audit"))["keys"]
    assert [key["roles"] for key in auditors] == [["auditor"]]


async def test_images_that_staff_have_open_are_listed_while_they_are(desk: Desk) -> None:
    gate = desk.gate
    key, _ = await gate.new_key("sharer", expires_at=NOW + HOUR)
    open_visit = await staff_visit(gate, subject=key.principal)
    await staff_visit(gate, resources=(Resource.of("main", SECOND),))
    code = new_secret()
    await gate.store.prepare_visit(prepared(code, NOW), Record(at=NOW, event=Event.VISIT_PREPARED, subject="x"))
    found = (await desk.found())["visits"]
    assert [(visit["id"], visit["subject"]) for visit in found] == [(open_visit.visit.id, key.principal)]
    await gate.store.seen({open_visit.visit.id: NOW + HOUR})
    gate.after(HOUR)
    assert (await desk.found())["visits"] == []  # the key that made it is over


async def test_that_it_was_asked_is_on_the_trail_before_it_is_told(desk: Desk) -> None:
    await desk.found("?action=download")
    [row] = await desk.gate.trail(Event.GRANTS_READ)
    assert row.subject.startswith("key:")
    assert (row.archive, row.study, row.action) == ("main", OK, Action.AUDIT)
    assert (row.detail, row.personal) == ({"asked": "download"}, {"address": "192.0.2.7"})


@pytest.mark.parametrize("target", [f"{WHO_CAN}?action=look", f"{WHO_CAN}?x=1", "/api/v1/studies/x/who-can"])
async def test_what_is_unclear_is_refused(desk: Desk, target: str) -> None:
    assert told(await desk.client.ask("GET", target)) == (422, "invalid")


async def test_an_archive_that_is_none_is_told(desk: Desk) -> None:
    assert told(await desk.client.ask("GET", f"{WHO_CAN}?archive=elsewhere")) == (404, "not-found")


async def test_everybody_who_is_listed_is_let_in_and_nobody_else(desk: Desk) -> None:
    """The list is as the gateway decides."""
    gate = desk.gate
    visitors = [
        await gate.visitor((OK,)),
        await gate.visitor((SECOND,)),
        await gate.visitor((OK,), expires_at=NOW + DAY),
    ]
    gate.after(timedelta(minutes=10))
    listed = {visit["id"] for share in (await desk.found())["shares"] for visit in share["visits"]}
    for visitor in visitors:
        answer = await gate.get(visitor, f"/studies/{OK}/metadata")
        assert (answer.status == 200) is (visitor.visit.id in listed)
