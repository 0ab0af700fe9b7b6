"""The rows that decisions rest on, held in memory while the database's generation stands (design section 9)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from keyhole.access.role_book import RoleBook
from keyhole.access.share import ApiKey, Share, Visit
from keyhole.errors import Stale, StoreFailed

CONFIRMED_FOR = 1.0
"""Seconds for which a confirmed generation may be relied on."""

_MOST_ROWS = 10_000
_RETRY_AFTER = 0.25
_ROLES = ("roles", "")

Row = TypeVar("Row", Share, Visit, ApiKey, RoleBook)


class Rows(Protocol):
    """What is read here of the store."""

    async def share(self, share_id: str) -> Share | None:
        """The share as it is now."""

    async def visit(self, visit_id: str) -> Visit | None:
        """The visit as it is now."""

    async def key(self, key_id: str) -> ApiKey | None:
        """The key as it is now."""

    async def role_book(self) -> RoleBook | None:
        """The Explorer's roles as they are now."""

    async def generation(self) -> int:
        """The generation now."""

    def generations(self) -> AsyncIterator[int]:
        """The generation, each time it was confirmed."""


class Current:
    """Shares, visits and keys by id, and the Explorer's roles, never older than :data:`CONFIRMED_FOR`.

    Every method raises :class:`keyhole.errors.Stale` when the database could not confirm in time that nothing has
    changed: nothing is decided then.
    """

    def __init__(self, rows: Rows, monotonic: Callable[[], float]) -> None:
        """Read from *rows*; *monotonic* tells seconds that only go forward."""
        self._rows = rows
        self._monotonic = monotonic
        self._generation = -1
        self._confirmed_at = float("-inf")
        self._held: dict[tuple[str, str], Share | Visit | ApiKey | RoleBook | None] = {}
        self._confirming: asyncio.Future[None] | None = None

    async def follow(self) -> None:
        """Keep the generation confirmed, for ever; a lost database is asked again until it is back."""
        while True:
            with contextlib.suppress(StoreFailed):
                async for generation in self._rows.generations():
                    self._confirm(generation)
            await asyncio.sleep(_RETRY_AFTER)

    def _confirm(self, generation: int) -> None:
        if generation != self._generation:
            self._held.clear()
            self._generation = generation
        self._confirmed_at = self._monotonic()

    async def confirm(self) -> None:
        """Return once the generation is confirmed; at once when it was within :data:`CONFIRMED_FOR`."""
        if self._monotonic() - self._confirmed_at < CONFIRMED_FOR:
            return
        if self._confirming is None:
            self._confirming = asyncio.ensure_future(self._ask())
            self._confirming.add_done_callback(self._asked)
        await asyncio.shield(self._confirming)

    def _asked(self, asked: asyncio.Future[None]) -> None:
        self._confirming = None
        if not asked.cancelled():
            asked.exception()  # every waiter has its own copy; without waiters nobody needs it

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(CONFIRMED_FOR):
                self._confirm(await self._rows.generation())
        except (TimeoutError, StoreFailed) as error:
            raise Stale("the database did not confirm in time that nothing has changed") from error

    async def share(self, share_id: str) -> Share | None:
        """The share, or None when there is none."""
        return await self._row("share", share_id, self._rows.share)

    def held_share(self, share_id: str) -> Share | None:
        """The share, where it is in memory and may be relied on; None where :meth:`share` has to be asked."""
        if self._monotonic() - self._confirmed_at >= CONFIRMED_FOR:
            return None
        return self._held.get(("share", share_id))  # type: ignore[return-value]

    async def key(self, key_id: str) -> ApiKey | None:
        """The API key, or None when there is none."""
        return await self._row("key", key_id, self._rows.key)

    async def role_book(self) -> RoleBook | None:
        """The Explorer's roles in force, or None while nobody has changed them."""
        return await self._row(*_ROLES, lambda _: self._rows.role_book())

    async def visit(self, visit_id: str) -> tuple[Visit, Share | None] | None:
        """The visit with its share (None for a visit of staff), or None when there is no such visit."""
        visit = await self._row("visit", visit_id, self._rows.visit)
        if visit is None:
            return None
        return visit, None if visit.share is None else await self.share(visit.share)

    async def _row(self, kind: str, row_id: str, read: Callable[[str], Awaitable[Row | None]]) -> Row | None:
        await self.confirm()
        name = (kind, row_id)
        if name in self._held:
            return self._held[name]  # type: ignore[return-value]
        generation = self._generation
        row = await read(row_id)
        # A row read while the generation moved may already be old: use it once, do not keep it. An id that does not
        # exist may be kept as well, for ids are random and a new row moves the generation.
        if generation == self._generation:
            self._make_room()
            self._held[name] = row
        return row

    def _make_room(self) -> None:
        while len(self._held) >= _MOST_ROWS:
            del self._held[next(iter(self._held))]

    def forget_roles(self) -> None:
        """Read the Explorer's roles again next time."""
        self._held.pop(_ROLES, None)

    def forget(self, ids: Iterable[str]) -> None:
        """Read these rows again next time: this process has just changed them."""
        for row_id in ids:
            for kind in ("share", "visit", "key"):
                self._held.pop((kind, row_id), None)
