"""What the desks rest on: who may do what, told to the trail when they may not, and what there is to order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record
from keyhole.access.grant import Grant
from keyhole.access.pdp import decide, scope
from keyhole.access.resource import Action, Resource
from keyhole.access.share import Share
from keyhole.access.subject import Subject
from keyhole.errors import Refused
from keyhole.gateway.client import Client
from keyhole.gateway.identify import roles_of
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.ports import Keys, Limits, Mails, RoleBooks, Shares, Trail, Visits
from keyhole.identity.role import role_grants


class NotAllowed(Refused):
    """The subject may not do this; ``reason`` says why in the closed list's words."""

    def __init__(self, reason: Reason, problem: str, hint: str | None = None) -> None:
        """Say the *problem*."""
        super().__init__(problem, hint)
        self.reason = reason


class NotFound(Refused):
    """There is no such thing, or the subject may not know of it."""


class TrailRows(Protocol):
    """A reader of the trail, as the desk needs it."""

    async def timeline(self, share_id: str) -> Sequence[Any]:
        """The trail's rows about one share, oldest first."""


class Store(Shares, Visits, Limits, Mails, Keys, RoleBooks, Trail, TrailRows, Protocol):
    """What the desks keep things in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Where desks keep things, and how they ask the decision point. What it refuses is on the trail."""

    store: Store
    archives: Sequence[str]
    ledger: Ledger
    now: Callable[[], datetime]

    def _demand(
        self, subject: Subject, actions: Iterable[Action], resources: Iterable[Resource], client: Client
    ) -> None:
        """Raise :class:`NotAllowed` unless *subject* may do all *actions* to all *resources*."""
        grants, now, actions = self._grants(subject), self.now(), tuple(actions)
        for ask in (Ask(action, resource) for resource in resources for action in actions):
            match decide(ask, subject, grants, now):
                case Allow():
                    continue
                case Deny(reason):
                    self._refuse(subject, reason, ask.action, ask.resource, client)
                    hint = "ask an administrator for the right to"
                    raise NotAllowed(reason, f"you may not {ask.action} {ask.resource}", hint)

    def _demand_somewhere(self, subject: Subject, actions: Iterable[Action], archive: str, client: Client) -> None:
        """Raise :class:`NotAllowed` unless *subject* may do each of *actions* to something in *archive*."""
        grants, now, whole = self._grants(subject), self.now(), Resource.whole(archive)
        for action in actions:
            if scope(action, subject, grants, now).within(whole).empty:
                self._demand(subject, (action,), (whole,), client)

    def _demand_everywhere(self, subject: Subject, action: Action, client: Client) -> None:
        self._demand(subject, (action,), map(Resource.whole, self.archives), client)

    def _refuse(
        self,
        subject: Subject,
        reason: Reason,
        action: Action,
        resource: Resource,
        client: Client,
        share: str | None = None,
    ) -> None:
        self.ledger.refuse(
            Record(
                at=self.now(),
                event=Event.REFUSAL,
                subject=subject.name,
                archive=resource.archive,
                study=resource.study,
                series=resource.series,
                action=action,
                reason=reason,
                share=share,
                personal=client.personal(),
            )
        )

    def _sees(self, subject: Subject, share: Share) -> bool:
        """Whether *subject* made *share* or could have; of shares in an archive that is no longer set up as well."""
        if Action.SHARE not in subject.ceiling:
            return False
        reach = scope(Action.SHARE, subject, self._grants(subject, share.archive), self.now())
        return share.creator == subject.name or all(map(reach.covers, share.resources))

    def _sees_others(self, subject: Subject) -> bool:
        """Whether *subject* may see any share of others: who may not is not to be looked for among a million."""
        return not scope(Action.SHARE, subject, self._grants(subject), self.now()).empty

    def _grants(self, subject: Subject, *besides: str) -> tuple[Grant, ...]:
        return role_grants(roles_of(subject), dict.fromkeys((*self.archives, *besides)))

    def _check_archive(self, archive: str) -> None:
        if archive not in self.archives:
            raise NotFound(f"there is no archive {archive}", f"archives are {', '.join(self.archives)}")
