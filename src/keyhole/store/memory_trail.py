"""The trail in memory, and the generation: the chain is as in a database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence

from keyhole.access.decision import Record
from keyhole.access.share import Share
from keyhole.errors import StoreFailed
from keyhole.store import trail, verify
from keyhole.store.chain import SALT_BYTES, Head, Row, Signing, draft, extend
from keyhole.store.heads import Outside
from keyhole.store.trail import TrailQuery, TrailRow

_CONFIRM_EVERY = 0.25


class MemoryTrail:
    """For one event loop. No method waits in its middle: each one is atomic."""

    def __init__(self, signing: Signing | None = None) -> None:
        """An empty trail; without *signing* it makes a key of its own."""
        self._signing = signing or Signing("memory", {"memory": os.urandom(32)})
        self._shares: dict[str, Share] = {}
        self._rows: list[Row] = []
        self._generation = 1
        self._moved = asyncio.Condition()
        self._closed = False

    async def append(self, records: Sequence[Record]) -> None:
        """Keep *records* at the end of the chain."""
        self._append(records)

    def _append(self, records: Sequence[Record]) -> None:
        if self._closed:
            raise StoreFailed("the store is closed")
        drafts = [draft(record, lambda: os.urandom(SALT_BYTES)) for record in records]
        self._rows.extend(extend(self._head, drafts, self._signing))

    @property
    def _head(self) -> Head:
        return self._rows[-1].head if self._rows else Head()

    async def trail(self, query: TrailQuery) -> Sequence[TrailRow]:
        """The rows that *query* asks for."""
        rows = [trail.to_row(row.seq, row.draft.body, row.draft.personal) for row in self._rows]
        sharing = {
            share.id for share in self._shares.values() if query.study in {each.study for each in share.resources}
        }
        found = [row for row in rows if trail.matches(query, row, sharing)]
        return (found[::-1] if query.newest_first else found)[: query.limit]

    async def timeline(self, share_id: str) -> Sequence[TrailRow]:
        """The trail's rows about one share, oldest first."""
        return await self.trail(TrailQuery(share=share_id, limit=trail.MOST_ROWS))

    async def verify(self, progress: Callable[[int, int], None] | None = None) -> verify.Intact | verify.Broken:
        """Whether the whole trail is as it was written."""
        rows = [
            verify.Stored(
                row.seq, trail.indexed(row.draft.record), row.key_id, row.draft.body, row.digest, row.draft.personal
            )
            for row in self._rows
        ]
        if progress is not None:
            progress(len(rows), len(rows))
        return verify.verify(rows, self._head, 0, self._signing, Outside())

    async def generation(self) -> int:
        """The generation now."""
        return self._generation

    async def _move(self) -> None:
        self._generation += 1
        async with self._moved:
            self._moved.notify_all()

    async def generations(self) -> AsyncIterator[int]:
        """The generation, at once when it has moved and at least every 0.25 s."""
        while not self._closed:
            yield self._generation
            await self._wait_for_other_than(self._generation)
        raise StoreFailed("the store is closed")

    async def _wait_for_other_than(self, generation: int) -> None:
        try:
            async with asyncio.timeout(_CONFIRM_EVERY), self._moved:
                await self._moved.wait_for(lambda: self._generation != generation)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Keep nothing more."""
        self._closed = True
