"""Attempts to answer what a link asks: slowed, counted before anything is checked, checked all together.

The right secret comes before any of this, so strangers with a share's id alone lock nobody out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from keyhole.access.condition import Answered
from keyhole.access.decision import Event, Reason, Record
from keyhole.access.mail import Mail, MailCode
from keyhole.access.share import Share
from keyhole.access.subject import ANONYMOUS
from keyhole.gateway import limits
from keyhole.gateway.client import Client
from keyhole.gateway.opening import Needed, Wait, Wrong
from keyhole.gateway.passcode import Passcodes
from keyhole.gateway.ports import Codes, Limits, Visits
from keyhole.gateway.post.rows import locked_mail
from keyhole.sharing import condition
from keyhole.sharing.condition import Answers, Terms, Tries
from keyhole.sharing.link import Ring

SLOWEST = timedelta(seconds=2)
"""How long somebody is kept waiting when everybody together answers too often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What the site asks with: wrong answers before the lock, the terms, and whether mail can be sent."""

    wrong_answers: int = 5
    terms: Terms | None = None
    mail: bool = False

    @property
    def version(self) -> str | None:
        """The version of the terms; None without any."""
        return None if self.terms is None else self.terms.version


class Store(Visits, Limits, Codes, Protocol):
    """What attempts are kept in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """One per process. Raises StoreFailed; an attempt that this leaves under way counts as a wrong one.

    ``noted`` is told what became of each set of answers: ``right``, ``wrong``, ``slowed`` or ``refused``.
    """

    store: Store
    ring: Ring
    now: Callable[[], datetime]
    noted: Callable[[str], None]
    asking: Asking = Asking()
    passcodes: Passcodes = field(default_factory=Passcodes)
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    def unaskable(self, share: Share) -> Reason | None:
        """Why what *share* asks cannot be asked here, and the share not be opened; None when it can."""
        if share.conditions.mail_code and not self.asking.mail:
            return Reason.MAIL_OFF
        if share.conditions.terms and self.asking.terms is None:
            return Reason.TERMS_OFF
        return None

    async def permitted(self, share: Share, answers: Answers, client: Client) -> Needed | Wait | None:
        """Why *answers* are not taken up; None when they are, a little later when everybody answers too often."""
        missing = condition.missing(share.conditions, answers, self.asking.version)
        if missing:
            return Needed(missing)
        mine, everybodys = limits.answers_from(self.ring, client.address), limits.answers_from_all(self.ring)
        waits = await self.store.take((mine, everybodys), self.now())
        if everybodys.name in waits and mine.name not in waits:
            self.noted("slowed")
            await self.pause(min(waits[everybodys.name], SLOWEST).total_seconds())
            waits = await self.store.take((mine,), self.now())
        wait = waits.get(mine.name)
        if wait is None and share.conditions.passcode is not None and self.passcodes.full:
            wait = SLOWEST
        if wait is None:
            return None
        self.noted("refused")
        return Wait(wait)

    async def take_up(self, share: Share, answers: Answers, client: Client) -> Answered | Wrong | Reason:
        """Count an attempt, then check *answers*: that they are right, that they are not, or why nothing was counted.

        What is right has to be settled by beginning a visit, and is noted by whoever does that.
        """
        code = await self.store.code(share.id) if share.conditions.mail_code else None
        most, now = self.asking.wrong_answers, self.now()
        taken = await self.store.begin_attempt(share.id, share.generation, most, now, *self._lock(share, client, now))
        if isinstance(taken, Reason):
            self.noted("refused")
            return taken
        if await self._right(taken, answers, code):
            return Answered(taken.conditions, None if code is None else code.nonce)
        return await self.wrong(taken, client)

    async def wrong(self, share: Share, client: Client) -> Wrong:
        """Record that an attempt at *share* was wrong, and lock it after the last."""
        self.noted("wrong")
        most, now = self.asking.wrong_answers, self.now()
        refusal = replace(_record(share, Event.REFUSAL, client, now), reason=Reason.WRONG_ANSWER)
        lock = self._lock(share, client, now)
        failed = await self.store.fail_attempt(share.id, share.generation, most, now, refusal, *lock)
        return Wrong(0 if failed is None else self.tries_left(failed))

    def tries_left(self, share: Share) -> int:
        """How many wrong answers there may still be."""
        return Tries.of(share).left(self.asking.wrong_answers)

    def met(self, answered: Answered) -> dict[str, str]:
        """What the trail keeps of the conditions that were met: their names, and the version of the terms."""
        names, version = {"conditions": " ".join(answered.conditions.names)}, self.asking.version
        return names if not answered.conditions.terms or version is None else {**names, "terms": version}

    async def _right(self, share: Share, answers: Answers, code: MailCode | None) -> bool:
        """Whether all that is asked is right. All of it is looked at, whatever the first one was."""
        asked, checks = share.conditions, []
        if asked.passcode is not None:
            checks.append(await self.passcodes.right(asked.passcode, answers.passcode or ""))
        if asked.birth_date is not None:
            checks.append(condition.birth_date_right(share, answers, self.ring))
        if asked.mail_code:
            checks.append(condition.mail_code_right(share, code, answers, self.ring, self.now()))
        # The conditions may have changed since it was found that nothing is missing.
        checks.append(not condition.missing(asked, answers, self.asking.version))
        return all(checks)

    def _lock(self, share: Share, client: Client, now: datetime) -> tuple[Record, tuple[Mail, ...]]:
        """What is recorded and mailed when this attempt turns out to be the last."""
        return _record(share, Event.SHARE_LOCKED, client, now), locked_mail(share, now) if self.asking.mail else ()


def _record(share: Share, event: Event, client: Client, now: datetime) -> Record:
    return Record(
        at=now,
        event=event,
        subject=ANONYMOUS.name,
        archive=share.archive,
        share=share.id,
        personal=client.personal(),
    )
