"""What a token is: asked by the Explorer's landing page, and by Orthanc itself when a token's holder searches.

Orthanc narrows that search to the resources in the answer and asks nothing else, so that naming them is giving what a
search gives. Only a token that opens the share in Orthanc names them: anybody with
a link could otherwise read them before meeting its conditions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from keyhole.access.decision import Allow, Ask, Event, Reason, Record
from keyhole.access.pdp import decide
from keyhole.access.resource import Action, Resource
from keyhole.access.share import Share
from keyhole.access.subject import ANONYMOUS
from keyhole.errors import Refused
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.tokens import Tokens
from keyhole.sharing.token import bare


class Unusable(StrEnum):
    """Why a token is of no use, in the only words that the Explorer has a text for."""

    EXPIRED = "expired"
    INVALID = "invalid"
    UNKNOWN = "unknown"


_WORDS = {
    Reason.EXPIRED: Unusable.EXPIRED,
    Reason.WITHDRAWN: Unusable.EXPIRED,
    Reason.USED_UP: Unusable.EXPIRED,
    Reason.BAD_CREDENTIAL: Unusable.INVALID,
    Reason.WRONG_SECRET: Unusable.INVALID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is told of a token; ``resources`` with Orthanc's names, as far as the token itself opens them."""

    token_type: str | None = None
    error: Unusable | None = None
    address: str | None = None
    resources: tuple[tuple[Resource, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One per process. ``way``: where people go with a share and its token (raises Refused when there is no way).

    ``link``: its own page. Raises StoreFailed, and what ``way`` raises besides.
    """

    tokens: Tokens
    ledger: Ledger
    way: Callable[[Share, str], Awaitable[str | None]]
    link: Callable[[Share], str]
    now: Callable[[], datetime]

    async def read(self, caller: Caller, shown: str) -> Told:
        """What the token *shown* at *caller*'s is. No opening is counted; that resources are named is on record."""
        share, why = await self._found(caller, shown)
        if share is None or why is not None:
            return self._unusable(why or Reason.BAD_CREDENTIAL, caller, share)
        if not self.tokens.is_bearer(share):
            return Told(token_type=share.token_type, address=self._page(share))
        resources = self._open(share)
        for resource, _ in resources:
            access = _access(share, resource, caller, self.now())
            await self.ledger.release(access)
            self.ledger.count(access, 0, 0)
        _, why = await self._found(caller, shown)  # it may have ended while its records were written
        if why is not None:
            return self._unusable(why, caller, share)
        return Told(token_type=share.token_type, address=await self._way(share, bare(shown)), resources=resources)

    async def _found(self, caller: Caller, shown: str) -> tuple[Share | None, Reason | None]:
        """The share that the token is of, and why it is of no use; a share without a reason is open."""
        share = await self.tokens.share(shown)
        if isinstance(share, Reason):
            return None, share
        return share, self.tokens.closed(share, caller, self.now())

    def _open(self, share: Share) -> tuple[tuple[Resource, str], ...]:
        """The resources that whoever shows the token may search now."""
        subject, grants, now = share.as_subject(), share.grants(), self.now()
        names = share.orthanc_ids or ("",) * len(share.resources)
        return tuple(
            (resource, name)
            for resource, name in zip(share.resources, names, strict=True)
            if isinstance(decide(Ask(Action.SEARCH, resource), subject, grants, now), Allow)
        )

    async def _way(self, share: Share, token: str) -> str | None:
        """Where the landing page sends its visitor: to Keyhole's own page when the viewer has no address any more."""
        try:
            return await self.way(share, token)
        except Refused:
            return self._page(share)

    def _page(self, share: Share) -> str | None:
        try:
            return self.link(share)
        except Refused:
            return None

    def _unusable(self, reason: Reason, caller: Caller, share: Share | None) -> Told:
        self.ledger.refuse(
            Record(
                at=self.now(),
                event=Event.REFUSAL,
                subject=ANONYMOUS.name if share is None else share.principal,
                archive=caller.archive,
                action=Action.SEARCH,
                reason=reason,
                share=None if share is None else share.id,
                detail={"through": caller.principal},
            )
        )
        if share is None or share.archive != caller.archive:  # a token of another Orthanc's looks as one of nobody's
            return Told(error=Unusable.INVALID if share else _WORDS.get(reason, Unusable.UNKNOWN))
        return Told(token_type=share.token_type, error=_WORDS.get(reason, Unusable.UNKNOWN))


def _access(share: Share, resource: Resource, caller: Caller, now: datetime) -> Record:
    return Record(
        at=now,
        event=Event.SEARCH,
        subject=share.principal,
        archive=share.archive,
        study=resource.study,
        series=resource.series,
        action=Action.SEARCH,
        share=share.id,
        detail={"through": caller.principal},
    )
