"""The way in with a code from paper: the code finds the share, and from there on it is the way of a link.

A code is looked up among all shares, so whoever tries codes is held up before: by address, and all together. What holds
up is in the database, for every process and node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keyhole.access.decision import Deny, Event, Reason, Record
from keyhole.access.secret import Secret
from keyhole.access.share import Share
from keyhole.access.subject import ANONYMOUS
from keyhole.gateway import limits
from keyhole.gateway.client import Client
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.opening import CodeSent, Look, Needed, NotYet, Opened, Wait, Wrong
from keyhole.gateway.ports import Limits, Shares
from keyhole.sharing import paper
from keyhole.sharing.condition import Answers
from keyhole.sharing.link import Ring

SLOWER = 2.0
"""Seconds that everybody waits while somebody searches for codes."""


class Store(Shares, Limits, Protocol):
    """What codes are looked up in."""


class Found(Protocol):
    """What becomes of a share that was found (:class:`keyhole.gateway.openings.Openings`)."""

    async def look_at(self, share: Share, client: Client, /) -> Look | NotYet | Deny:
        """What must be done to open it."""

    async def open(
        self, share: Share, answers: Answers, client: Client, /
    ) -> Opened | NotYet | Needed | Wrong | Wait | Deny:
        """Begin a visit, or say why not."""

    async def send_code_of(self, share: Share, client: Client, /) -> CodeSent | NotYet | Wait | Deny:
        """Mail a code to its recipient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOpenings:
    """One per process. Raises StoreFailed and ArchiveFailed; everything else is an answer.

    ``noted`` is told what became of each code that was typed: ``known``, ``unknown``, ``slowed`` or ``refused``.
    """

    store: Store
    found: Found
    ledger: Ledger
    ring: Ring
    now: Callable[[], datetime]
    noted: Callable[[str], None]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def look(self, code: Secret, client: Client) -> Look | NotYet | Wait | Deny:
        """What whoever has the letter must do to open the share. Consumes nothing."""
        share = await self._share(code, client)
        return await self.found.look_at(share, client) if isinstance(share, Share) else share

    async def begin(
        self, code: Secret, answers: Answers, client: Client
    ) -> Opened | NotYet | Needed | Wrong | Wait | Deny:
        """Count an opening and begin a visit, or say why not."""
        share = await self._share(code, client)
        return await self.found.open(share, answers, client) if isinstance(share, Share) else share

    async def send_code(self, code: Secret, client: Client) -> CodeSent | NotYet | Wait | Deny:
        """Mail a code to the share's recipient. NOT_THERE for a share that asks for none."""
        share = await self._share(code, client)
        return await self.found.send_code_of(share, client) if isinstance(share, Share) else share

    async def _share(self, code: Secret, client: Client) -> Share | Wait | Deny:
        """The share that *code* stands for; unknown, replaced and powerless codes are one answer, after one work."""
        waits = await self._held_up(client)
        if waits is not None:
            self.noted("refused")
            self._refuse(Reason.TOO_MANY, client)
            return waits
        share = await self.store.share_of_paper(paper.digests(self.ring, code))
        if not paper.opens(share, code, self.ring) or share is None:
            return await self._missed(client)
        self.noted("known")
        return share

    async def _held_up(self, client: Client) -> Wait | None:
        """How long *client* has to wait before anything is looked up. A search by others costs a moment, no more."""
        block, mine = limits.paper_block(self.ring, client.address), limits.paper_from(self.ring, client.address)
        everybodys = limits.paper_misses_of_all(self.ring)
        blocked = await self.store.left((block, everybodys), self.now())
        if block.name in blocked:
            return Wait(blocked[block.name])
        # Taken before the look-up: however many ask at the same moment, no more are answered.
        waits = await self.store.take((mine,), self.now())
        if waits:
            return Wait(waits[mine.name])
        if everybodys.name in blocked:
            self.noted("slowed")
            await self.pause(SLOWER)
        return None

    async def _missed(self, client: Client) -> Deny:
        """Count an unknown code. With the last that its address has, that address is blocked."""
        self.noted("unknown")
        now, misses = self.now(), limits.paper_misses(self.ring, client.address)
        await self.store.take((misses,), now)
        if await self.store.left((misses,), now):
            await self.store.take((limits.paper_block(self.ring, client.address),), now)
        if await self.store.take((limits.paper_misses_of_all(self.ring),), now):
            self._refuse(Reason.TOO_MANY, client, about="everybody")
        return self._refuse(Reason.WRONG_SECRET, client)

    def _refuse(self, reason: Reason, client: Client, **more: str) -> Deny:
        self.ledger.refuse(
            Record(
                at=self.now(),
                event=Event.REFUSAL,
                subject=ANONYMOUS.name,
                reason=reason,
                detail={"through": "paper", **more},
                personal=client.personal(),
            )
        )
        return Deny(reason)
