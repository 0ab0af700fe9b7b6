"""From the credential in a request to whoever holds it, and what that one was granted."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Self

from keyhole.access.decision import Deny, Reason
from keyhole.access.grant import Grant
from keyhole.access.resource import Action
from keyhole.access.secret import Secret
from keyhole.access.share import ApiKey, Share, Visit
from keyhole.access.subject import ANONYMOUS, Kind, Subject
from keyhole.gateway.attendance import Attendance
from keyhole.gateway.current import Current
from keyhole.identity import apikey, credential
from keyhole.identity.role import role_grants
from keyhole.sharing.visit import closed, over

_KEY = "key:"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks, and with which grants. ``visit`` when it is one; ``archive`` when there is only one for them."""

    subject: Subject
    grants: tuple[Grant, ...]
    visit: Visit | None = None
    archive: str | None = None

    @property
    def pictures_only(self) -> bool:
        """Whether this is a visit that may look at pictures and may have nothing of what they are made of."""
        return self.subject.kind is Kind.VISIT and Action.RETRIEVE not in self.subject.ceiling

    @staticmethod
    def of_visit(visit: Visit, share: Share | None) -> Holder:
        """The holder of *visit*, which belongs to *share* if to any."""
        return _of_visit(visit, share)

    @classmethod
    def of_share(cls, share: Share) -> Self:
        """Whoever has opened *share*, whichever visit that is."""
        subject = Subject(Kind.VISIT, share.principal, frozenset({share.principal}))
        return cls(below_grants(subject, share.grants()), share.grants(), archive=share.archive)

    @classmethod
    def of_key(cls, subject: Subject, archives: Iterable[str]) -> Self:
        """The holder of an API key, which acts in *archives* as its roles may."""
        grants = role_grants(roles_of(subject), archives)
        return cls(below_grants(subject, grants), grants)


@lru_cache(maxsize=1024)  # the rows are values: from the same ones comes the same holder, for image after image
def _of_visit(visit: Visit, share: Share | None) -> Holder:
    grants = (*visit.grants(), *(share.grants() if share else ()))
    return Holder(below_grants(visit.as_subject(), grants), grants, visit, visit.archive)


NOBODY = Holder(ANONYMOUS, ())


def below_grants(subject: Subject, grants: Iterable[Grant]) -> Subject:
    """*subject* with a ceiling no higher than all its *grants* together.

    What a share or a role holds for nothing at all is then refused as such (403), wherever it is asked for, and tells
    nothing about what there is; everything else that is not granted looks like what is not there (404).
    """
    granted = frozenset[Action]().union(*(grant.actions for grant in grants))
    return replace(subject, ceiling=subject.ceiling & granted)


def roles_of(subject: Subject) -> frozenset[str]:
    """The roles among a subject's principals."""
    return frozenset(name.removeprefix("role:") for name in subject.principals if name.startswith("role:"))


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands who is named without a credential; ``ended``: why even theirs would open nothing now."""

    holder: Holder
    ended: Reason | None


@dataclass(frozen=True, slots=True)
class Identity:
    """One per process."""

    current: Current
    attendance: Attendance
    archives: Sequence[str]
    now: Callable[[], datetime]

    async def holder(self, headers: credential.Headers, visit_id: str | None) -> Holder | Deny:
        """Who shows the one credential in *headers*, below ``/v/<visit_id>/`` or elsewhere."""
        match credential.read(headers, visit_id):
            case Deny() as refusal:
                return refusal
            case credential.NoCredential():
                return NOBODY
            case credential.Shown(kind=Kind.VISIT, id=name, secret=secret):
                return await self._visit(name, secret)
            case credential.Shown(id=name, secret=secret):
                return await self._key(name, secret)

    async def standing(self, principal: str) -> Standing | None:
        """How the key, share or visit stands that *principal* names; None when there is none.

        As :meth:`holder` judges whoever shows its credential, but that a visit is not in use by being asked about.
        """
        kind, _, name = principal.partition(":")
        match kind:
            case "key":
                key = await self.current.key(name)
                held = None if key is None else Holder.of_key(key.as_subject(), self.archives)
                return None if held is None else Standing(held, _key_over(key, self.now()))
            case "share":
                share = await self.current.share(name)
                return None if share is None else Standing(Holder.of_share(share), self._closed(share))
            case "visit":
                found = await self.current.visit(name)
                return None if found is None else Standing(Holder.of_visit(*found), await self._over(*found))
            case _:
                return None

    def _closed(self, share: Share) -> Reason | None:
        """Why the visits of *share* open nothing now; one that is used up still serves those that it began."""
        why = closed(share, self.now())
        return None if why is Reason.USED_UP else why

    async def visit(self, visit_id: str, headers: credential.Headers) -> Visit | Deny:
        """The running visit whose cookie or bearer *headers* show, for the pages below ``/v/<visit_id>/``."""
        match await self.holder(headers, visit_id):
            case Holder(visit=Visit() as visit):
                return visit
            case Deny() as refusal:
                return refusal
            case _:
                return Deny(Reason.NO_CREDENTIAL)

    async def ended(self, holder: str) -> Reason | None:
        """Why the subject named *holder* (``visit:…`` or ``key:…``), who is reading, may see nothing more."""
        kind, _, name = holder.partition(":")
        if kind != "visit":
            return _key_over(await self.current.key(name), self.now())
        found = await self.current.visit(name)
        if found is None:
            return Reason.VISIT_ENDED
        why = await self._over(replace(found[0], limited=True), found[1])
        if why is None:
            self.attendance.saw(found[0], self.now())  # whoever is reading is not idle
        return why

    async def _key(self, key_id: str, secret: Secret) -> Holder | Deny:
        key = await self.current.key(key_id)
        who = Reason.BAD_CREDENTIAL if key is None else apikey.verify(key, secret, self.now())
        return Deny(who) if isinstance(who, Reason) else Holder.of_key(who, self.archives)

    async def _visit(self, visit_id: str, secret: Secret) -> Holder | Deny:
        found = await self.current.visit(visit_id)
        if found is None or found[0].begun_at is None or not hmac.compare_digest(found[0].digest, secret.digest()):
            return Deny(Reason.BAD_CREDENTIAL)
        visit, share = found
        why = await self._over(visit, share)
        if why is not None:
            return Deny(why)
        self.attendance.saw(visit, self.now())
        return Holder.of_visit(visit, share)

    async def _over(self, visit: Visit, share: Share | None) -> Reason | None:
        """Why *visit* opens nothing now: it is over, its share has been put off, or the key that made it is."""
        now = self.now()
        if share is not None and share.not_before is not None and now < share.not_before:
            return Reason.NOT_YET
        if visit.share is None and visit.subject.startswith(_KEY):
            key = await self.current.key(visit.subject.removeprefix(_KEY))
            if _key_over(key, now) is not None:
                return Reason.VISIT_ENDED
        why = over(visit, share, now)
        return await self._idle(visit, share, now) if why is Reason.VISIT_ENDED and _lasts(visit, now) else why

    async def _idle(self, visit: Visit, share: Share | None, now: datetime) -> Reason | None:
        """Whether a visit is idle that is so as its row was read: sightings, here or elsewhere, move no generation."""
        if over(self._as_seen(visit), share, now) is None:
            return None
        self.current.forget((visit.id,))
        again = await self.current.visit(visit.id)
        return Reason.VISIT_ENDED if again is None else over(self._as_seen(again[0]), again[1], now)

    def _as_seen(self, visit: Visit) -> Visit:
        here = self.attendance.last(visit.id)
        return visit if here is None or (visit.seen_at and visit.seen_at > here) else replace(visit, seen_at=here)


def _lasts(visit: Visit, now: datetime) -> bool:
    """Whether nothing but idling can have ended *visit*."""
    return visit.begun_at is not None and visit.ended_at is None and now < visit.ends_at


def _key_over(key: ApiKey | None, now: datetime) -> Reason | None:
    if key is None or key.revoked_at is not None:
        return Reason.WITHDRAWN
    return None if key.live(now) else Reason.EXPIRED
