"""The queue of mail: each mail leaves once, on record before, however the server behaves, or is kept with why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from keyhole.access.decision import Event, Record
from keyhole.access.mail import Mail, MailCode
from keyhole.access.share import Share, ShareChange
from keyhole.errors import MailFailed, MailRefused, StoreFailed
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.post.fate import MailState, state
from keyhole.gateway.post.queue import PACE, Pace, Queue
from keyhole.gateway.post.rows import code_mail, link_mail, opened_mail
from keyhole.sharing.link import KeyRing
from keyhole.store.memory import MemoryStore
from keyhole.store.trail import TrailQuery
from tests.gateway.post.makers import NOW, a_share, a_writer

MADE = Record(at=NOW, event=Event.SHARE_CREATED, subject="user:anna")
MINUTE = timedelta(minutes=1)
QUICK = replace(PACE, look=0.005)


@dataclass
class Rows(MemoryStore):
    """A store that can be lost, for some of what it does."""

    lost: set[str] = field(default_factory=set)
    claims: int = 0

    def __init__(self) -> None:
        super().__init__()
        self.lost, self.claims = set(), 0

    async def claim_mails(self, now: datetime, until: datetime, limit: int) -> Sequence[Mail]:
        self.claims += 1
        self._there("claim")
        return await super().claim_mails(now, until, limit)

    async def settle_mail(self, mail: Mail, record: Record | None = None) -> None:
        self._there("settle")
        await super().settle_mail(mail, record)

    async def append(self, records: Sequence[Record]) -> None:
        self._there("append")
        await super().append(records)

    def _there(self, what: str) -> None:
        if what in self.lost:
            raise StoreFailed("the disk is full")


@dataclass
class Office:
    """A queue with a clock that is set and a post that does as it is told."""

    pace: Pace = QUICK
    now: datetime = NOW
    answer: Exception | None = None
    before: Callable[[], None] = lambda: None
    open: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[EmailMessage] = field(default_factory=list)
    under_way: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.store = Rows()
        self.open.set()
        self.queue = self.another()

    def another(self) -> Queue:
        """One more process over the same rows."""
        ledger = Ledger(self.store, self.clock)
        return Queue(
            store=self.store, ledger=ledger, writer=a_writer(), post=self, now=self.clock, pace=self.pace
        )  # fmt: skip

    def clock(self) -> datetime:
        return self.now

    async def send(self, message: EmailMessage) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            self.before()
            await self.open.wait()
            await asyncio.sleep(0)
            if self.answer is not None:
                raise self.answer
            self.sent.append(message)
        finally:
            self.under_way -= 1

    async def post(self, share: Share, *mails: Mail) -> None:
        await self.store.add_share(share, MADE, mails)

    async def link(self, **changes: Any) -> Mail:
        share = a_share(**changes)
        mail = link_mail(share, self.now)
        await self.post(share, mail)
        return mail

    async def kept(self, mail: Mail) -> Mail:
        return next(each for each in await self.store.mails(mail.share) if each.id == mail.id)

    @asynccontextmanager
    async def running(self, *queues: Queue) -> Any:
        tasks = [asyncio.create_task(queue.run()) for queue in queues or (self.queue,)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, done: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while True:
                result = done()
                if await result if asyncio.iscoroutine(result) else result:
                    return
                await asyncio.sleep(0.002)

    async def looked(self) -> None:
        """The queue has looked again, twice, and nothing is under way."""
        before = self.store.claims
        await self.until(lambda: self.store.claims >= before + 2 and not self.under_way)

    async def records(self, *events: Event) -> list[Record]:
        return [row.record for row in await self.store.trail(TrailQuery()) if row.record.event in events]


@pytest.fixture
async def office() -> Office:
    return Office()


async def test_a_mail_leaves_once_and_is_on_record_before(office: Office) -> None:
    mail = await office.link()
    recorded: list[str] = []
    append = office.store.append

    async def append_and_tell(records: Sequence[Record]) -> None:
        await append(records)
        recorded.append("recorded")

    office.store.append = append_and_tell  # type: ignore[method-assign]
    office.before = lambda: recorded.append("handed over")
    async with office.running():
        await office.until(lambda: office.sent)
        await office.looked()
    assert recorded == ["recorded", "handed over"]
    [message] = office.sent
    assert message["To"] == "roe@praxis.example"
    kept = await office.kept(mail)
    assert (state(kept), kept.tries, kept.problem) == (MailState.SENT, 1, None)
    [record] = await office.records(Event.MAIL_SENT)
    assert (record.subject, record.share, record.detail["mail"]) == ("keyhole", mail.share, "link")
    assert record.personal == {"recipient": "roe@praxis.example"}
    assert "praxis" not in str(record.detail), "nothing about a person is in the chain"


async def test_while_the_trail_cannot_be_written_no_mail_leaves(office: Office) -> None:
    mail = await office.link()
    office.store.lost = {"append"}
    async with office.running():
        await office.looked()
        assert office.sent == []
        assert state(await office.kept(mail)) is MailState.WAITING
        office.store.lost = set()
        office.now += PACE.claim
        await office.until(lambda: office.sent)
    assert len(office.sent) == 1


async def test_a_mail_that_is_not_taken_is_tried_again_later_and_later(office: Office) -> None:
    mail = await office.link()
    office.answer = MailFailed("the mail server did not take the mail: it cannot be reached")
    waits = []
    async with office.running():
        for _ in range(6):
            await office.looked()
            kept = await office.kept(mail)
            assert (state(kept), kept.problem) == (MailState.WAITING, str(office.answer))
            waits.append((kept.due_at - office.now) / MINUTE)
            office.now = kept.due_at
        office.answer = None
        await office.until(lambda: office.sent)
        await office.looked()
    for wait, least in zip(waits, (1, 5, 15, 60, 60, 60), strict=True):
        assert least <= wait <= least * 1.2
    assert (await office.kept(mail)).problem is None
    assert len(await office.records(Event.MAIL_SENT)) == 7, "each time it might have left"
    [failure, *_] = await office.records(Event.FAILURE)
    assert failure.detail["what"] == "the mail server did not take the mail: it cannot be reached"


async def test_what_is_refused_for_good_fails_at_once(office: Office) -> None:
    mail = await office.link()
    office.answer = MailRefused("the mail server did not take the mail: it refuses the recipient (550)")
    async with office.running():
        await office.until(office.store.failed_mails)
        office.now += timedelta(days=1)
        await office.looked()
    kept = await office.kept(mail)
    assert (state(kept), kept.tries, kept.problem) == (MailState.FAILED, 1, str(office.answer))
    [failure] = await office.records(Event.FAILURE)
    assert failure.detail["given_up"] == "yes"


async def test_a_mail_is_given_up_when_its_time_is_over(office: Office) -> None:
    mail = await office.link(expires_at=NOW + timedelta(days=30))
    office.answer = MailFailed("it cannot be reached")
    async with office.running():
        while state(kept := await office.kept(mail)) is MailState.WAITING:
            office.now = max(office.now, kept.due_at)
            await office.looked()
    assert kept.problem == "it cannot be reached"
    assert NOW + timedelta(hours=22) < (kept.failed_at or NOW) < NOW + timedelta(hours=24)


async def test_what_nobody_could_send_in_its_time_is_not_sent_late(office: Office) -> None:
    mail = await office.link(expires_at=NOW + timedelta(days=30))
    office.now += timedelta(hours=24)
    async with office.running():
        await office.until(office.store.failed_mails)
    kept = await office.kept(mail)
    assert (office.sent, kept.problem) == ([], "it could not be sent in its time")


async def test_a_code_is_not_sent_after_its_end(office: Office) -> None:
    share = a_share()
    await office.post(share)
    ends = NOW + timedelta(minutes=10)
    code = MailCode(share=share.id, generation=1, nonce="n", ticket=b"t" * 32, created_at=NOW, ends_at=ends)
    mail = code_mail(share, "n", NOW, ends)
    await office.store.add_code(code, mail, (), MADE)
    office.now = ends
    async with office.running():
        await office.until(office.store.failed_mails)
    assert office.sent == []


async def test_what_is_not_so_any_more_is_dropped_and_says_why(office: Office) -> None:
    mail = await office.link()
    await office.store.change_share(mail.share, ShareChange(withdrawn_at=NOW), MADE)
    async with office.running():
        await office.until(office.store.failed_mails)
    kept = await office.kept(mail)
    assert (office.sent, state(kept), kept.problem) == ([], MailState.DROPPED, "dropped: the share was withdrawn")
    assert await office.records(Event.MAIL_SENT, Event.FAILURE) == []


async def test_a_link_whose_key_has_left_the_ring_is_dropped(office: Office) -> None:
    mail = await office.link(key_id=KeyRing.new().current)
    async with office.running():
        await office.until(office.store.failed_mails)
    assert state(await office.kept(mail)) is MailState.DROPPED


async def test_mail_goes_only_where_it_may_whatever_was_kept_before(office: Office) -> None:
    office.queue = replace(office.queue, domains=frozenset({"praxis.example"}))
    there, elsewhere = await office.link(), await office.link(mail_to="roe@evil.example")
    broken = await office.link(mail_to="roe@praxis.example\r\nBcc: x@evil.example")
    async with office.running():
        await office.until(lambda: _is(office, there, MailState.SENT))
        await office.until(lambda: _is(office, broken, MailState.FAILED))
        await office.until(lambda: _is(office, elsewhere, MailState.FAILED))
    [message] = office.sent
    assert message["To"] == "roe@praxis.example"


async def test_several_processes_send_each_mail_once(office: Office) -> None:
    for _ in range(100):
        await office.link()
    others = [office.another() for _ in range(3)]
    async with office.running(office.queue, *others):
        await office.until(lambda: len(office.sent) >= 100)
        await office.looked()
    assert len({message["Message-ID"] for message in office.sent}) == len(office.sent) == 100


async def test_no_more_are_under_way_at_a_time_than_allowed(office: Office) -> None:
    for _ in range(20):
        await office.link()
    office.open.clear()
    async with office.running():
        await office.until(lambda: office.under_way == PACE.at_once)
        assert office.store.claims < 20, "who is busy does not look for more"
        office.open.set()
        await office.until(lambda: len(office.sent) == 20)
    assert office.most == PACE.at_once


async def test_what_a_dead_process_had_in_hand_is_sent_by_the_next(office: Office) -> None:
    mail = await office.link()
    [claimed] = await office.store.claim_mails(NOW, NOW + PACE.claim, 1)
    assert claimed.id == mail.id
    async with office.running():
        await office.looked()
        assert office.sent == [], "it may be under way"
        office.now += PACE.claim
        await office.until(lambda: office.sent)


async def test_what_was_handed_over_is_settled_however_long_that_takes(office: Office) -> None:
    mail = await office.link()
    office.store.lost = {"settle", "claim"}
    async with office.running():
        office.store.lost = {"settle"}
        await office.until(lambda: office.sent)
        await office.looked()
        office.store.lost = set()
        await office.until(lambda: _is(office, mail, MailState.SENT))
        await office.looked()
    assert len(office.sent) == 1


async def _is(office: Office, mail: Mail, wanted: MailState) -> bool:
    return state(await office.kept(mail)) is wanted


async def test_a_claim_that_is_nearly_over_is_left_to_the_next(office: Office) -> None:
    await office.link()
    append = office.store.append

    async def slow(records: Sequence[Record]) -> None:
        await append(records)
        office.now += PACE.claim - timedelta(seconds=2 * PACE.patience - 1)

    office.store.append = slow  # type: ignore[method-assign]
    async with office.running():
        await office.until(lambda: office.records(Event.MAIL_SENT))
        await office.looked()
        assert office.sent == [], "somebody else could claim it while it is handed over"
        office.store.append = append  # type: ignore[method-assign]
        office.now += PACE.claim
        await office.until(lambda: office.sent)


async def test_who_stops_waits_for_what_is_under_way(office: Office) -> None:
    mail = await office.link()
    office.open.clear()
    task = asyncio.create_task(office.queue.run())
    await office.until(lambda: office.under_way)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    office.open.set()
    with suppress(asyncio.CancelledError):
        await task
    assert state(await office.kept(mail)) is MailState.SENT


async def test_who_stops_does_not_wait_for_ever() -> None:
    office = Office(pace=replace(QUICK, farewell=0.02))
    mail = await office.link()
    office.open.clear()
    task = asyncio.create_task(office.queue.run())
    await office.until(lambda: office.under_way)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert state(await office.kept(mail)) is MailState.WAITING


async def test_a_fault_with_one_mail_holds_up_no_other(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    first = await office.link()
    office.answer = RuntimeError("roe@praxis.example")
    async with office.running():
        await office.until(lambda: "a fault while sending a mail" in caplog.text)
        office.answer = None
        other = a_share(mail_to="other@praxis.example")
        await office.post(other, *opened_mail(other, NOW))
        await office.until(lambda: office.sent)
    assert state(await office.kept(first)) is MailState.WAITING
    assert "praxis" not in caplog.text


async def test_a_thousand_mails_leave_the_loop_to_others(office: Office) -> None:
    for _ in range(1000):
        await office.link()
    turns = 0
    async with office.running():
        while len(office.sent) < 1000:
            before = len(office.sent)
            await asyncio.sleep(0)
            turns += 1
            assert len(office.sent) - before <= PACE.at_once, "others have their turn between any few mails"
    assert turns > 1000 / PACE.at_once
