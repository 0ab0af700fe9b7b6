"""Links that are made in Orthanc, by people whom its plugin does not name: shares like any other.

Who asks is the Orthanc itself, of the same PDP as everybody; how far it may go is the operator's word
(:class:`keyhole.sharing.token.Creation`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from keyhole.access.condition import NO_CONDITIONS, Conditions
from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record, Scope
from keyhole.access.pdp import decide, scope
from keyhole.access.resource import Action, Level, Resource
from keyhole.access.share import ALLOWS, Origin, Share
from keyhole.errors import Refused
from keyhole.gateway.client import Client
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.office import NotAllowed
from keyhole.gateway.patients import Patients
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.meddream import TokenService
from keyhole.gateway.plugin.naming import Naming, Wanted
from keyhole.gateway.plugin.tokens import Tokens
from keyhole.gateway.ports import Shares
from keyhole.sharing import link
from keyhole.sharing.address import NEEDS, Addresses
from keyhole.sharing.condition import birth_date_digest
from keyhole.sharing.token import TYPES, AsksFor, Creation, Opens, TokenType, Viewer, ends_at, token_of

INSTANT = timedelta(seconds=200)
"""How long an instant link lasts of which nobody says so: as the Explorer has it."""

LONGEST_INSTANT = timedelta(minutes=10)
_SERVER_ID_LONGEST = 200

_log = logging.getLogger("keyhole")


class LinkOrder(msgspec.Struct, rename="kebab", frozen=True):
    """The body of ``PUT tokens/{type}``; any field may be missing or null, and the duration any number."""

    type: str | None = None
    server_id: str | None = None
    resources: Sequence[Wanted] | None = None
    expiration_date: str | None = None
    validity_duration: Any = None


@dataclass(frozen=True, slots=True)
class Made:
    """What Orthanc is answered: both are secrets."""

    token: str = field(repr=False)
    url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDesk:
    """One per process. ``link`` gives the link of a share.

    Raises Refused and NotAllowed for what cannot be, ArchiveFailed, ProviderFailed and StoreFailed for what is broken;
    nothing has been made then, but perhaps a token of MedDream's that nobody has.
    """

    shares: Shares
    ledger: Ledger
    tokens: Tokens
    naming: Naming
    ring: link.Ring
    link: Callable[[Share], str]
    addresses: Addresses
    longest_share: timedelta
    now: Callable[[], datetime]
    meddream: TokenService | None = None

    async def create(self, caller: Caller, name: str, order: LinkOrder, client: Client) -> Made:
        """A link of the type called *name* to what *order* names, recorded before it is given out."""
        kind = self._kind(name, order)
        now = self.now()
        expires_at = self._ends(caller, kind, order, now)
        if not caller.calls_itself(order.server_id):
            self._refuse(caller, Reason.BAD_CREDENTIAL, client)
            raise NotAllowed(Reason.BAD_CREDENTIAL, "its WebServiceIdentifier is not the server id that is set here")
        self._demand(caller, kind, (Resource.whole(caller.archive),), client)
        reach = scope(Action.SEARCH, caller.as_subject(), caller.grants(), now)
        found = await self.naming.resolve(caller.archive, reach, order.resources or ())
        self._demand(caller, kind, tuple(found), client)
        share_id, key_id = link.new_id(), self.ring.current
        birth_date = await self._birth_date(caller, kind, tuple(found), reach)
        conditions = NO_CONDITIONS
        if birth_date is not None:
            conditions = Conditions(birth_date=birth_date_digest(self.ring, key_id, share_id, birth_date))
        share = Share(
            id=share_id,
            archive=caller.archive,
            resources=tuple(found),
            orthanc_ids=tuple(found.values()),
            kind=kind.kind,
            creator=caller.principal,
            created_at=now,
            expires_at=expires_at,
            key_id=key_id,
            origin=Origin.PLUGIN,
            token_type=name,
            bearer=not conditions and self._is_bearer(caller, name, tuple(found)),
            conditions=conditions,
        )
        token = token_of(share, self.ring).reveal()
        made = Made(await self._foreign(share) or token, self.address(share, token))
        await self.shares.add_share(share, _record(share, order, client))
        return made

    async def _birth_date(
        self, caller: Caller, kind: TokenType, resources: Sequence[Resource], reach: Scope
    ) -> str | None:
        """What a link asks, unless it is for minutes or nothing is to be asked."""
        if kind.instant or caller.conditions is AsksFor.NONE:
            return None
        studies = [resource.path[0] for resource in resources]
        try:
            return await Patients(self.naming.find).birth_date(caller.archive, reach, studies, self.now().date())
        except Refused:
            _log.warning("a link was not made: its studies have no birth date to ask for; share them from Keyhole")
            raise

    async def way(self, share: Share, token: str) -> str | None:
        """Where the landing page sends whoever shows *token*, and so nowhere that leads back to it.

        Raises as :meth:`address`, and ProviderFailed.
        """
        if share.bearer and TYPES[share.token_type or ""].viewer is Viewer.MEDDREAM:
            return await self._meddream().address(_studies(share))
        return self.address(share, token)

    async def _foreign(self, share: Share) -> str | None:
        """The token that people get in place of ours: MedDream takes none but its own."""
        kind = TYPES[share.token_type or ""]
        if kind.viewer is not Viewer.MEDDREAM or not share.bearer:
            return None
        service = self._meddream()
        return await service.token(_studies(share)) if kind.instant else None

    def _meddream(self) -> TokenService:
        if self.meddream is None:
            _log.warning("a link to MedDream was asked for: set KEYHOLE_PLUGIN_MEDDREAM_URL and …_TOKEN_URL")
            raise Refused("links to this viewer are not set up")
        return self.meddream

    def address(self, share: Share, token: str) -> str | None:
        """Where people go with *share*: to its page, to the viewer's own address with *token* in it, or nowhere.

        Raises Refused when the viewer has no address here.
        """
        kind = TYPES[share.token_type or ""]
        if kind.instant:
            return None
        if not share.bearer:
            return self.link(share)
        address = self.addresses.of(kind.viewer, _studies(share), share.orthanc_ids, token) if kind.viewer else None
        if address is None:
            needs = NEEDS.get(kind.viewer) if kind.viewer else None
            _log.warning("a link of the type %s has no address: set %s", share.token_type, needs or "it to landing")
            raise Refused("links to this viewer are not set up")
        return address

    def _kind(self, name: str, order: LinkOrder) -> TokenType:
        kind = TYPES.get(name)
        if kind is None or order.type not in (None, "", name):
            raise Refused("there is no such type of link")
        if self.tokens.opens(name) is Opens.OFF:
            raise Refused("links of this type are switched off")
        return kind

    def _is_bearer(self, caller: Caller, name: str, resources: Sequence[Resource]) -> bool:
        """Whether the token itself is to open the share in Orthanc. A viewer's address names studies only."""
        if TYPES[name].instant:
            return True
        trusted = caller.creation is Creation.TRUSTED and self.tokens.opens(name) is Opens.DIRECT
        return trusted and all(resource.level is Level.STUDY for resource in resources)

    def _ends(self, caller: Caller, kind: TokenType, order: LinkOrder, now: datetime) -> datetime:
        usual, longest = caller.longest, min(caller.longest, self.longest_share)
        if caller.creation is Creation.TRUSTED:
            longest = self.longest_share
        if kind.instant:
            usual, longest = INSTANT, LONGEST_INSTANT
        end = ends_at(_date(order.expiration_date), _seconds(order), now, usual=usual, longest=longest)
        if end <= now:
            raise Refused("the link would have ended before it begins")
        return end

    def _demand(self, caller: Caller, kind: TokenType, resources: Sequence[Resource], client: Client) -> None:
        subject, grants, now = caller.as_subject(), caller.grants(), self.now()
        for resource in resources:
            for action in (Action.SHARE, *sorted(ALLOWS[kind.kind])):
                match decide(Ask(action, resource), subject, grants, now):
                    case Allow():
                        continue
                    case Deny(reason):
                        self._refuse(caller, reason, client)
                        raise NotAllowed(reason, "this Orthanc may not make links")

    def _refuse(self, caller: Caller, reason: Reason, client: Client) -> None:
        self.ledger.refuse(
            Record(
                at=self.now(),
                event=Event.REFUSAL,
                subject=caller.principal,
                archive=caller.archive,
                action=Action.SHARE,
                reason=reason,
                personal=client.personal(),
            )
        )


def _studies(share: Share) -> tuple[str, ...]:
    return tuple(dict.fromkeys(resource.path[0] for resource in share.resources))


def _date(said: str | None) -> datetime | None:
    if not said:
        return None
    try:
        return datetime.fromisoformat(said.strip())
    except ValueError:
        raise Refused("the end of the link is not a date") from None


def _seconds(order: LinkOrder) -> int | None:
    """The duration, when it is a whole number; which of those are wishes is not judged here."""
    said = order.validity_duration
    return said if isinstance(said, int) and not isinstance(said, bool) else None


def _legible(words: str) -> str:
    """*words* of a caller's as they can stand on the trail."""
    return "".join(each if each.isprintable() else "?" for each in words[:_SERVER_ID_LONGEST])


def _record(share: Share, order: LinkOrder, client: Client) -> Record:
    studies = {resource.path[0] for resource in share.resources}
    wished, given = _seconds(order), round((share.expires_at - share.created_at).total_seconds())
    detail = {
        "resources": " ".join(map(str, share.resources)),
        "expires_at": share.expires_at.isoformat(),
        "type": share.token_type,
        "server_id": _legible(order.server_id or ""),
        "opens": "orthanc" if share.bearer else "page",
        "conditions": " ".join(share.conditions.names),
        "asked_seconds": None if wished in (None, given) else str(wished),
    }
    return Record(
        at=share.created_at,
        event=Event.SHARE_CREATED,
        subject=share.creator,
        archive=share.archive,
        study=studies.pop() if len(studies) == 1 else None,
        action=Action.SHARE,
        share=share.id,
        detail={name: text for name, text in detail.items() if text},
        personal=client.personal(),
    )
