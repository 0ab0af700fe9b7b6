"""Administration: shares, staff's own visits and keys. Each is a request like any other: same PDP, same trail.

Both the command line and the staff API work through the :class:`Desk`; neither decides anything itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record, Scope
from keyhole.access.grant import Grant
from keyhole.access.pdp import decide, scope
from keyhole.access.resource import Action, Resource, is_uid
from keyhole.access.share import ALLOWS, ApiKey, Share, ShareChange, ShareKind, Visit
from keyhole.access.subject import Subject
from keyhole.errors import Refused
from keyhole.gateway.client import LOCAL, Client
from keyhole.gateway.ports import Keys, Shares, Trail, Visits
from keyhole.identity import apikey
from keyhole.identity.role import ROLES, role_grants
from keyhole.sharing import link
from keyhole.sharing.visit import CODE_LASTS

_NOTE_LONGEST = 1000
_MOST_RESOURCES = 100


class NotAllowed(Refused):
    """The subject may not do this; ``reason`` says why in the closed list's words."""

    def __init__(self, reason: Reason, problem: str, hint: str | None = None) -> None:
        """Say the *problem*."""
        super().__init__(problem, hint)
        self.reason = reason


class NotFound(Refused):
    """There is no such thing, or the subject may not know of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareOrder:
    """What to share: ``resources`` are tuples of a StudyInstanceUID and, for one series, its SeriesInstanceUID."""

    archive: str
    resources: tuple[tuple[str, ...], ...]
    expires_at: datetime
    not_before: datetime | None = None
    max_visits: int | None = None
    note: str | None = None
    recipient: str | None = None


class TrailRows(Protocol):
    """A reader of the trail, as the desk needs it."""

    async def timeline(self, share_id: str) -> Sequence[Any]:
        """The trail's rows about one share, oldest first."""


class Store(Shares, Visits, Keys, Trail, TrailRows, Protocol):
    """What the desk keeps things in."""


Find = Callable[[str, Scope, bytes], Awaitable[list[dict[str, Any]]]]
"""Search one archive's studies (name, scope, raw query): DICOM JSON items, none outside the scope."""

FindSeries = Callable[[str, Scope, str], Awaitable[list[dict[str, Any]]]]
"""Search the series of one study (archive, scope, StudyInstanceUID)."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One per process.

    Methods raise :class:`NotAllowed`, :class:`NotFound` or :class:`keyhole.errors.Refused` for what cannot be,
    ArchiveFailed and StoreFailed for what is broken; nothing has changed then.
    """

    store: Store
    archives: Sequence[str]
    ring: link.KeyRing
    public_url: str
    longest_share: timedelta
    find: Find
    find_series: FindSeries
    now: Callable[[], datetime]

    # -- shares

    async def create_share(self, subject: Subject, order: ShareOrder, client: Client = LOCAL) -> Share:
        """Share what *order* names, if *subject* holds it and may share it, and the archive has it."""
        now = self.now()
        self._check_time(order.expires_at, order.not_before, now)
        self._check_words(order.note, order.recipient)
        resources = self._named(order)
        for resource in resources:
            for action in (Action.SHARE, *sorted(ALLOWS[ShareKind.VIEW])):
                self._demand(subject, action, resource, now)
        await self._check_there(subject, resources, now)
        if order.max_visits is not None and order.max_visits < 1:
            raise Refused("a share needs at least one visit", "leave the number of visits out for no limit")
        share = Share(
            id=link.new_id(),
            archive=order.archive,
            resources=resources,
            kind=ShareKind.VIEW,
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
        """Renew, extend, shorten, allow more openings, make a new link, or withdraw."""
        now = self.now()
        share = await self._mine(subject, share_id, now)
        event = Event.SHARE_WITHDRAWN if change.withdrawn_at is not None else Event.SHARE_CHANGED
        if event is Event.SHARE_CHANGED:
            if share.withdrawn_at is not None:
                raise Refused("this share was withdrawn", "share the study again: a withdrawal is for good")
            self._check_time(change.expires_at, change.not_before, now)
            self._check_words(change.note, change.recipient)
            for resource in share.resources:
                self._demand(subject, Action.SHARE, resource, now)
            if change.more_visits < 0 or (change.more_visits and share.max_visits is None):
                raise Refused("this share has no limit of visits", "it can be opened as often as wanted until its end")
        record = self._record(event, subject, client, share, _changes(change))
        changed = await self.store.change_share(share_id, change, record)
        if changed is None:
            raise _no_share(share_id)
        return changed

    async def share(self, subject: Subject, share_id: str) -> Share:
        """One share, for its creator and for whoever may share what it holds."""
        return await self._mine(subject, share_id, self.now())

    async def shares(
        self, subject: Subject, *, study: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[Share]:
        """The shares that *subject* may see, newest first."""
        now = self.now()
        held: list[Share] = []
        while len(held) < limit:
            page = await self.store.shares(study=study, after=after, limit=limit)
            held.extend(share for share in page if self._sees(subject, share, now))
            if len(page) < limit:
                break
            after = page[-1].id
        return held[:limit]

    async def timeline(self, subject: Subject, share_id: str) -> Sequence[Any]:
        """What happened with one share, oldest first, as rows of the trail."""
        await self._mine(subject, share_id, self.now())
        return await self.store.timeline(share_id)

    async def show_link(self, subject: Subject, share_id: str, client: Client = LOCAL) -> str:
        """The link of a share again; that it was shown is on the trail."""
        share = await self._mine(subject, share_id, self.now())
        await self.store.append([self._record(Event.LINK_SHOWN, subject, client, share)])
        return self.link(share)

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
        order = ShareOrder(archive=archive, resources=tuple((study,) for study in studies), expires_at=now + CODE_LASTS)
        resources = self._named(order)
        for resource in resources:
            for action in sorted(ALLOWS[ShareKind.VIEW]):
                self._demand(subject, action, resource, now)
        await self._check_there(subject, resources, now)
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

    async def find_studies(self, subject: Subject, archive: str, raw_query: bytes) -> list[dict[str, Any]]:
        """Search the studies that *subject* may see; *raw_query* is QIDO-RS's (PS3.18 section 10.6)."""
        self._check_archive(archive)
        now = self.now()
        verdict = decide(
            Ask(Action.SEARCH, Resource.whole(archive), divisible=True), subject, self._grants(subject), now
        )
        match verdict:
            case Allow(reach):
                return await self.find(archive, reach, raw_query)
            case Deny(reason):
                raise NotAllowed(reason, "you may not search this archive")

    # -- keys

    async def create_key(
        self,
        subject: Subject,
        name: str,
        roles: frozenset[str],
        ceiling: frozenset[Action],
        expires_at: datetime | None,
        client: Client = LOCAL,
    ) -> tuple[ApiKey, str]:
        """A new API key and the text that a program shows; that text is not kept and cannot be shown again."""
        now = self.now()
        self._demand_everywhere(subject, Action.ADMINISTER, now)
        unknown = sorted(roles - set(ROLES))
        if unknown or not roles:
            problem = f"there is no role {unknown[0]}" if unknown else "a key needs a role"
            raise Refused(problem, f"roles are {', '.join(sorted(ROLES))}")
        if not name.strip() or len(name) > _NOTE_LONGEST:
            raise Refused("a key needs a name", "say what the key is for, for example: worklist")
        if expires_at is not None and expires_at <= now:
            raise Refused("a key cannot end before it begins")
        key, shown = apikey.mint(
            name=name, roles=roles, ceiling=ceiling, creator=subject.name, created_at=now, expires_at=expires_at
        )
        await self.store.add_key(key, self._key_record(Event.KEY_CREATED, subject, client, key))
        return key, shown

    async def keys(self, subject: Subject) -> Sequence[ApiKey]:
        """All keys, oldest first."""
        self._demand_everywhere(subject, Action.ADMINISTER, self.now())
        return await self.store.keys()

    async def revoke_key(self, subject: Subject, key_id: str, client: Client = LOCAL) -> ApiKey:
        """End a key and the visits it made."""
        now = self.now()
        self._demand_everywhere(subject, Action.ADMINISTER, now)
        key = await self.store.key(key_id)
        if key is None:
            raise NotFound(f"there is no key {key_id}", "list them with: keyhole key list")
        ended = await self.store.revoke_key(key_id, now, self._key_record(Event.KEY_REVOKED, subject, client, key))
        return ended or key

    # -- what all of these rest on

    def _grants(self, subject: Subject) -> tuple[Grant, ...]:
        roles = {name.removeprefix("role:") for name in subject.principals if name.startswith("role:")}
        return role_grants(roles, self.archives)

    def _demand(self, subject: Subject, action: Action, resource: Resource, now: datetime) -> None:
        match decide(Ask(action, resource), subject, self._grants(subject), now):
            case Allow():
                return
            case Deny(reason):
                raise NotAllowed(reason, f"you may not {action} {resource}", "ask an administrator for the right to")

    def _demand_everywhere(self, subject: Subject, action: Action, now: datetime) -> None:
        for archive in self.archives:
            self._demand(subject, action, Resource.whole(archive), now)

    async def _mine(self, subject: Subject, share_id: str, now: datetime) -> Share:
        share = await self.store.share(share_id) if link.is_id(share_id) else None
        if share is None or not self._sees(subject, share, now):
            raise _no_share(share_id)
        return share

    def _sees(self, subject: Subject, share: Share, now: datetime) -> bool:
        if Action.SHARE not in subject.ceiling:
            return False
        reach = scope(Action.SHARE, subject, self._grants(subject), now)
        return share.creator == subject.name or all(map(reach.covers, share.resources))

    def _named(self, order: ShareOrder) -> tuple[Resource, ...]:
        self._check_archive(order.archive)
        if not order.resources:
            raise Refused("a share needs a study", "name it by its StudyInstanceUID")
        if len(order.resources) > _MOST_RESOURCES:
            raise Refused(f"a share holds at most {_MOST_RESOURCES} studies")
        for names in order.resources:
            if len(names) not in (1, 2) or not all(map(is_uid, names)):
                raise Refused("that is not a UID", "a UID has digits and dots, at most 64 characters")
        return tuple(dict.fromkeys(Resource.of(order.archive, *names) for names in order.resources))

    def _check_archive(self, archive: str) -> None:
        if archive not in self.archives:
            raise NotFound(f"there is no archive {archive}", f"archives are {', '.join(self.archives)}")

    def _check_time(self, expires_at: datetime | None, not_before: datetime | None, now: datetime) -> None:
        if expires_at is None:
            return
        if expires_at <= now:
            raise Refused("a share cannot end before it begins", "give a time to come, for example --for 7d")
        if expires_at > now + self.longest_share:
            days = self.longest_share / timedelta(days=1)
            raise Refused(f"a share may last {days:g} days at most here", "KEYHOLE_LONGEST_SHARE sets the limit")
        if not_before is not None and not_before >= expires_at:
            raise Refused("the share would end before it may be opened")

    def _check_words(self, *texts: str | None) -> None:
        if any(text is not None and len(text) > _NOTE_LONGEST for text in texts):
            raise Refused(f"notes and recipients have at most {_NOTE_LONGEST} characters")

    async def _check_there(self, subject: Subject, resources: Sequence[Resource], now: datetime) -> None:
        archive = resources[0].archive
        reach = scope(Action.SEARCH, subject, self._grants(subject), now)
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
        personal = client.personal()
        if event is Event.SHARE_CREATED:
            named = {"recipient": share.recipient, "note": share.note}
            personal |= {name: text for name, text in named.items() if text is not None}
        whole = {
            "resources": " ".join(map(str, share.resources)),
            "expires_at": share.expires_at.isoformat(),
            "max_visits": str(share.max_visits or "unlimited"),
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
            personal=personal,
        )

    def _key_record(self, event: Event, subject: Subject, client: Client, key: ApiKey) -> Record:
        return Record(
            at=self.now(),
            event=event,
            subject=subject.name,
            action=Action.ADMINISTER,
            detail={"key": key.id, "name": key.name, "roles": " ".join(sorted(key.roles))},
            personal=client.personal(),
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


def _uid(item: Mapping[str, Any], tag: str) -> str | None:
    values = item.get(tag, {}).get("Value") or [None]
    return None if values[0] is None else str(values[0])


def _only_study(resources: Sequence[Resource]) -> str | None:
    """The study that a record is about, when it is about one; its detail names all."""
    studies = {resource.study for resource in resources}
    return studies.pop() if len(studies) == 1 else None


def _no_share(share_id: str) -> NotFound:
    named = f" {share_id}" if link.is_id(share_id) else ""
    return NotFound(f"there is no share{named}", "list them with: keyhole shares")
