"""How a recipient gets in: the secret is checked, an opening is counted, a visit begins (design section 7)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record, Scope, studies_of
from keyhole.access.pdp import decide, scope
from keyhole.access.resource import Action, Resource
from keyhole.access.share import Share, ShareKind, Visit
from keyhole.access.subject import ANONYMOUS
from keyhole.errors import ArchiveFailed
from keyhole.gateway import fault
from keyhole.gateway.client import Client
from keyhole.gateway.current import Current
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.ports import Shares, Visits
from keyhole.sharing import link
from keyhole.sharing import visit as visiting
from keyhole.sharing.link import Secret

_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Look:
    """What a link is, for whoever has shown its secret. Nothing about what it opens."""

    expires_at: datetime
    visits_left: int | None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotYet:
    """The right secret, too early."""

    not_before: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A visit that has begun, with the secret that its cookie or bearer holds."""

    visit: Visit
    secret: Secret

    @property
    def bearer(self) -> str:
        """For programs."""
        return visiting.bearer(self.visit, self.secret)


@dataclass(frozen=True, slots=True)
class ShownSeries:
    """A series as the visit page lists it."""

    uid: str
    modality: str
    description: str
    images: int | None
    download: bool = False
    """Whether it may be downloaded, and the study it is in may not."""


@dataclass(frozen=True, slots=True)
class ShownStudy:
    """A study as the visit page lists it: nothing about the patient. ``date`` is DICOM's YYYYMMDD or empty."""

    uid: str
    date: str
    description: str
    series: tuple[ShownSeries, ...]
    download: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What a visit page shows."""

    visit: str
    ends_at: datetime
    studies: tuple[ShownStudy, ...]
    limited: bool


class Store(Shares, Visits, Protocol):
    """What openings are kept in."""


_CODE = re.compile("[a-z2-7]{32}")
_NO_ID = "a" * 16
_NO_SECRET = Secret("")
"""What is checked in place of a share or a secret that cannot be, so that it takes as long."""

Headers = Sequence[tuple[bytes, bytes]]

Identify = Callable[[str, Headers], Awaitable["Visit | Deny"]]
"""The running visit with this id, if the headers show its cookie or bearer."""

Find = Callable[[str, Scope, bytes], Awaitable[list[dict[str, Any]]]]
FindSeries = Callable[[str, Scope, str], Awaitable[list[dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Openings:
    """One per process. Raises StoreFailed and ArchiveFailed; everything else is an answer."""

    store: Store
    current: Current
    ledger: Ledger
    ring: link.Ring
    find: Find
    find_series: FindSeries
    identify: Identify
    now: Callable[[], datetime]

    async def look(self, share_id: str, shown: str, client: Client) -> Look | NotYet | Deny:
        """What the holder of *shown* must do to open the share. Consumes nothing."""
        share = await self._held(share_id, shown, client)
        if isinstance(share, Deny):
            return share
        closed = visiting.closed(share, self.now())
        if closed is not None:
            return self._closed(share, closed, client)
        left = None if share.max_visits is None else share.max_visits - share.visits
        return Look(share.expires_at, left)

    async def begin(self, share_id: str, shown: str, client: Client) -> Opened | NotYet | Deny:
        """Count an opening and begin a visit, or say why not."""
        share = await self._held(share_id, shown, client)
        if isinstance(share, Deny):
            return share
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
            personal=client.personal(),
        )
        counted = await self.store.begin_visit(visit, now, record, link_generation=share.generation)
        if isinstance(counted, Reason):
            return self._closed(share, counted, client)
        self.current.forget((share.id, visit.id))
        return Opened(visit, secret)

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

    async def shown(self, visit_id: str, headers: Headers, client: Client) -> Shown | Deny:
        """What the visit page shows: the studies, recorded as the search that it is."""
        visit = await self.identify(visit_id, headers)
        if isinstance(visit, Deny):
            return visit
        held = await self.current.visit(visit_id)
        grants = (*visit.grants(), *(held[1].grants() if held and held[1] else ()))
        subject = visit.as_subject()
        ask = Ask(Action.SEARCH, Resource.whole(visit.archive), divisible=True)
        match decide(ask, subject, grants, self.now()):
            case Deny() as refusal:
                return refusal
            case Allow(reach):
                access = self._access(visit, client)
                await self.ledger.release(access)
                keeps = scope(Action.DOWNLOAD, subject, grants, self.now())
                studies = await self._studies(access, reach)
                return Shown(visit.id, visit.ends_at, _marked(studies, visit.archive, keeps), visit.limited)

    async def lasts(self, visit_id: str, headers: Headers, *, present: bool) -> Deny | None:
        """None while the visit runs. Asking is not being there, unless *present*: that takes the visit's credential.

        A visit's id is public, and so is whether it has ended; idling is left to requests that count.
        """
        if present:
            visit = await self.identify(visit_id, headers)
            return visit if isinstance(visit, Deny) else None
        found = await self.current.visit(visit_id)
        why = (
            Reason.VISIT_ENDED
            if found is None
            else visiting.over(replace(found[0], limited=True), found[1], self.now())
        )
        return None if why is None else Deny(why)

    async def end(self, visit_id: str, headers: Headers, client: Client) -> Deny | None:
        """End the visit because its visitor is done."""
        visit = await self.identify(visit_id, headers)
        if isinstance(visit, Deny):
            return visit
        now = self.now()
        record = Record(
            at=now,
            event=Event.VISIT_ENDED,
            subject=visit.principal,
            archive=visit.archive,
            share=visit.share,
            visit=visit.id,
            personal=client.personal(),
        )
        await self.store.end_visit(visit.id, now, record)
        self.current.forget((visit.id,))
        return None

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

    def _closed(self, share: Share, why: Reason, client: Client) -> NotYet | Deny:
        refusal = self._refuse(why, client, share)
        return NotYet(share.not_before) if why is Reason.NOT_YET and share.not_before else refusal

    def _refuse(self, reason: Reason, client: Client, share: Share | None = None) -> Deny:
        self.ledger.refuse(
            Record(
                at=self.now(),
                event=Event.REFUSAL,
                subject=ANONYMOUS.name,
                archive=None if share is None else share.archive,
                reason=reason,
                share=None if share is None else share.id,
                personal=client.personal(),
            )
        )
        return Deny(reason)

    def _access(self, visit: Visit, client: Client) -> Record:
        return Record(
            at=self.now(),
            event=Event.SEARCH,
            subject=visit.principal,
            archive=visit.archive,
            action=Action.SEARCH,
            share=visit.share,
            visit=visit.id,
            personal=client.personal(),
        )

    async def _studies(self, access: Record, reach: Scope) -> tuple[ShownStudy, ...]:
        """What *reach* holds. That the archive could not tell is on the trail as well."""
        archive = access.archive or ""
        wanted = list(studies_of(reach, archive))
        query = f"includefield=00081030&StudyInstanceUID={','.join(wanted)}".encode()
        try:
            items = await self.find(archive, reach, query)
            return tuple([await self._study(archive, reach, item) for item in items])
        except ArchiveFailed as error:
            self.ledger.refuse(replace(access, event=Event.FAILURE, reason=fault.named(error)))
            raise

    async def _study(self, archive: str, reach: Scope, item: Mapping[str, Any]) -> ShownStudy:
        uid = _text(item, "0020000D")
        series = await self.find_series(archive, reach, uid)
        return ShownStudy(uid, _text(item, "00080020"), _text(item, "00081030"), tuple(map(_series, series)))


def _marked(studies: Iterable[ShownStudy], archive: str, keeps: Scope) -> tuple[ShownStudy, ...]:
    """*studies* with a mark on what may be downloaded as a whole."""
    return tuple(_marked_study(study, archive, keeps) for study in studies)


def _marked_study(study: ShownStudy, archive: str, keeps: Scope) -> ShownStudy:
    if keeps.covers(Resource.of(archive, study.uid)):
        return replace(study, download=True)
    series = (replace(one, download=keeps.covers(Resource.of(archive, study.uid, one.uid))) for one in study.series)
    return replace(study, series=tuple(series))


def _series(item: Mapping[str, Any]) -> ShownSeries:
    images = _text(item, "00201209")
    return ShownSeries(
        uid=_text(item, "0020000E"),
        modality=_text(item, "00080060"),
        description=_text(item, "0008103E"),
        images=int(images) if _NUMBER.fullmatch(images) else None,
    )


def _text(item: Mapping[str, Any], tag: str) -> str:
    """The first value of *tag* as text that a page can show; empty for what is no DICOM JSON."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    first = values[0] if isinstance(values, list) and values else ""
    return str(first).encode("utf-8", "replace").decode("utf-8")
