"""Who can reach a study at this moment, and through what: every live grant with its cause."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from keyhole.access.decision import Allow, Ask, Event, Record
from keyhole.access.pdp import decide
from keyhole.access.resource import Action, Resource
from keyhole.access.share import ApiKey, Share, Visit
from keyhole.access.subject import Subject
from keyhole.gateway.client import LOCAL, Client
from keyhole.gateway.identify import Holder
from keyhole.gateway.office import Office
from keyhole.sharing.visit import LONGEST, over

_PAGE = 200


@dataclass(frozen=True, slots=True)
class OpenShare:
    """A share that reaches the study, and its visits that are running."""

    share: Share
    visits: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class WhoCan:
    """Who can do ``action`` to ``study``, or to a part of it, at ``at``. Shares are newest first."""

    study: Resource
    action: Action
    at: datetime
    shares: tuple[OpenShare, ...]
    visits: tuple[Visit, ...]
    """Those of staff, which belong to no share."""
    keys: tuple[ApiKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDesk(Office):
    """For auditors."""

    async def who_can(
        self, subject: Subject, study: Resource, action: Action = Action.RETRIEVE, client: Client = LOCAL
    ) -> WhoCan:
        """Every live grant of *action* that reaches *study* or a part of it; that *subject* looked is on record before.

        Whether the archive has the study is not asked: grants are to names.
        """
        self._check_archive(study.archive)
        self._demand(subject, (Action.AUDIT,), (study,), client)
        now = self.now()
        await self.store.append([_looked(subject, study, action, now, client)])
        keys = {key.principal: key for key in await self.store.keys() if key.live(now)}
        ask = Ask(action, study, divisible=True)
        return WhoCan(
            study=study,
            action=action,
            at=now,
            shares=tuple([each async for each in self._shares(ask, now)]),
            visits=await self._visits(ask, keys, now),
            keys=tuple(key for key in keys.values() if _may(Holder.of_key(key.as_subject(), self.archives), ask, now)),
        )

    async def _shares(self, ask: Ask, now: datetime) -> AsyncIterator[OpenShare]:
        after: str | None = None
        while page := await self.store.shares(study=ask.resource.study, after=after, limit=_PAGE):
            for share in page:
                if _may(Holder.of_share(share), ask, now):
                    visits = await self.store.visits(share.id)
                    yield OpenShare(share, tuple(visit for visit in visits if over(visit, share, now) is None))
            after = page[-1].id

    async def _visits(self, ask: Ask, keys: Mapping[str, ApiKey], now: datetime) -> tuple[Visit, ...]:
        """Those of staff; one that a key made ends with the key."""
        made: Sequence[Visit] = await self.store.visits_of_staff(now - LONGEST)
        return tuple(
            visit
            for visit in made
            if over(visit, None, now) is None
            and (visit.subject in keys or not visit.subject.startswith("key:"))
            and _may(Holder.of_visit(visit, None), ask, now)
        )


def _may(holder: Holder, ask: Ask, now: datetime) -> bool:
    return isinstance(decide(ask, holder.subject, holder.grants, now), Allow)


def _looked(subject: Subject, study: Resource, action: Action, now: datetime, client: Client) -> Record:
    return Record(
        at=now,
        event=Event.GRANTS_READ,
        subject=subject.name,
        archive=study.archive,
        study=study.study,
        action=Action.AUDIT,
        detail={"asked": action.value},
        personal=client.personal(),
    )
