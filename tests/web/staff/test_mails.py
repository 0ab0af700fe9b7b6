"""A link mailed through the API, and what its sender sees of the mails of a share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keyhole.access.decision import Event
from keyhole.access.mail import MailKind
from keyhole.gateway.policy import Policy
from keyhole.gateway.post.fate import dropped
from keyhole.web import api
from tests.web.staff.asking import SHARES, UNKNOWN, bearer, shared, told
from tests.web.staff.client import Client
from tests.web.staff.world import NOW, World


async def test_a_link_waits_to_be_mailed_to_the_recipient(world: World, sharer: Client) -> None:
    share = await shared(sharer, mail_to="Roe@Praxis.example", language="de")
    answer = await sharer.ask("POST", f"{SHARES}/{share['id']}/mails", {})
    assert answer.status == 202
    [mail] = world.rows.held_mails
    assert (mail.kind, mail.to, mail.generation, mail.language) == (MailKind.LINK, "Roe@praxis.example", 1, "de")
    assert answer.json == {
        "id": mail.id,
        "share": share["id"],
        "state": "waiting",
        "kind": "link",
        "to": "Roe@praxis.example",
        "created_at": "2026-03-01T12:00:00Z",
        "due_at": "2026-03-01T12:00:00Z",
        "tries": 0,
        "sent_at": None,
        "failed_at": None,
        "problem": None,
    }
    assert share["link"].partition("#")[2] not in str(world.rows.held_mails), "no secret waits in the database"


async def test_that_it_was_asked_for_is_on_the_trail_with_whom_it_goes_to(world: World, sharer: Client) -> None:
    share = await shared(sharer)
    await sharer.ask("POST", f"{SHARES}/{share['id']}/mails", {"to": "roe@praxis.example"})
    record = world.rows.trail[-1].record
    assert (record.event, record.share, record.detail["form"]) == (Event.LINK_SHOWN, share["id"], "mail")
    assert record.personal["mail_to"] == "roe@praxis.example"
    assert "praxis" not in str(record.detail)


async def test_its_sender_sees_how_far_each_mail_has_come(world: World, sharer: Client) -> None:
    share = await shared(sharer, mail_to="roe@praxis.example")
    for _ in range(4):
        await sharer.ask("POST", f"{SHARES}/{share['id']}/mails", {})
    held = world.rows.held_mails
    held[0] = replace(held[0], sent_at=NOW, tries=1)
    held[1] = replace(held[1], failed_at=NOW, tries=1, problem="the mail server did not take the mail")
    held[2] = replace(held[2], failed_at=NOW, problem=dropped("the share was withdrawn"))
    answer = await sharer.ask("GET", f"{SHARES}/{share['id']}/mails")
    assert [mail["state"] for mail in answer.json["mails"]] == ["sent", "failed", "dropped", "waiting"]
    assert answer.json["mails"][1]["problem"] == "the mail server did not take the mail"


async def test_without_a_mail_server_the_setting_is_named_and_nothing_is_kept(world: World, sharer: Client) -> None:
    share = await shared(sharer, mail_to="roe@praxis.example")
    world.policy = Policy(mails=False)
    sharer = replace(sharer, app=_again(world))
    answer = await sharer.ask("POST", f"{SHARES}/{share['id']}/mails", {})
    assert told(answer) == (422, "refused")
    assert "KEYHOLE_SMTP_HOST" in answer.json["detail"]
    assert world.rows.held_mails == []


async def test_mail_goes_only_where_it_may(world: World, sharer: Client) -> None:
    share = await shared(sharer)
    world.policy = Policy(mail_domains=frozenset({"praxis.example"}))
    sharer = replace(sharer, app=_again(world))
    path = f"{SHARES}/{share['id']}/mails"
    assert (await sharer.ask("POST", path, {"to": "a@praxis.example"})).status == 202
    for elsewhere in ("a@evil.example", "a@praxis.example.evil.example", "a@sub.praxis.example"):
        answer = await sharer.ask("POST", path, {"to": elsewhere})
        assert told(answer) == (422, "refused")
        assert "praxis.example only" in answer.json["detail"]
    assert len(world.rows.held_mails) == 1


@pytest.mark.parametrize(
    "to", ["nobody", "a@b@c", "a@b.example\r\nBcc: x@evil.example", "Dr <a@b.example>", "a@b.example,c@d.example"]
)
async def test_what_is_no_address_gets_nothing(world: World, sharer: Client, to: str) -> None:
    share = await shared(sharer)
    answer = await sharer.ask("POST", f"{SHARES}/{share['id']}/mails", {"to": to})
    assert answer.status == 422
    assert "evil" not in answer.body.decode()
    assert world.rows.held_mails == []


async def test_a_share_without_a_recipient_needs_an_address(world: World, sharer: Client) -> None:
    share = await shared(sharer)
    answer = await sharer.ask("POST", f"{SHARES}/{share['id']}/mails", {})
    assert told(answer) == (422, "refused")
    assert "nobody to mail to" in answer.json["detail"]


async def test_a_link_that_opens_nothing_is_not_mailed(world: World, sharer: Client) -> None:
    share = await shared(sharer, mail_to="roe@praxis.example")
    await sharer.ask("DELETE", f"{SHARES}/{share['id']}")
    answer = await sharer.ask("POST", f"{SHARES}/{share['id']}/mails", {})
    assert told(answer) == (422, "refused")
    assert "withdrawn" in answer.json["detail"]


async def test_only_so_many_links_are_mailed_by_one_sender(world: World, sharer: Client) -> None:
    share = await shared(sharer, mail_to="roe@praxis.example")
    answers = [await sharer.ask("POST", f"{SHARES}/{share['id']}/mails", {}) for _ in range(31)]
    assert [answer.status for answer in answers] == [202] * 30 + [429]
    assert answers[-1].headers["retry-after"] == "20"
    other = replace(sharer, headers=bearer(world.key("sharer")))
    theirs = await shared(other, mail_to="roe@praxis.example")
    assert (await other.ask("POST", f"{SHARES}/{theirs['id']}/mails", {})).status == 202


async def test_who_may_not_share_the_study_neither_mails_nor_sees_anything(
    world: World, sharer: Client, reader: Client
) -> None:
    share = await shared(sharer, mail_to="roe@praxis.example")
    for method in ("GET", "POST"):
        answers = [
            await reader.ask(method, f"{SHARES}/{name}/mails", {} if method == "POST" else None)
            for name in (share["id"], UNKNOWN)
        ]
        assert [told(answer) for answer in answers] == [(404, "not-found")] * 2, "as if there were no such share"
    assert world.rows.held_mails == []


def _again(world: World) -> Any:
    return api.staff(world.desk, world.decisions, world, lambda _: None, "main")
