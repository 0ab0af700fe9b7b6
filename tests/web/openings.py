"""Openings that work, in memory: what the public pages are tested with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from keyhole.access.decision import Deny, Reason
from keyhole.access.resource import Resource
from keyhole.access.secret import Secret, new_id, new_secret
from keyhole.access.share import Share, ShareChange, ShareKind, Visit
from keyhole.gateway.client import Client
from keyhole.gateway.openings import Look, NotYet, Opened, Shown, ShownSeries, ShownStudy
from keyhole.identity import credential
from keyhole.sharing import link
from keyhole.sharing import visit as visiting

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CODE = "mfrggzdfmztwq2lknnwg23tpobyxe43u"
STUDIES = (
    ShownStudy(
        "1.2.3",
        "20260214",
        "CT Thorax with contrast",
        (
            ShownSeries("1.2.3.1", "CT", "Thorax 1.0 mm soft tissue", 120),
            ShownSeries("1.2.3.2", "CT", "Lung 2.0 mm", 60),
            ShownSeries("1.2.3.3", "SR", "Dose report", 1),
        ),
    ),
    ShownStudy("1.2.4", "", "", (ShownSeries("1.2.4.1", "", "", None),)),
)


@dataclass
class Memory:
    """Shares and visits, and every call that was made."""

    ring: link.KeyRing = field(default_factory=link.KeyRing.new)
    shares: dict[str, Share] = field(default_factory=dict)
    visits: dict[str, Visit] = field(default_factory=dict)
    studies: tuple[ShownStudy, ...] = STUDIES
    now: Callable[[], datetime] = lambda: NOW
    calls: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    breaks: Exception | None = None
    codes: set[str] = field(default_factory=lambda: {CODE})

    def share(self, **more: object) -> tuple[Share, str]:
        """A new share and the secret of its link."""
        values = {"expires_at": self.now() + timedelta(days=7), **more}
        share = Share(
            id=new_id(),
            archive="archive",
            resources=(Resource.of("archive", "1.2.3"),),
            kind=ShareKind.VIEW,
            creator="user:anna",
            created_at=self.now(),
            key_id=self.ring.current,
            **values,  # type: ignore[arg-type]
        )
        self.shares[share.id] = share
        return share, link.secret_of(share, self.ring).reveal()

    def change(self, share: Share, change: ShareChange) -> None:
        self.shares[share.id] = replace(share, withdrawn_at=change.withdrawn_at)

    async def look(self, share_id: str, shown: str, client: Client) -> Look | NotYet | Deny:
        share = self._held("look", share_id, shown, client)
        if share is None:
            return Deny(Reason.WRONG_SECRET)
        why = visiting.closed(share, self.now())
        if why is not None:
            return NotYet(share.not_before) if why is Reason.NOT_YET and share.not_before else Deny(why)
        return Look(share.expires_at, None if share.max_visits is None else share.max_visits - share.visits)

    async def begin(self, share_id: str, shown: str, client: Client) -> Opened | NotYet | Deny:
        share = self._held("begin", share_id, shown, client)
        if share is None:
            return Deny(Reason.WRONG_SECRET)
        why = visiting.closed(share, self.now())
        if why is not None:
            return NotYet(share.not_before) if why is Reason.NOT_YET and share.not_before else Deny(why)
        self.shares[share.id] = replace(share, visits=share.visits + 1)
        return self._opened(lambda secret: visiting.begin(share, new_id(), secret, self.now()))

    async def redeem(self, code: str, client: Client) -> Opened | Deny:
        self._called("redeem", client)
        if code not in self.codes:
            return Deny(Reason.WRONG_SECRET)
        self.codes.discard(code)
        share, _ = self.share()
        return self._opened(lambda secret: visiting.begin(share, new_id(), secret, self.now()))

    async def shown(self, visit_id: str, headers: Sequence[tuple[bytes, bytes]], client: Client) -> Shown | Deny:
        self._called("shown", client)
        match self._identified(visit_id, headers):
            case Visit() as visit:
                return Shown(visit.id, visit.ends_at, self.studies, visit.limited)
            case refusal:
                return refusal

    async def lasts(self, visit_id: str, headers: Sequence[tuple[bytes, bytes]], *, present: bool) -> Deny | None:
        self.calls.append("present" if present else "lasts")
        if not present and visit_id in self.visits:
            return self._over(self.visits[visit_id])
        found = self._identified(visit_id, headers)
        return found if isinstance(found, Deny) else None

    async def end(self, visit_id: str, headers: Sequence[tuple[bytes, bytes]], client: Client) -> Deny | None:
        self._called("end", client)
        found = self._identified(visit_id, headers)
        if isinstance(found, Deny):
            return found
        self.visits[visit_id] = replace(found, ended_at=self.now())
        return None

    def _called(self, name: str, client: Client) -> None:
        self.calls.append(name)
        self.clients.append(client)
        if self.breaks:
            raise self.breaks

    def _held(self, name: str, share_id: str, shown: str, client: Client) -> Share | None:
        self._called(name, client)
        share = self.shares.get(share_id)
        return share if share and link.verify(share, Secret(shown), self.ring) else None

    def _opened(self, begin: Callable[[Secret], Visit]) -> Opened:
        secret = new_secret()
        visit = begin(secret)
        self.visits[visit.id] = visit
        return Opened(visit, secret)

    def _identified(self, visit_id: str, headers: Sequence[tuple[bytes, bytes]]) -> Visit | Deny:
        visit = self.visits.get(visit_id)
        match credential.read(headers, visit_id):
            case credential.Shown(secret=secret) if visit is not None and secret.digest() == visit.digest:
                over = self._over(visit)
                return visit if over is None else over
            case credential.NoCredential():
                return Deny(Reason.NO_CREDENTIAL)
            case Deny() as refusal:
                return refusal
            case _:
                return Deny(Reason.BAD_CREDENTIAL)

    def _over(self, visit: Visit) -> Deny | None:
        why = visiting.over(visit, self.shares.get(visit.share or ""), self.now())
        return None if why is None else Deny(why)
