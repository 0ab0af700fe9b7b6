"""Administration: shares, staff's own visits and keys. Each is a request like any other: same PDP, same trail.

Both the command line and the staff API work through the :class:`Desk`; neither decides anything itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from keyhole.access.condition import NO_CONDITIONS
from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record, Scope
from keyhole.access.mail import Mail
from keyhole.access.pdp import decide, scope
from keyhole.access.resource import Action, Resource
from keyhole.access.share import ALLOWS, PatientName, Priors, Share, ShareChange, ShareKind, Visit
from keyhole.access.subject import Subject
from keyhole.errors import Refused
from keyhole.gateway import share_records
from keyhole.gateway.audit_desk import AuditDesk
from keyhole.gateway.client import LOCAL, Client
from keyhole.gateway.conditioning import Conditioning, Hash, Purpose
from keyhole.gateway.identify import roles_of
from keyhole.gateway.key_desk import KeyDesk
from keyhole.gateway.office import NotAllowed, NotFound, Store, TrailRows
from keyhole.gateway.order import NO_WISHES, ShareOrder, Wishes, check_change, check_number, named
from keyhole.gateway.passcode import Passcodes
from keyhole.gateway.patients import Patients
from keyhole.gateway.policy import Policy
from keyhole.gateway.post.rows import ending_mail
from keyhole.gateway.post.words import MailSite
from keyhole.gateway.role_desk import RoleDesk
from keyhole.gateway.trail_desk import TrailDesk
from keyhole.sharing import link
from keyhole.sharing.paper import paper_digest
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
    policy: Policy = field(default_factory=Policy)
    mail_site: MailSite = field(default_factory=MailSite)
    hashed: Hash = field(default_factory=lambda: Passcodes().hashed)

    # -- shares

    async def create_share(self, subject: Subject, order: ShareOrder, client: Client = LOCAL) -> Share:
        """Share what *order* names, if *subject* holds it and may share it, the policy allows it, and it is there."""
        now = self.now()
        order.check(now, self.longest_share)
        self._check_archive(order.archive)
        order = self._within_policy(subject, order, client)
        resources, patient = await self._resolved(subject, order, client)
        name, key_id = link.new_id(), self.ring.current
        purpose = Purpose(share=name, key_id=key_id, resources=resources, reach=self._searches(subject))
        share = Share(
            id=name,
            archive=order.archive,
            resources=resources,
            kind=order.kind,
            creator=subject.name,
            created_at=now,
            expires_at=order.expires_at,
            key_id=key_id,
            not_before=order.not_before,
            max_visits=order.max_visits,
            recipient=order.recipient,
            note=order.note,
            conditions=await self._conditioning.kept(order.wishes, NO_CONDITIONS, purpose, now.date()),
            paper=paper_digest(self.ring, key_id, name, 1) if order.wishes.paper else None,
            mail_to=order.mail_to,
            notify=order.notify or self.policy.notify,
            language=order.language,
            priors=order.priors,
            patient=patient,
        )
        await self.store.add_share(share, share_records.made(share, subject, client), ending_mail(share, now))
        return share

    def _within_policy(self, subject: Subject, order: ShareOrder, client: Client) -> ShareOrder:
        """*order* with the administrator's bounds, for whoever may give what it names; Refused when it breaks them."""
        actions = (Action.SHARE, *sorted(ALLOWS[order.kind]))
        if order.priors is Priors.FUTURE:  # whatever comes: only who may share everything gives that
            self._demand(subject, actions, (Resource.whole(order.archive),), client)
        if order.patient is None:
            self._demand(subject, actions, named(order), client)
        else:
            self._demand_somewhere(subject, actions, order.archive, client)
        return self.policy.applied(order, roles_of(subject))

    async def _resolved(
        self, subject: Subject, order: ShareOrder, client: Client
    ) -> tuple[tuple[Resource, ...], PatientName | None]:
        """What *order* shares, all of it in the archive and *subject*'s to give, and whose it is if that matters."""
        resources = () if order.patient else named(order)
        patient: PatientName | None = None
        found: Sequence[str] = ()
        if resources:
            await self._check_there(subject, resources)
        reach = self._searches(subject)
        if order.patient is not None:
            patient, found = await self._patients.named(order.archive, reach, order.patient)
        elif order.priors is not Priors.NONE:
            studies = [resource.path[0] for resource in resources]
            patient, found = await self._patients.whose(order.archive, reach, studies)
        everything = dict.fromkeys((*resources, *(Resource.of(order.archive, study) for study in found)))
        check_number(len(everything))
        if found:
            self._demand(subject, (Action.SHARE, *sorted(ALLOWS[order.kind])), everything, client)
        return tuple(everything), patient

    async def change_share(
        self,
        subject: Subject,
        share_id: str,
        change: ShareChange,
        client: Client = LOCAL,
        wishes: Wishes = NO_WISHES,
    ) -> Share:
        """Renew, extend, shorten, allow more openings, ask more, make a new link; or withdraw: then that is all.

        Whoever gives more must hold what the share holds; withdrawing is open to whoever sees the share.
        """
        now = self.now()
        share = await self._mine(subject, share_id, client)
        if change.withdrawn_at is not None:
            record = share_records.withdrawn(share, subject, client, now)
            return await self._changed(share, ShareChange(withdrawn_at=now), record)
        check_change(change, share, self.ring.current, now, self.longest_share)
        self._demand_giving(subject, share, client)
        change = self.policy.applied_to_change(change, share, wishes, roles_of(subject))
        change = await self._whole(subject, share, change, wishes)
        record = share_records.changed(share, change, subject, client, now)
        return await self._changed(share, change, record, _reminder(share, change, now))

    async def _whole(self, subject: Subject, share: Share, change: ShareChange, wishes: Wishes) -> ShareChange:
        """*change* with the conditions that are wished for, and with what a new link's key has to derive anew."""
        key_id = change.new_link_key or share.key_id
        if key_id != share.key_id and share.conditions.birth_date is not None:
            wishes = replace(wishes, birth_date=True)
        if wishes.names:
            purpose = Purpose(share=share.id, key_id=key_id, resources=share.resources, reach=self._searches(subject))
            kept = await self._conditioning.kept(wishes, share.conditions, purpose, self.now().date())
            change = replace(change, conditions=kept, instead_of=share.conditions)
        if wishes.paper or (change.new_link_key is not None and share.paper is not None):
            generation = share.generation + (change.new_link_key is not None)
            change = replace(change, paper=paper_digest(self.ring, key_id, share.id, generation))
        return change

    async def _changed(self, share: Share, change: ShareChange, record: Record, mails: Sequence[Mail] = ()) -> Share:
        changed = await self.store.change_share(share.id, change, record, mails)
        if changed is None:
            raise _no_share(share.id)
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

    async def mails(self, subject: Subject, share_id: str, client: Client = LOCAL) -> Sequence[Mail]:
        """The mails about one share, oldest first."""
        await self._mine(subject, share_id, client)
        return await self.store.mails(share_id)

    async def giving(self, subject: Subject, share_id: str, client: Client = LOCAL) -> Share:
        """One share, for whoever could open the studies anyway and may pass its link on."""
        share = await self._mine(subject, share_id, client)
        self._demand_giving(subject, share, client)
        return share

    def may_see(self, subject: Subject, share: Share) -> bool:
        """Whether *share* is one of those that :meth:`shares` lists for *subject*."""
        return self._sees(subject, share)

    async def show_link(
        self, subject: Subject, share_id: str, client: Client = LOCAL, *, form: str | None = None
    ) -> str:
        """The link of a share again, for whoever could open the studies anyway; that it was shown is on the trail.

        *form* is what it is shown as, when that is not its text.
        """
        share = await self.giving(subject, share_id, client)
        shown = self.link(share)
        record = share_records.link_shown(share, subject, client, self.now())
        said = {} if form is None else {"form": form}
        await self.store.append([replace(record, detail={**record.detail, **said})])
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
            study=share_records.only_study(resources),
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

    def _searches(self, subject: Subject) -> Scope:
        return scope(Action.SEARCH, subject, self._grants(subject), self.now())

    @property
    def _patients(self) -> Patients:
        return Patients(self.find)

    @property
    def _conditioning(self) -> Conditioning:
        return Conditioning(patients=self._patients, ring=self.ring, hashed=self.hashed)

    async def _check_there(self, subject: Subject, resources: Sequence[Resource]) -> None:
        archive, reach = resources[0].archive, self._searches(subject)
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


def _uid(item: Mapping[str, Any], tag: str) -> str | None:
    values = item.get(tag, {}).get("Value") or [None]
    return None if values[0] is None else str(values[0])


def _reminder(share: Share, change: ShareChange, now: datetime) -> tuple[Mail, ...]:
    """The notice before the end, when *change* moves the end or names who is told."""
    moved = change.expires_at is not None or change.notify is not None
    ends, told = change.expires_at or share.expires_at, change.notify or share.notify
    return ending_mail(replace(share, expires_at=ends, notify=told), now) if moved else ()


def _no_share(share_id: str) -> NotFound:
    problem = f"there is no share {share_id}" if link.is_id(share_id) else "there is no such share"
    return NotFound(problem, "list them with: keyhole shares")
