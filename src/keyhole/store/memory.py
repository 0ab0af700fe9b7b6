"""The store in memory: nothing outlives the process, everything else is as in a database, the chain included."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from keyhole.access.decision import Reason, Record
from keyhole.access.role_book import RoleBook
from keyhole.access.share import ApiKey, Share, ShareChange, Visit
from keyhole.errors import StoreFailed
from keyhole.store import trail, verify
from keyhole.store.chain import SALT_BYTES, Head, Row, Signing, draft, extend, plain
from keyhole.store.heads import Outside
from keyhole.store.rules import changed, ends, unopenable
from keyhole.store.trail import TrailQuery, TrailRow

_CONFIRM_EVERY = 0.25


class MemoryStore:
    """A :class:`keyhole.gateway.ports.Store` for one event loop. No method waits in its middle: each one is atomic."""

    def __init__(self, signing: Signing | None = None) -> None:
        """An empty store; without *signing* it makes a key of its own."""
        self._signing = signing or Signing("memory", {"memory": os.urandom(32)})
        self._shares: dict[str, Share] = {}
        self._visits: dict[str, Visit] = {}
        self._keys: dict[str, ApiKey] = {}
        self._books: list[RoleBook] = []
        self._rows: list[Row] = []
        self._generation = 1
        self._moved = asyncio.Condition()
        self._closed = False

    # -- trail

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

    # -- shares

    async def share(self, share_id: str) -> Share | None:
        """The share as it is now."""
        return self._shares.get(share_id)

    async def shares(
        self, *, creator: str | None = None, study: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[Share]:
        """Shares, newest first, after the one called *after*."""
        last = None if after is None else self._shares.get(after)
        if after is not None and last is None:
            return []
        found = [
            share
            for share in sorted(self._shares.values(), key=_age, reverse=True)
            if (creator is None or share.creator == creator)
            and (study is None or any(resource.study == study for resource in share.resources))
            and (last is None or _age(share) < _age(last))
        ]
        return found[:limit]

    async def add_share(self, share: Share, record: Record) -> None:
        """Keep a new *share*."""
        _refuse_known(share.id, self._shares)
        self._append([record])
        self._shares[share.id] = _plain(share)
        await self._move()

    async def change_share(self, share_id: str, change: ShareChange, record: Record) -> Share | None:
        """Apply *change*; a withdrawal ends the share's visits as well."""
        before = self._shares.get(share_id)
        if before is None:
            return None
        after = _plain(changed(before, change))
        if after == before:
            return before
        self._append([record])
        self._shares[share_id] = after
        if after.withdrawn_at is not None:
            self._end(lambda visit: visit.share == share_id, after.withdrawn_at, record)
        await self._move()
        return after

    # -- visits

    async def visit(self, visit_id: str) -> Visit | None:
        """The visit as it is now."""
        return self._visits.get(visit_id)

    async def visits(self, share_id: str) -> Sequence[Visit]:
        """The visits of a share, oldest first."""
        return sorted((visit for visit in self._visits.values() if visit.share == share_id), key=_age)

    async def visits_of_staff(self, since: datetime) -> Sequence[Visit]:
        """The visits without a share that were made at *since* or later, oldest first."""
        made = (visit for visit in self._visits.values() if visit.share is None and visit.created_at >= since)
        return sorted(made, key=_age)

    async def begin_visit(
        self, visit: Visit, now: datetime, record: Record, *, link_generation: int | None = None
    ) -> Share | Reason:
        """Count an opening and keep *visit*, or say why not."""
        share = self._shares.get(visit.share or "")
        if share is None or not _openable(share, now, link_generation):
            return unopenable(share, now, link_generation)
        _refuse_known(visit.id, self._visits)
        self._append([record])
        counted = replace(
            share, visits=share.visits + 1, first_opened_at=share.first_opened_at or now, last_opened_at=now
        )
        self._shares[share.id] = counted
        self._visits[visit.id] = visit
        await self._move()
        return counted

    async def prepare_visit(self, visit: Visit, record: Record) -> None:
        """Keep a visit that nobody has redeemed yet."""
        _refuse_known(visit.id, self._visits)
        self._append([record])
        self._visits[visit.id] = visit
        await self._move()

    async def redeem_visit(
        self, code_digest: bytes, digest: bytes, now: datetime, ends_at: datetime, record: Record
    ) -> Visit | None:
        """Begin a prepared visit, once."""
        for visit in self._visits.values():
            waits = visit.begun_at is None and visit.ended_at is None and now < visit.ends_at
            if waits and visit.digest == code_digest:
                self._append([replace(record, visit=visit.id)])
                begun = replace(visit, digest=digest, begun_at=now, seen_at=now, ends_at=ends_at)
                self._visits[visit.id] = begun
                await self._move()
                return begun
        return None

    async def seen(self, visits: Mapping[str, datetime]) -> None:
        """Move ``seen_at`` of these visits forward."""
        for visit_id, at in visits.items():
            visit = self._visits.get(visit_id)
            if visit is not None and (visit.seen_at is None or visit.seen_at < at):
                self._visits[visit_id] = replace(visit, seen_at=at)

    async def end_visit(self, visit_id: str, now: datetime, record: Record) -> None:
        """End a visit; the first end stands, and a second leaves no record."""
        visit = self._visits.get(visit_id)
        if visit is not None and visit.ended_at is None:
            self._append([record])
            self._visits[visit_id] = replace(visit, ended_at=now)
            await self._move()

    def _end(self, which: Callable[[Visit], bool], now: datetime, record: Record) -> None:
        ended = [visit for visit in self._visits.values() if visit.ended_at is None and which(visit)]
        self._append(ends(record, ended, now))
        for visit in ended:
            self._visits[visit.id] = replace(visit, ended_at=now)

    # -- keys

    async def key(self, key_id: str) -> ApiKey | None:
        """The key as it is now."""
        return self._keys.get(key_id)

    async def keys(self) -> Sequence[ApiKey]:
        """All keys, oldest first."""
        return sorted(self._keys.values(), key=_age)

    async def add_key(self, key: ApiKey, record: Record) -> None:
        """Keep a new *key*."""
        _refuse_known(key.id, self._keys)
        self._append([record])
        self._keys[key.id] = replace(key, name=plain(key.name))
        await self._move()

    async def revoke_key(self, key_id: str, now: datetime, record: Record) -> ApiKey | None:
        """End a key and the visits it made; the first end stands, and a second leaves no record."""
        key = self._keys.get(key_id)
        if key is None or key.revoked_at is not None:
            return key
        self._append([record])
        self._keys[key_id] = replace(key, revoked_at=now)
        self._end(lambda visit: visit.subject == key.principal, now, record)
        await self._move()
        return self._keys[key_id]

    # -- the Explorer's roles

    async def role_book(self) -> RoleBook | None:
        """The roles in force; None while nobody has changed them."""
        return self._books[-1] if self._books else None

    async def role_books(self, limit: int = 100) -> Sequence[RoleBook]:
        """The last *limit* versions of the roles, newest first."""
        return self._books[::-1][:limit]

    async def change_roles(self, document: str, record: Record) -> RoleBook:
        """Put *document* in force as the next version."""
        book = RoleBook(
            version=len(self._books) + 1, document=document, changed_at=record.at, changed_by=record.subject
        )
        self._append([record])
        self._books.append(book)
        await self._move()
        return book

    # -- generation

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


def _openable(share: Share, now: datetime, link_generation: int | None) -> bool:
    return (
        share.withdrawn_at is None
        and now < share.expires_at
        and (share.not_before is None or share.not_before <= now)
        and (share.max_visits is None or share.visits < share.max_visits)
        and link_generation in (None, share.generation)
    )


def _plain(share: Share) -> Share:
    words = {name: text and plain(text) for name, text in (("recipient", share.recipient), ("note", share.note))}
    return replace(share, **words)  # type: ignore[arg-type]


def _age(thing: Share | Visit | ApiKey) -> tuple[datetime, str]:
    return thing.created_at, thing.id


def _refuse_known(name: str, held: Mapping[str, object]) -> None:
    if name in held:
        raise StoreFailed("there is one with this id already")
