"""From the credential in a request to whoever holds it, and what that one was granted."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from keyhole.access.decision import Deny, Reason
from keyhole.access.grant import Grant
from keyhole.access.secret import Secret
from keyhole.access.share import Share, Visit
from keyhole.access.subject import ANONYMOUS, Kind, Subject
from keyhole.gateway.attendance import Attendance
from keyhole.gateway.current import Current
from keyhole.identity import apikey, credential
from keyhole.identity.role import role_grants
from keyhole.sharing.visit import over


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks, and with which grants. ``visit`` when it is one; ``archive`` is the one it is bound to, if any."""

    subject: Subject
    grants: tuple[Grant, ...]
    visit: Visit | None = None


NOBODY = Holder(ANONYMOUS, ())


def roles_of(subject: Subject) -> frozenset[str]:
    """The roles among a subject's principals."""
    return frozenset(name.removeprefix("role:") for name in subject.principals if name.startswith("role:"))


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

    async def _key(self, key_id: str, secret: Secret) -> Holder | Deny:
        key = await self.current.key(key_id)
        who = Reason.BAD_CREDENTIAL if key is None else apikey.verify(key, secret, self.now())
        if isinstance(who, Reason):
            return Deny(who)
        return Holder(who, role_grants(roles_of(who), self.archives))

    async def _visit(self, visit_id: str, secret: Secret) -> Holder | Deny:
        found = await self.current.visit(visit_id)
        if found is None or found[0].begun_at is None or not hmac.compare_digest(found[0].digest, secret.digest()):
            return Deny(Reason.BAD_CREDENTIAL)
        why = await self._over(*found)
        if why is not None:
            return Deny(why)
        visit, share = found
        self.attendance.saw(visit, self.now())
        return Holder(visit.as_subject(), (*visit.grants(), *(share.grants() if share else ())), visit)

    async def _over(self, visit: Visit, share: Share | None) -> Reason | None:
        now = self.now()
        why = over(self._as_seen(visit), share, now)
        if why is not Reason.VISIT_ENDED or visit.ended_at is not None or now >= visit.ends_at:
            return why
        # Idle, as far as this process knows; another one may have seen it, and that moves no generation.
        self.current.forget((visit.id,))
        again = await self.current.visit(visit.id)
        return why if again is None else over(self._as_seen(again[0]), again[1], now)

    def _as_seen(self, visit: Visit) -> Visit:
        here = self.attendance.last(visit.id)
        return visit if here is None or (visit.seen_at and visit.seen_at > here) else replace(visit, seen_at=here)

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
        """Why the subject named *holder* (``visit:…`` or ``key:…``) may see nothing more; None while it may."""
        kind, _, name = holder.partition(":")
        if kind == "visit":
            found = await self.current.visit(name)
            # Whoever is reading is not idle.
            return Reason.VISIT_ENDED if found is None else over(replace(found[0], limited=True), found[1], self.now())
        key = await self.current.key(name)
        if key is None or key.revoked_at is not None:
            return Reason.WITHDRAWN
        return None if key.live(self.now()) else Reason.EXPIRED
