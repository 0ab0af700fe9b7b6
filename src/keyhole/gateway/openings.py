"""How a recipient gets in: secret and answers are checked, an opening is counted, a visit begins (design section 7).

The order is fixed: the right secret, then whether the link opens at all, then whether everything was answered, then how
often, then, counted, whether it is right. A program goes the same way as a page.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from keyhole.access.condition import Answered
from keyhole.access.decision import Deny, Event, Reason, Record
from keyhole.access.mail import MailCode
from keyhole.access.resource import Resource
from keyhole.access.share import Share, ShareKind
from keyhole.access.subject import ANONYMOUS
from keyhole.gateway import limits
from keyhole.gateway.attempts import Attempts
from keyhole.gateway.client import Client
from keyhole.gateway.opening import CodeSent, Look, Needed, NotYet, Opened, Wait, Wrong
from keyhole.gateway.ports import Codes, Limits, Shares, Visits
from keyhole.gateway.post.rows import code_mail, opened_mail
from keyhole.gateway.visiting import Visiting
from keyhole.sharing import condition, link
from keyhole.sharing import visit as visiting
from keyhole.sharing.condition import Answers
from keyhole.sharing.link import Secret


class Store(Shares, Visits, Limits, Codes, Protocol):
    """What openings are kept in."""


_CODE = re.compile("[a-z2-7]{32}")
_NO_ID = "a" * 16
_NO_SECRET = Secret("")
"""What is checked in place of a share or a secret that cannot be, so that it takes as long."""

_SOON = Wait(timedelta(seconds=5))
"""Until then, attempts that are under way are hardly ever not settled."""

Refresh = Callable[[Share], Awaitable[Share]]
"""A share that grows with its patient's studies, as it is by now (:class:`keyhole.gateway.patients.Growth`)."""


async def unchanged(share: Share) -> Share:
    """The :data:`Refresh` of a site where nothing grows."""
    return share


@dataclass(frozen=True, slots=True, kw_only=True)
class Openings(Visiting):
    """One per process. Raises StoreFailed and ArchiveFailed; everything else is an answer."""

    store: Store
    ring: link.Ring
    attempts: Attempts
    refresh: Refresh = unchanged

    async def look(self, share_id: str, shown: str, client: Client) -> Look | NotYet | Deny:
        """What the holder of *shown* must do to open the share. Consumes nothing."""
        share = await self._held(share_id, shown, client)
        return share if isinstance(share, Deny) else await self.look_at(share, client)

    async def begin(
        self, share_id: str, shown: str, answers: Answers, client: Client
    ) -> Opened | NotYet | Needed | Wrong | Wait | Deny:
        """Count an opening and begin a visit, or say why not."""
        share = await self._held(share_id, shown, client)
        return share if isinstance(share, Deny) else await self.open(share, answers, client)

    async def send_code(self, share_id: str, shown: str, client: Client) -> CodeSent | NotYet | Wait | Deny:
        """Mail a code to the share's recipient. NOT_THERE for a link that asks for none."""
        share = await self._held(share_id, shown, client)
        return share if isinstance(share, Deny) else await self.send_code_of(share, client)

    # -- for whoever has found the share, and knows that its secret was shown, or a code that stands for it

    async def look_at(self, share: Share, client: Client) -> Look | NotYet | Deny:
        """As :meth:`look`."""
        refusal = self._not_open(share, client)
        if refusal is not None:
            return refusal
        asked = share.conditions
        return Look(
            expires_at=share.expires_at,
            visits_left=None if share.max_visits is None else share.max_visits - share.visits,
            needs=asked.names,
            allows=share.kind,
            mail_to=condition.masked(share.mail_to) if asked.mail_code and share.mail_to else None,
            terms=self.attempts.asking.terms if asked.terms else None,
            language=share.language,
            tries_left=self.attempts.tries_left(share) if asked else None,
        )

    async def open(
        self, share: Share, answers: Answers, client: Client
    ) -> Opened | NotYet | Needed | Wrong | Wait | Deny:
        """As :meth:`begin`."""
        refusal = self._not_open(share, client)
        if refusal is not None:
            return refusal
        if not share.conditions:
            return await self._begin(await self._refreshed(share), None, client)
        waits = await self.attempts.permitted(share, answers, client)
        if waits is not None:
            self._refuse(Reason.ANSWERS_NEEDED if isinstance(waits, Needed) else Reason.TOO_MANY, client, share)
            return waits
        share = await self._refreshed(share)
        match await self.attempts.take_up(share, answers, client):
            case Answered() as answered:
                return await self._begin(share, answered, client)
            case Wrong() as wrong:
                return wrong
            case reason:
                return self._closed(share, reason, client)

    async def send_code_of(self, share: Share, client: Client) -> CodeSent | NotYet | Wait | Deny:
        """As :meth:`send_code`."""
        refusal = self._not_open(share, client)
        if refusal is not None:
            return refusal
        if not share.conditions.mail_code or share.mail_to is None:
            return self._refuse(Reason.NOT_THERE, client, share)
        now, ticket, nonce = self.now(), link.new_secret(), link.new_id()
        code = MailCode(
            share=share.id,
            generation=share.generation,
            nonce=nonce,
            ticket=condition.ticket_digest(ticket.reveal()),
            created_at=now,
            ends_at=min(now + condition.CODE_LASTS, share.expires_at),
        )
        buckets = (limits.answers_from(self.ring, client.address), *limits.codes(self.ring, share.id, share.mail_to))
        record = self._record(Event.CODE_ASKED, client, share)
        waits = await self.store.add_code(code, code_mail(share, nonce, now, code.ends_at), buckets, record)
        if waits:
            self._refuse(Reason.TOO_MANY, client, share)
            return Wait(max(waits.values()))
        return CodeSent(condition.masked(share.mail_to), code.ends_at, ticket)

    async def redeem(self, code: str, client: Client) -> Opened | Deny:
        """Begin the visit that an application prepared for the holder of *code*."""
        code = code.strip().lower()
        if _CODE.fullmatch(code) is None:
            return self._refuse(Reason.WRONG_SECRET, client)
        now = self.now()
        secret = link.new_secret()
        record = Record(at=now, event=Event.VISIT_BEGUN, subject="visit", personal=client.personal())
        visit = await self.store.redeem_visit(
            Secret(code).digest(), secret.digest(), now, now + visiting.LONGEST, record
        )
        if visit is None:
            return self._refuse(Reason.WRONG_SECRET, client)
        self.current.forget((visit.id,))
        return Opened(visit, secret)

    async def _begin(
        self, share: Share, answered: Answered | None, client: Client
    ) -> Opened | NotYet | Wrong | Wait | Deny:
        """Count an opening, in the one step that settles what was *answered*."""
        now = self.now()
        secret = link.new_secret()
        visit = visiting.begin(share, link.new_id(), secret, now)
        record = Record(
            at=now,
            event=Event.VISIT_BEGUN,
            subject=visit.principal,
            archive=share.archive,
            share=share.id,
            visit=visit.id,
            detail={} if answered is None else self.attempts.met(answered),
            personal=client.personal(),
        )
        first = opened_mail(share, now) if self.attempts.asking.mail else ()
        counted = await self.store.begin_visit(
            visit, now, record, link_generation=share.generation, answered=answered, first=first
        )
        if counted is Reason.WRONG_ANSWER:  # another opening has spent the code, or the conditions are others by now
            return await self.attempts.wrong(share, client)
        if answered is not None:
            self.attempts.noted("refused" if isinstance(counted, Reason) else "right")
        if isinstance(counted, Reason):
            return self._closed(share, counted, client)
        self.current.forget((share.id, visit.id))
        return Opened(visit, secret)

    async def _refreshed(self, share: Share) -> Share:
        """*share* as it is by now, and still by the link that was shown: a new one, made meanwhile, was not."""
        return replace(await self.refresh(share), generation=share.generation)

    async def _held(self, share_id: str, shown: str, client: Client) -> Share | Deny:
        """The share, if *shown* is its secret. Unknown share and wrong secret are one answer, after the same work."""
        share = await self.store.share(share_id) if link.is_id(share_id) else None
        secret = link.parse_secret(shown) or _NO_SECRET
        right = link.verify(share or self._nobodys(), secret, self.ring)
        if share is None or not right:
            return self._refuse(Reason.WRONG_SECRET, client, share)
        return share

    def _nobodys(self) -> Share:
        """A share that is not kept anywhere, to check secrets against in the same time."""
        now = self.now()
        return Share(
            id=_NO_ID,
            archive="archive",
            resources=(Resource.of("archive", "0"),),
            kind=ShareKind.VIEW,
            creator="user:nobody",
            created_at=now,
            expires_at=now,
            key_id=self.ring.current,
        )

    def _not_open(self, share: Share, client: Client) -> NotYet | Deny | None:
        """Why *share* is not opened, whatever is answered; None when it may be."""
        why = visiting.closed(share, self.now()) or self.attempts.unaskable(share)
        if why is None:
            return None
        refusal = self._refuse(why, client, share)
        return NotYet(share.not_before) if why is Reason.NOT_YET and share.not_before else refusal

    def _closed(self, share: Share, why: Reason, client: Client) -> NotYet | Wait | Deny:
        refusal = self._refuse(why, client, share)
        if why is Reason.TOO_MANY:
            return _SOON
        return NotYet(share.not_before) if why is Reason.NOT_YET and share.not_before else refusal

    def _refuse(self, reason: Reason, client: Client, share: Share | None = None) -> Deny:
        self.ledger.refuse(replace(self._record(Event.REFUSAL, client, share), reason=reason))
        return Deny(reason)

    def _record(self, event: Event, client: Client, share: Share | None) -> Record:
        return Record(
            at=self.now(),
            event=event,
            subject=ANONYMOUS.name,
            archive=None if share is None else share.archive,
            share=None if share is None else share.id,
            personal=client.personal(),
        )
