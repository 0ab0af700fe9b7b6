"""Administration: shares, staff's own visits and keys. Each is a request like any other: same PDP, same trail.

Both the command line and the staff API work through the :class:`Desk`; neither decides anything itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record, Scope
from keyhole.access.pdp import decide, scope
from keyhole.access.resource import Action, Resource
from keyhole.access.share import ALLOWS, Share, ShareChange, ShareKind, Visit
from keyhole.access.subject import Subject
from keyhole.errors import Refused
from keyhole.gateway.audit_desk import AuditDesk
from keyhole.gateway.client import LOCAL, Client
from keyhole.gateway.key_desk import KeyDesk
from keyhole.gateway.office import NotAllowed, NotFound, Store, TrailRows
from keyhole.gateway.order import ShareOrder, check_change, named
from keyhole.gateway.role_desk import RoleDesk
from keyhole.gateway.trail_desk import TrailDesk
from keyhole.sharing import link
from keyhole.sharing.visit import CODE_LASTS

__all__ = ["Desk", "NotAllowed", "NotFound", "ShareOrder", "Store", "TrailRows"]

Find = Callable[[str, Scope, bytes], Awaitable[list[dict[str, Any]]]]
"""Search one archive's studies (name, scope, raw query): DICOM JSON items, none outside the scope."""

FindSeries = Callable[[str, Scope, str], Awaitable[list[dict[str, Any]]]]
"""Search the series of one study (archive, scope, StudyInstanceUID)."""

_LOOKING = sorted(ALLOWS[ShareKind.VIEW])


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk(KeyDesk, RoleDesk, TrailDesk, AuditDesk):
    """One per process.

    Methods raise :class:`NotAllowed`, :class:`NotFound` or :class:`keyhole.errors.Refused` for what cannot be,
    ArchiveFailed and StoreFailed for what is broken; nothing has changed then.
    """

    ring: link.Ring
    public_url: str
    longest_share: timedelta
    find: Find
    find_series: FindSeries

    # -- shares

    async def create_share(self, subject: Subject, order: ShareOrder, client: Client = LOCAL) -> Share:
        """Share what *order* names, if *subject* holds it and may share it, and the archive has it."""
        now = self.now()
        order.check(now, self.longest_share)
        self._check_archive(order.archive)
        resources = named(order)
        self._demand(subject, (Action.SHARE, *sorted(ALLOWS[order.kind])), resources, client)
        await self._check_there(subject, resources)
        share = Share(
            id=link.new_id(),
            archive=order.archive,
            resources=resources,
            kind=order.kind,
            creator=subject.name,
            created_at=now,
            expires_at=order.expires_at,
            key_id=self.ring.current,
            not_before=order.not_before,
            max_visits=order.max_visits,
            recipient=order.recipient,
            note=order.note,
        )
        await self.store.add_share(share, self._record(Event.SHARE_CREATED, subject, client, share))
        return share

    async def change_share(self, subject: Subject, share_id: str, change: ShareChange, client: Client = LOCAL) -> Share:
        """Renew, extend, shorten, allow more openings, make a new link; or withdraw, which is then all that happens.

        Whoever gives more must hold what the share holds; withdrawing is open to whoever sees the share.
        """
        now = self.now()
        share = await self._mine(subject, share_id, client)
        if change.withdrawn_at is not None:
            event, change = Event.SHARE_WITHDRAWN, ShareChange(withdrawn_at=now)
        else:
            event = Event.SHARE_CHANGED
            check_change(change, share, self.ring.current, now, self.longest_share)
            self._demand_giving(subject, share, client)
        record = self._record(event, subject, client, share, _changes(change))
        record = replace(record, personal={**record.personal, **_about_persons(change)})
        changed = await self.store.change_share(share_id, change, record)
        if changed is None:
            raise _no_share(share_id)
        return changed

    async def share(self, subject: Subject, share_id: str, client: Client = LOCAL) -> Share:
        """One share, for its creator and for whoever may share what it holds."""
        return await self._mine(subject, share_id, client)

    async def shares(
        self, subject: Subject, *, study: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[Share]:
        """The shares that *subject* may see, newest first."""
        held: list[Share] = []
        creator = None if self._sees_others(subject) else subject.name
        while len(held) < limit:
            page = await self.store.shares(creator=creator, study=study, after=after, limit=limit)
            held.extend(share for share in page if self._sees(subject, share))
            if len(page) < limit:
                break
            after = page[-1].id
        return held[:limit]

    async def timeline(self, subject: Subject, share_id: str, client: Client = LOCAL) -> Sequence[Any]:
        """What happened with one share, oldest first, as rows of the trail."""
        await self._mine(subject, share_id, client)
        return await self.store.timeline(share_id)

    async def show_link(self, subject: Subject, share_id: str, client: Client = LOCAL) -> str:
        """The link of a share again, for whoever could open the studies anyway; that it was shown is on the trail."""
        share = await self._mine(subject, share_id, client)
        self._demand_giving(subject, share, client)
        shown = self.link(share)
        await self.store.append([self._record(Event.LINK_SHOWN, subject, client, share)])
        return shown

    def link(self, share: Share) -> str:
        """The link with its secret: for the sender's eyes, never for a log."""
        try:
            return link.link(self.public_url, share, self.ring)
        except KeyError:
            raise Refused(
                "the key of this link is no longer in the key ring", "make a new link for the share"
            ) from None

    def new_link(self) -> ShareChange:
        """The change that ends the present link of a share and makes another."""
        return ShareChange(new_link_key=self.ring.current)

    # -- visits of staff

    async def prepare_visit(
        self, subject: Subject, archive: str, studies: Iterable[str], client: Client = LOCAL
    ) -> tuple[Visit, str]:
        """A visit of *studies* for whoever opens the returned address first, within 60 seconds."""
        now = self.now()
        self._check_archive(archive)
        order = ShareOrder(archive=archive, resources=tuple((study,) for study in studies), expires_at=now + CODE_LASTS)
        resources = named(order)
        self._demand(subject, _LOOKING, resources, client)
        await self._check_there(subject, resources)
        code = link.new_secret()
        visit = Visit(
            id=link.new_id(),
            digest=code.digest(),
            subject=subject.name,
            archive=archive,
            created_at=now,
            ends_at=now + CODE_LASTS,
            resources=resources,
        )
        record = Record(
            at=now,
            event=Event.VISIT_PREPARED,
            subject=subject.name,
            archive=archive,
            study=_only_study(resources),
            visit=visit.id,
            detail={"resources": " ".join(map(str, resources))},
            personal=client.personal(),
        )
        await self.store.prepare_visit(visit, record)
        return visit, f"{self.public_url.rstrip('/')}/o#{code.reveal()}"

    # -- studies

    async def find_studies(
        self, subject: Subject, archive: str, raw_query: bytes, client: Client = LOCAL
    ) -> list[dict[str, Any]]:
        """Search the studies that *subject* may see; *raw_query* is QIDO-RS's (PS3.18 section 10.6).

        That it was searched is on the trail before anything is found.
        """
        self._check_archive(archive)
        ask = Ask(Action.SEARCH, Resource.whole(archive), divisible=True)
        match decide(ask, subject, self._grants(subject), self.now()):
            case Allow(reach):
                return await self._found(subject, archive, reach, raw_query, client)
            case Deny(reason):
                self._refuse(subject, reason, ask.action, ask.resource, client)
                raise NotAllowed(reason, "you may not search this archive")

    async def _found(
        self, subject: Subject, archive: str, reach: Scope, raw_query: bytes, client: Client
    ) -> list[dict[str, Any]]:
        access = Record(
            at=self.now(),
            event=Event.SEARCH,
            subject=subject.name,
            archive=archive,
            action=Action.SEARCH,
            personal=client.personal(),
        )
        await self.ledger.release(access)
        found = await self.find(archive, reach, raw_query)
        self.ledger.count(access, 0, 0)
        return found

    # -- what these rest on

    async def _mine(self, subject: Subject, share_id: str, client: Client) -> Share:
        share = await self.store.share(share_id) if link.is_id(share_id) else None
        if share is None:
            raise _no_share(share_id)
        if not self._sees(subject, share):
            resource = share.resources[0]
            self._refuse(subject, Reason.NO_GRANT, Action.SHARE, resource, client, share.id)
            raise _no_share(share_id)
        return share

    def _demand_giving(self, subject: Subject, share: Share, client: Client) -> None:
        """One may only give what one holds: who passes a share on could have made it."""
        self._demand(subject, (Action.SHARE, *sorted(ALLOWS[share.kind])), share.resources, client)

    async def _check_there(self, subject: Subject, resources: Sequence[Resource]) -> None:
        archive = resources[0].archive
        reach = scope(Action.SEARCH, subject, self._grants(subject), self.now())
        wanted = list(dict.fromkeys(resource.path[0] for resource in resources))
        query = f"includefield=0020000D&StudyInstanceUID={','.join(wanted)}".encode()
        found = {_uid(item, "0020000D") for item in await self.find(archive, reach, query)}
        for study in wanted:
            if study not in found:
                raise NotFound(f"the archive {archive} has no study {study}", "check the StudyInstanceUID")
        for resource in resources:
            if resource.series is not None:
                series = await self.find_series(archive, reach, resource.path[0])
                if resource.series not in {_uid(item, "0020000E") for item in series}:
                    raise NotFound(f"the study has no series {resource.series}", "check the SeriesInstanceUID")

    def _record(
        self, event: Event, subject: Subject, client: Client, share: Share, detail: Mapping[str, str] | None = None
    ) -> Record:
        made = event is Event.SHARE_CREATED
        whole = {
            "resources": " ".join(map(str, share.resources)),
            "expires_at": share.expires_at.isoformat(),
            "max_visits": str(share.max_visits or "unlimited"),
            **({} if share.kind is ShareKind.VIEW else {"allows": share.kind.value}),
        }
        return Record(
            at=self.now(),
            event=event,
            subject=subject.name,
            archive=share.archive,
            study=_only_study(share.resources),
            action=Action.SHARE,
            share=share.id,
            detail=whole if detail is None else detail,
            personal=client.personal() | (_about_persons(share) if made else {}),
        )


def _changes(change: ShareChange) -> dict[str, str]:
    """What of *change* the chain keeps: no note and no recipient, which are about persons."""
    said = {
        "expires_at": change.expires_at and change.expires_at.isoformat(),
        "not_before": change.not_before and change.not_before.isoformat(),
        "more_visits": str(change.more_visits) if change.more_visits else None,
        "new_link": "yes" if change.new_link_key else None,
    }
    return {name: text for name, text in said.items() if text}


def _about_persons(said: Share | ShareChange) -> dict[str, str]:
    """What the trail keeps beside the chain."""
    words = {"recipient": said.recipient, "note": said.note}
    return {name: text for name, text in words.items() if text is not None}


def _uid(item: Mapping[str, Any], tag: str) -> str | None:
    values = item.get(tag, {}).get("Value") or [None]
    return None if values[0] is None else str(values[0])


def _only_study(resources: Sequence[Resource]) -> str | None:
    """The study that a record is about, when it is about one; its detail names all."""
    studies = {resource.study for resource in resources}
    return studies.pop() if len(studies) == 1 else None


def _no_share(share_id: str) -> NotFound:
    problem = f"there is no share {share_id}" if link.is_id(share_id) else "there is no such share"
    return NotFound(problem, "list them with: keyhole shares")
