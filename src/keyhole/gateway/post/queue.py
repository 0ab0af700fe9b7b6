"""The queue of mail: rows in the database, worked off by every process, each mail by one of them at a time.

A process claims a mail for a while, writes on the trail that it is sent, hands it over, and settles what became of it.
Who dies before it has settled leaves the mail to the next who claims it: it is sent twice only when that happened
after it was handed over, or while the database could not be reached for as long as the claim stood.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Protocol

from keyhole.access.decision import Event, Record
from keyhole.access.mail import Mail, MailKind
from keyhole.access.share import Share
from keyhole.errors import MailFailed, MailRefused, Refused, StoreFailed
from keyhole.gateway import fault
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.ports import Codes, Mails, Shares
from keyhole.gateway.post.address import address
from keyhole.gateway.post.fate import Beside, Drop, Later, Send, dropped, fate

_SUBJECT = "keyhole"


class Store(Shares, Codes, Mails, Protocol):
    """What the queue is kept in."""


class Post(Protocol):
    """Where mail is handed over (:class:`keyhole.gateway.smtp.MailServer`)."""

    async def send(self, message: EmailMessage) -> None:
        """Return when it was taken; raise MailFailed, or MailRefused when it never will be."""


class Writer(Protocol):
    """Who writes what each mail says (:class:`keyhole.gateway.post.writer.Writer`)."""

    def written(self, mail: Mail, share: Share, now: datetime) -> EmailMessage:
        """*mail* as it is sent; KeyError when the link's key has left the ring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How the queue is worked off: *at_once* mails at a time, and a look for more each *look* seconds.

    After each try the next comes *backoff* later, the last of which repeats, and up to a fifth more, so that not all
    come back at once. A claim lasts *claim*; handing over takes *patience* seconds at most, and begins only while twice
    as many are left of the claim: the rest is for settling it, and for clocks that differ. Whoever stops waits
    *farewell* seconds for what is under way.
    """

    at_once: int = 4
    look: float = 1.0
    backoff: tuple[timedelta, ...] = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))
    claim: timedelta = timedelta(seconds=60)
    patience: float = 15.0
    farewell: float = 5.0

    def wait(self, tries: int) -> timedelta:
        """How long to wait after so many *tries*."""
        return self.backoff[min(tries, len(self.backoff)) - 1] * (1 + secrets.randbelow(1000) / 5000)


PACE = Pace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """One per process that sends mail, to *domains* only when there are any."""

    store: Store
    ledger: Ledger
    writer: Writer
    post: Post
    now: Callable[[], datetime]
    domains: frozenset[str] = frozenset()
    pace: Pace = PACE

    async def run(self) -> None:
        """Send what is due, for ever. What cannot be sent waits; nothing that fails ends this."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                free = self.pace.at_once - len(under_way)
                until = self.now() + self.pace.claim
                claimed = await self._claim(until, free)
                under_way |= {asyncio.create_task(self._deliver(mail, until)) for mail in claimed}
                under_way = await self._wait(under_way, busy=len(claimed) == free)
        finally:
            await self._finish(under_way)

    async def _claim(self, until: datetime, free: int) -> Sequence[Mail]:
        try:
            return await self.store.claim_mails(self.now(), until, free)
        except StoreFailed:
            return ()

    async def _wait(self, under_way: set[asyncio.Task[None]], *, busy: bool) -> set[asyncio.Task[None]]:
        """Wait until there is reason to look again; those still under way then."""
        if not under_way:
            await asyncio.sleep(self.pace.look)
            return under_way
        pause = None if busy else self.pace.look
        _, running = await asyncio.wait(under_way, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        return running

    async def _finish(self, under_way: set[asyncio.Task[None]]) -> None:
        """Wait for what is being handed over: cut off, nobody would know whether it was taken."""
        if under_way:
            _, running = await asyncio.wait(under_way, timeout=self.pace.farewell)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _deliver(self, mail: Mail, until: datetime) -> None:
        """Do with a claimed *mail* what is to be done; it comes back by itself when the claim ends at *until*."""
        try:
            await self._settle(*await self._become(mail, until))
        except _ClaimLost:
            return
        except StoreFailed:
            return
        except Exception as error:  # noqa: BLE001 - one mail must not hold up the others
            fault.note(error, "sending a mail")

    async def _become(self, mail: Mail, until: datetime) -> tuple[Mail, Record | None]:
        """*mail* as it is to be kept, after all that is to be done has been done, and what is on record of it."""
        beside, now = await self._beside(mail), self.now()
        match fate(mail, beside, now):
            case Later(due_at):
                return replace(mail, due_at=due_at), None
            case Drop(why):
                return replace(mail, failed_at=now, problem=dropped(why)), None
            case Send(last) if beside.share is not None:
                return await self._sent(mail, beside.share, until, last)
        raise AssertionError("a mail without a share is dropped")

    async def _beside(self, mail: Mail) -> Beside:
        share = await self.store.share(mail.share)
        code = await self.store.code(mail.share) if mail.kind is MailKind.CODE else None
        mails = await self.store.mails(mail.share) if mail.kind is MailKind.ENDING else ()
        return Beside(share, code, mails)

    async def _sent(self, mail: Mail, share: Share, until: datetime, last: datetime) -> tuple[Mail, Record | None]:
        now = self.now()
        if now >= last:
            return _failed(mail, share, now, mail.problem or "it could not be sent in its time")
        try:
            address(mail.to, self.domains)
        except Refused as refused:  # it may have been kept before the domains were set
            return _failed(mail, share, now, refused.problem)
        try:
            message = self.writer.written(mail, share, now)
        except KeyError:
            return replace(mail, failed_at=now, problem=dropped("the link's key is no longer in the key ring")), None
        await self.ledger.write(_record(Event.MAIL_SENT, mail, share, now))
        if self.now() > until - 2 * timedelta(seconds=self.pace.patience):
            raise _ClaimLost
        try:
            await self.post.send(message)
        except MailRefused as error:
            return _failed(mail, share, self.now(), str(error))
        except MailFailed as error:
            return self._again(mail, share, last, str(error))
        return replace(mail, sent_at=self.now(), problem=None), None

    def _again(self, mail: Mail, share: Share, last: datetime, problem: str) -> tuple[Mail, Record]:
        now = self.now()
        due = now + self.pace.wait(mail.tries)
        if due >= last:
            return _failed(mail, share, now, problem)
        return replace(mail, due_at=due, problem=problem), _record(Event.FAILURE, mail, share, now, what=problem)

    async def _settle(self, mail: Mail, record: Record | None) -> None:
        """Keep what became of *mail*, however often that takes: it must not be sent again."""
        while True:
            try:
                return await self.store.settle_mail(mail, record)
            except StoreFailed:
                await asyncio.sleep(self.pace.look)


class _ClaimLost(Exception):
    """Too late to hand over what was claimed: somebody else may claim it before it is settled."""


def _failed(mail: Mail, share: Share, now: datetime, problem: str) -> tuple[Mail, Record]:
    given_up = replace(mail, failed_at=now, problem=problem)
    return given_up, _record(Event.FAILURE, mail, share, now, what=problem, given_up="yes")


def _record(event: Event, mail: Mail, share: Share, now: datetime, **detail: str) -> Record:
    return Record(
        at=now,
        event=event,
        subject=_SUBJECT,
        archive=share.archive,
        share=share.id,
        detail={"mail": mail.kind.value, "try": str(mail.tries), **detail},
        personal={"recipient": mail.to},
    )
