"""What a visitor is shown of a visit, whether it lasts, and its end."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record, Scope, studies_of
from keyhole.access.pdp import decide, scope
from keyhole.access.resource import Action, Resource
from keyhole.access.share import Visit
from keyhole.errors import ArchiveFailed
from keyhole.gateway import fault
from keyhole.gateway.client import Client
from keyhole.gateway.current import Current
from keyhole.gateway.identify import Holder
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.ports import Visits
from keyhole.sharing import visit as visiting

_NUMBER = re.compile("[0-9]{1,9}")


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


Headers = Sequence[tuple[bytes, bytes]]

Identify = Callable[[str, Headers], Awaitable["Visit | Deny"]]
"""The running visit with this id, if the headers show its cookie or bearer."""

Find = Callable[[str, Scope, bytes], Awaitable[list[dict[str, Any]]]]
FindSeries = Callable[[str, Scope, str], Awaitable[list[dict[str, Any]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visiting:
    """One per process. Raises StoreFailed and ArchiveFailed; everything else is an answer."""

    store: Visits
    current: Current
    ledger: Ledger
    find: Find
    find_series: FindSeries
    identify: Identify
    now: Callable[[], datetime]

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

    async def actions(self, visit_id: str, headers: Headers) -> frozenset[Action] | Deny:
        """What the visit may do at all, for whoever shows its credential. That is being there."""
        visit = await self.identify(visit_id, headers)
        if isinstance(visit, Deny):
            return visit
        held = await self.current.visit(visit_id)
        return Holder.of_visit(visit, held[1] if held else None).subject.ceiling

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
