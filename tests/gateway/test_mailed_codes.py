"""Codes by mail: for one link, one browser, ten minutes and one opening."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from keyhole.access.condition import ConditionName
from keyhole.access.decision import Deny, Event, Reason
from keyhole.access.mail import MailKind
from keyhole.gateway.attempts import Asking
from keyhole.gateway.opening import CodeSent, Needed, Opened, Wait, Wrong
from tests.gateway.asked import Person, asking, kept, share, somebody
from tests.gateway.gate import HOUR, OPERATOR, Gate

MINUTE = timedelta(minutes=1)


@pytest.fixture
def gate() -> Gate:
    return Gate(asking=asking())


class TestMailedCodes:
    async def test_are_queued_for_the_recipient_and_told_to_nobody_else(self, gate: Gate) -> None:
        person = Person(gate, await share(gate, "mail-code"))
        sent = await person.ask_for_code()
        assert (sent.mail_to, sent.ends_at) == ("m•••@example.org", gate.now + 10 * MINUTE)
        [mail] = await gate.store.mails(person.link.id)
        assert (mail.kind, mail.to, mail.give_up_at) == (MailKind.CODE, "maria@example.org", sent.ends_at)
        [row] = await gate.trail(Event.CODE_ASKED)
        assert "maria" not in repr(row)

    async def test_last_ten_minutes(self, gate: Gate) -> None:
        person = await somebody(gate, "mail-code")
        gate.after(10 * MINUTE)
        assert await person.answer() == Wrong(4)

    async def test_open_once(self, gate: Gate) -> None:
        person = await somebody(gate, "mail-code")
        assert isinstance(await person.answer(), Opened)
        assert await person.answer() == Wrong(4)

    async def test_open_once_however_many_try_at_once(self, gate: Gate) -> None:
        person = await somebody(gate, "mail-code")
        told = await asyncio.gather(*(person.answer() for _ in range(5)))
        assert sum(isinstance(one, Opened) for one in told) == 1
        assert sorted(gate.answers) == ["right", *["wrong"] * 4], "each counted once"
        assert (await kept(gate, person.link)).visits == 1

    async def test_open_nothing_in_another_browser(self, gate: Gate) -> None:
        person = await somebody(gate, "mail-code")
        assert await person.answer(ticket="b" * 32) == Wrong(4)
        assert await person.answer(ticket=None) == Needed((ConditionName.MAIL_CODE,))

    async def test_of_before_open_nothing_once_there_is_a_new_one(self, gate: Gate) -> None:
        person = await somebody(gate, "mail-code")
        old = await person.mailed()
        await person.ask_for_code()
        assert old != await person.mailed()
        assert await person.answer(mail_code=old) == Wrong(4)
        assert isinstance(await person.answer(), Opened)

    async def test_anew_give_no_tries_back(self, gate: Gate) -> None:
        person = await somebody(gate, "mail-code", "passcode")
        for left in (4, 3, 2, 1, 0):
            assert await person.answer(passcode="wrong horse") == Wrong(left)
            if left:
                gate.after(15 * MINUTE)
                assert isinstance(await person.ask_for_code(), CodeSent)
        assert await person.ask_for_code() == Deny(Reason.LOCKED)

    async def test_of_a_link_open_nothing_after_a_new_link(self, gate: Gate) -> None:
        person = await somebody(gate, "mail-code")
        digits = await person.mailed()
        person.link = await gate.desk.change_share(OPERATOR, person.link.id, gate.desk.new_link())
        assert await person.answer(mail_code=digits) == Wrong(4)

    async def test_are_three_in_a_quarter_of_an_hour_and_ten_a_day(self, gate: Gate) -> None:
        person, begun = Person(gate, await share(gate, "mail-code", expires_at=gate.now + 72 * HOUR)), gate.now
        sent = [await person.ask_for_code() for _ in range(4)]
        assert [isinstance(one, CodeSent) for one in sent] == [True, True, True, False]
        assert sent[3] == Wait(15 * MINUTE)
        times = []
        while gate.now < begun + 48 * HOUR:
            gate.after(5 * MINUTE)
            if isinstance(await person.ask_for_code(), CodeSent):
                times.append(gate.now)
        times = [begun, begun, begun, *times]
        assert max(sum(one <= other < one + 24 * HOUR for other in times) for one in times) <= 10
        assert max(sum(one <= other < one + 15 * MINUTE for other in times) for one in times) <= 3
        assert len(times) >= 12

    async def test_to_one_address_are_limited_over_all_its_links(self, gate: Gate) -> None:
        links = [await share(gate, "mail-code") for _ in range(4)]
        sent = [await Person(gate, link).ask_for_code() for link in links]
        assert [isinstance(one, CodeSent) for one in sent] == [True, True, True, False]
        assert isinstance(
            await Person(gate, await share(gate, "mail-code", mail_to="b@b.example")).ask_for_code(), CodeSent
        )

    async def test_that_a_link_does_not_ask_for_are_not_sent(self, gate: Gate) -> None:
        person = Person(gate, await share(gate, "passcode"))
        assert await person.ask_for_code() == Deny(Reason.NOT_THERE)
        assert await gate.store.mails(person.link.id) == []

    async def test_are_not_asked_for_where_no_mail_is_sent(self) -> None:
        gate = Gate(asking=Asking())
        person = Person(gate, await share(gate, "mail-code"))
        off = Deny(Reason.MAIL_OFF)
        assert [await person.looks(), await person.ask_for_code(), await person.answer()] == [off, off, off]
        assert (await kept(gate, person.link)).attempts == 0
