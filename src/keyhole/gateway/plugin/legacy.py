"""Links that the service before gave out: each becomes a share when its token is first shown.

From then on it is listed, counted and withdrawn like any other. The token is kept nowhere; the share's id is the
beginning of its digest, so that the same token always leads to the same share, on every node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.pdp import scope
from keyhole.access.resource import Action, Resource
from keyhole.access.share import Origin, Share
from keyhole.errors import Refused, StoreFailed
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.naming import Naming, Wanted
from keyhole.gateway.ports import Shares
from keyhole.identity import legacy_token
from keyhole.identity.legacy_token import LegacyToken
from keyhole.sharing.link import Ring
from keyhole.sharing.token import TYPES


class Rows(Protocol):
    """Where shares are found (:class:`keyhole.gateway.current.Current`)."""

    async def share(self, share_id: str, /) -> Share | None:
        """The share, or None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyTokens:
    """Tokens signed with the *key* of the service before, until the operator's last day.

    ``caller`` stands for the Orthanc that they were made for. A token that named no end has that day for one.
    """

    rows: Rows
    shares: Shares
    naming: Naming
    ring: Ring
    caller: Caller
    key: str = field(repr=False)
    until: datetime
    now: Callable[[], datetime]

    async def share(self, text: str) -> Share | Reason | None:
        """The share that *text* belongs to; a reason for a token that is no good; None for what is no such token."""
        if not legacy_token.looks_like_one(text):
            return None
        token = legacy_token.read(text, self.key)
        if isinstance(token, Reason):
            return None  # somebody else's, such as a user's
        if token.token_type not in TYPES or not token.resources:
            return Reason.BAD_CREDENTIAL
        if self.now() >= self.until:
            return Reason.EXPIRED
        name = legacy_token.share_id(text)
        return await self.rows.share(name) or await self._first_seen(name, token)

    def held(self, text: str) -> Share | None:  # noqa: ARG002 - each one is verified, which :meth:`share` does
        """None: these are few, and become fewer."""
        return None

    async def _first_seen(self, name: str, token: LegacyToken) -> Share | Reason:
        """Keep the share that *token* is, unless it is over anyway or names nothing that there is."""
        now, ends = self.now(), min(token.expires_at or self.until, self.until)
        if now >= ends:
            return Reason.EXPIRED
        archive = self.caller.archive
        reach = scope(Action.SHARE, self.caller.as_subject(), self.caller.grants(), now)
        wanted = [Wanted(each.dicom_uid, each.orthanc_id, each.level) for each in token.resources]
        try:
            named = await self.naming.resolve(archive, reach, wanted)
        except Refused:
            return Reason.NOT_THERE
        return await self._kept(self._share(name, token, named, ends))

    def _share(self, name: str, token: LegacyToken, named: dict[Resource, str], ends: datetime) -> Share:
        return Share(
            id=name,
            archive=self.caller.archive,
            resources=tuple(named),
            kind=TYPES[token.token_type].kind,
            creator=self.caller.principal,
            created_at=self.now(),
            expires_at=ends,
            not_before=token.not_before,
            key_id=self.ring.current,
            origin=Origin.LEGACY,
            token_type=token.token_type,
            bearer=True,
            orthanc_ids=tuple(named.values()),
        )

    async def _kept(self, share: Share) -> Share:
        """*share*, or what another worker has kept under its id meanwhile."""
        studies = {resource.study for resource in share.resources}
        record = Record(
            at=self.now(),
            event=Event.SHARE_CREATED,
            subject=self.caller.principal,
            archive=share.archive,
            study=studies.pop() if len(studies) == 1 else None,
            action=Action.SHARE,
            share=share.id,
            detail={
                "resources": " ".join(map(str, share.resources)),
                "expires_at": share.expires_at.isoformat(),
                "origin": share.origin,
                "type": share.token_type or "",
            },
        )
        try:
            await self.shares.add_share(share, record)
        except StoreFailed:
            kept = await self.shares.share(share.id)
            if kept is None:
                raise
            return kept
        return share
