"""Openings that work, in memory: what the public pages are tested with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from keyhole.access.decision import Deny, Reason
from keyhole.access.resource import Action, Resource
from keyhole.access.secret import Secret, new_id, new_secret
from keyhole.access.share import ALLOWS, Share, ShareChange, ShareKind, Visit
from keyhole.gateway.client import Client
from keyhole.gateway.opening import CodeSent, Look, Needed, NotYet, Opened, Wait, Wrong
from keyhole.gateway.visiting import Shown, ShownSeries, ShownStudy
from keyhole.identity import credential
from keyhole.sharing import condition, link
from keyhole.sharing import visit as visiting
from keyhole.sharing.condition import Answers, Terms, Tries

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CODE = "mfrggzdfmztwq2lknnwg23tpobyxe43u"
TERMS = Terms({"en": "Look, and tell nobody.", "de": "Ansehen und niemandem erzählen."})
MOST = 5
"""Wrong answers before a link is locked."""
DIGITS = "123456"
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
    answers: list[Answers] = field(default_factory=list)
    tickets: dict[str, Secret] = field(default_factory=dict)
    waits: timedelta | None = None
    """How long those have to wait who answer everything, or ask for a code."""
    codes: set[str] = field(default_factory=lambda: {CODE})

    def share(self, **more: object) -> tuple[Share, str]:
        """A new share and the secret of its link."""
        values = {"expires_at": self.now() + timedelta(days=7), "kind": ShareKind.VIEW, **more}
        share = Share(
            id=new_id(),
            archive="archive",
            resources=(Resource.of("archive", "1.2.3"),),
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
        if not isinstance(share, Share):
            return share
        asked = share.conditions
        return Look(
            expires_at=share.expires_at,
            visits_left=None if share.max_visits is None else share.max_visits - share.visits,
            needs=asked.names,
            allows=share.kind,
            mail_to=condition.masked(share.mail_to) if asked.mail_code and share.mail_to else None,
            terms=TERMS if asked.terms else None,
            language=share.language,
            tries_left=Tries.of(share).left(MOST) if asked else None,
        )

    async def begin(
        self, share_id: str, shown: str, answers: Answers, client: Client
    ) -> Opened | NotYet | Needed | Wrong | Wait | Deny:
        share = self._held("begin", share_id, shown, client)
        if not isinstance(share, Share):
            return share
        self.answers.append(answers)
        missing = condition.missing(share.conditions, answers, TERMS.version)
        if missing:
            return Needed(missing)
        if self.waits:
            return Wait(self.waits)
        if share.conditions and not self._right(share, answers):
            wrong = replace(share, attempts=share.attempts + 1)
            left = Tries.of(wrong).left(MOST)
            self.shares[share.id] = replace(wrong, locked_at=None if left else self.now())
            return Wrong(left)
        self.shares[share.id] = replace(share, visits=share.visits + 1)
        return self._opened(lambda secret: visiting.begin(share, new_id(), secret, self.now()))

    async def send_code(self, share_id: str, shown: str, client: Client) -> CodeSent | NotYet | Wait | Deny:
        share = self._held("send_code", share_id, shown, client)
        if not isinstance(share, Share):
            return share
        if not share.conditions.mail_code or share.mail_to is None:
            return Deny(Reason.NOT_THERE)
        if self.waits:
            return Wait(self.waits)
        self.tickets[share.id] = new_secret()
        return CodeSent(condition.masked(share.mail_to), self.now() + condition.CODE_LASTS, self.tickets[share.id])

    def _right(self, share: Share, answers: Answers) -> bool:
        """The passcode is kept as it is, the birth date as its text, and the mailed code is always :data:`DIGITS`."""
        asked, ticket = share.conditions, self.tickets.get(share.id, Secret("")).reveal()
        return (
            (asked.passcode is None or asked.passcode == answers.passcode)
            and (asked.birth_date is None or asked.birth_date == (answers.birth_date or "").encode())
            and (not asked.mail_code or (answers.mail_code, answers.ticket) == (DIGITS, ticket))
        )

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

    async def actions(self, visit_id: str, headers: Sequence[tuple[bytes, bytes]]) -> frozenset[Action] | Deny:
        self.calls.append("actions")
        found = self._identified(visit_id, headers)
        return found if isinstance(found, Deny) else ALLOWS[self.shares[found.share or ""].kind]

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

    def _held(self, name: str, share_id: str, shown: str, client: Client) -> Share | NotYet | Deny:
        self._called(name, client)
        share = self.shares.get(share_id)
        if share is None or not link.verify(share, Secret(shown), self.ring):
            return Deny(Reason.WRONG_SECRET)
        why = visiting.closed(share, self.now())
        if why is None:
            return share
        return NotYet(share.not_before) if why is Reason.NOT_YET and share.not_before else Deny(why)

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


class NoCodes:
    """Codes for paper where there are none."""

    async def look(self, code: Secret, client: Client) -> Deny:
        return Deny(Reason.WRONG_SECRET)

    async def begin(self, code: Secret, answers: Answers, client: Client) -> Deny:
        return Deny(Reason.WRONG_SECRET)

    async def send_code(self, code: Secret, client: Client) -> Deny:
        return Deny(Reason.WRONG_SECRET)
