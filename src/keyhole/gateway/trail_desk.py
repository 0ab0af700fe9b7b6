"""Reading the trail: for whoever may administer, and on the trail itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action
from keyhole.access.subject import Subject
from keyhole.gateway.client import LOCAL, Client
from keyhole.gateway.office import Office, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailDesk(Office):
    """For auditors."""

    async def consult_trail(self, subject: Subject, about: Mapping[str, str], client: Client = LOCAL) -> Store:
        """The store, to read its trail; that *subject* did so, and what *about*, is on record before."""
        self._demand_everywhere(subject, Action.ADMINISTER, client)
        record = Record(
            at=self.now(),
            event=Event.TRAIL_READ,
            subject=subject.name,
            action=Action.ADMINISTER,
            detail=about,
            personal=client.personal(),
        )
        await self.store.append([record])
        return self.store
