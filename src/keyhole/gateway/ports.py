"""What the gateway and the web pages need of the store, as small Protocols. ``app.py`` hands the real thing over.

Every method raises :class:`keyhole.errors.StoreFailed` when the database cannot be read or written. Every method that
changes something takes the trail's record of it and writes both in one transaction: neither is there without the
other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from keyhole.access.decision import Reason, Record
from keyhole.access.role_book import RoleBook
from keyhole.access.share import ApiKey, Share, ShareChange, Visit


class Trail(Protocol):
    """The append-only record."""

    async def append(self, records: Sequence[Record]) -> None:
        """Return only when all *records* are durable, in this order; raise StoreFailed otherwise."""


class Shares(Protocol):
    """Shares by id."""

    async def share(self, share_id: str) -> Share | None:
        """The share as it is now."""

    async def shares(
        self, *, creator: str | None = None, study: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[Share]:
        """Shares, newest first; *after* is the id of the last one of the page before."""

    async def add_share(self, share: Share, record: Record) -> None:
        """Keep a new *share*."""

    async def change_share(self, share_id: str, change: ShareChange, record: Record) -> Share | None:
        """Apply *change* atomically and return the share as it is then; None when there is none."""


class Visits(Protocol):
    """Visits by id."""

    async def visit(self, visit_id: str) -> Visit | None:
        """The visit as it is now."""

    async def visits(self, share_id: str) -> Sequence[Visit]:
        """The visits of a share, oldest first."""

    async def visits_of_staff(self, since: datetime) -> Sequence[Visit]:
        """The visits without a share that were made at *since* or later, oldest first."""

    async def begin_visit(
        self, visit: Visit, now: datetime, record: Record, *, link_generation: int | None = None
    ) -> Share | Reason:
        """Count an opening of the visit's share and keep *visit*, in one atomic step.

        Exactly as many simultaneous openings succeed as the share has left. Returns the share as it is then, or the
        reason why it cannot be opened (WITHDRAWN, EXPIRED, NOT_YET, USED_UP), in which case nothing has changed.
        *link_generation* is that of the link that was shown: a new link made meanwhile has withdrawn it.
        """

    async def prepare_visit(self, visit: Visit, record: Record) -> None:
        """Keep a visit that an application made and nobody has redeemed yet (``begun_at`` None)."""

    async def redeem_visit(
        self, code_digest: bytes, digest: bytes, now: datetime, ends_at: datetime, record: Record
    ) -> Visit | None:
        """Begin the prepared visit whose code has *code_digest*, once, until its ``ends_at``.

        From then on its secret has *digest* and it lasts until *ends_at*. None when there is no such visit, or it has
        begun, or its time is over. The record's ``visit`` is filled in.
        """

    async def seen(self, visits: Mapping[str, datetime]) -> None:
        """Move ``seen_at`` of these visits forward. No record: this is not news."""

    async def end_visit(self, visit_id: str, now: datetime, record: Record) -> None:
        """End a visit; the first end stands."""


class Keys(Protocol):
    """API keys by id."""

    async def key(self, key_id: str) -> ApiKey | None:
        """The key as it is now."""

    async def keys(self) -> Sequence[ApiKey]:
        """All keys, oldest first."""

    async def add_key(self, key: ApiKey, record: Record) -> None:
        """Keep a new *key*."""

    async def revoke_key(self, key_id: str, now: datetime, record: Record) -> ApiKey | None:
        """End a key, and the visits it made; the first end stands. None when there is no such key."""


class RoleBooks(Protocol):
    """What roles may do in Orthanc Explorer 2, every version of it."""

    async def role_book(self) -> RoleBook | None:
        """The roles in force; None while nobody has changed them."""

    async def role_books(self, limit: int = 100) -> Sequence[RoleBook]:
        """The last *limit* versions of the roles, newest first."""

    async def change_roles(self, document: str, record: Record) -> RoleBook:
        """Put *document* in force as the next version; whoever wrote *record* has changed it then."""


class Generations(Protocol):
    """The counter that every change of shares, visits, keys or roles increments in its own transaction."""

    async def generation(self) -> int:
        """The generation now, read from the database."""

    def generations(self) -> AsyncIterator[int]:
        """Confirm the generation again and again (at least every 0.5 s) and yield it each time it is confirmed."""


class Store(Trail, Shares, Visits, Keys, RoleBooks, Generations, Protocol):
    """All of it."""

    async def close(self) -> None:
        """Finish what is queued and let go."""
