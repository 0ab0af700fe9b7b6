"""The store in a database: SQLite for one machine, PostgreSQL for more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.engine import URL

from keyhole.access.condition import Answered
from keyhole.access.decision import Reason, Record
from keyhole.access.limit import Bucket
from keyhole.access.mail import Mail, MailCode
from keyhole.access.role_book import RoleBook
from keyhole.access.share import ApiKey, Share, ShareChange, Visit
from keyhole.store import codes, keys, limits, mails, openings, role_books, shares, trail, verify, visits
from keyhole.store.address import parse_url
from keyhole.store.backend import Backend
from keyhole.store.chain import Signing
from keyhole.store.generation import generation
from keyhole.store.heads import Heads
from keyhole.store.mails import MailStanding
from keyhole.store.openings import Locking
from keyhole.store.readers import Readers
from keyhole.store.sqlite import Sqlite
from keyhole.store.trail import TrailQuery, TrailRow
from keyhole.store.visits import seen as move_seen
from keyhole.store.writer import Writer


def open_store(url: str, signing: Signing | Callable[[], Signing], heads: Path) -> DatabaseStore:
    """The store at *url* (``sqlite:///…``, ``postgresql://…``), with the heads of its trail in the folder *heads*.

    *signing* is called each time it is needed, from a thread, when it is something to call: keys may change.

    Nothing is connected yet, and the schema is not looked at: see :func:`keyhole.store.migrations.check_schema`.
    Raises Misconfigured when *url* is neither.
    """
    parsed = parse_url(url)
    return DatabaseStore(_backend(parsed), signing, Heads(heads))


def _backend(url: URL) -> Backend:
    if url.get_backend_name() == "sqlite":
        return Sqlite(Path(str(url.database)))
    from keyhole.store.postgresql import Postgresql  # noqa: PLC0415 - 9 MB of driver that SQLite has no use for

    return Postgresql(url)


class DatabaseStore:
    """A :class:`keyhole.gateway.ports.Store`, with searching and verifying the trail. One per process.

    Every method raises StoreFailed when the database cannot be read or written, and works again as soon as the
    database does. A write that raised has not happened, unless the connection to a server was lost during the commit
    itself: then it may have, with its record.
    """

    def __init__(self, backend: Backend, signing: Signing | Callable[[], Signing], heads: Heads) -> None:
        """Keep everything in *backend*, signing the trail with *signing*, or what it returns."""
        self._backend = backend
        self._signing = signing if callable(signing) else lambda: signing
        self._heads = heads
        self._writer = Writer(backend, self._signing, heads)
        self._readers = Readers(backend)

    # -- trail

    async def append(self, records: Sequence[Record]) -> None:
        """Return only when all *records* are durable, in this order."""
        await self._writer.write(lambda tx: tx.append(records), appends=True)

    async def trail(self, query: TrailQuery) -> Sequence[TrailRow]:
        """The rows that *query* asks for."""
        return await self._readers.snapshot(lambda tx: trail.find(tx, query))

    async def timeline(self, share_id: str) -> Sequence[TrailRow]:
        """The trail's rows about one share, oldest first."""
        return await self.trail(TrailQuery(share=share_id, limit=trail.MOST_ROWS))

    async def verify_end(self, rows: int) -> verify.Intact | verify.Broken:
        """As :meth:`verify`, of the last *rows* rows alone."""
        outside = await asyncio.to_thread(self._heads.read)
        return await self._readers.snapshot(lambda tx: verify.check_end(tx, self._signing(), outside, rows))

    async def verify(self, progress: Callable[[int, int], None] | None = None) -> verify.Intact | verify.Broken:
        """Whether the whole trail is as it was written; *progress* is told (rows done, rows in all) from a thread."""
        outside = await asyncio.to_thread(self._heads.read)
        return await self._readers.snapshot(lambda tx: verify.check(tx, self._signing(), outside, progress))

    # -- shares

    async def share(self, share_id: str) -> Share | None:
        """The share as it is now."""
        return await self._readers.read(lambda tx: shares.one(tx, share_id))

    async def shares(
        self, *, creator: str | None = None, study: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[Share]:
        """Shares, newest first, after the one called *after*."""
        return await self._readers.snapshot(
            lambda tx: shares.some(tx, creator=creator, study=study, after=after, limit=limit)
        )

    async def link_keys(self, now: datetime) -> Mapping[str, int]:
        """How many shares that are not over at *now* have a link of each key, by the key's id in the ring."""
        return await self._readers.read(lambda tx: shares.link_keys(tx, now))

    async def share_of_paper(self, digests: Sequence[bytes]) -> Share | None:
        """The share whose code for paper has one of *digests*."""
        return await self._readers.read(lambda tx: shares.of_paper(tx, digests))

    async def add_share(self, share: Share, record: Record, mails: Sequence[Mail] = ()) -> None:
        """Keep a new *share*, and *mails* to be sent."""
        await self._writer.write(lambda tx: shares.add(tx, share, record, mails))

    async def change_share(
        self, share_id: str, change: ShareChange, record: Record, mails: Sequence[Mail] = ()
    ) -> Share | None:
        """Apply *change* atomically, and keep *mails*; a withdrawal ends the share's visits as well."""
        return await self._writer.write(lambda tx: shares.change(tx, share_id, change, record, mails))

    # -- visits

    async def visit(self, visit_id: str) -> Visit | None:
        """The visit as it is now."""
        return await self._readers.read(lambda tx: visits.one(tx, visit_id))

    async def visits(self, share_id: str) -> Sequence[Visit]:
        """The visits of a share, oldest first."""
        return await self._readers.read(lambda tx: visits.of_share(tx, share_id))

    async def visits_of_staff(self, since: datetime) -> Sequence[Visit]:
        """The visits without a share that were made at *since* or later, oldest first."""
        return await self._readers.read(lambda tx: visits.of_staff(tx, since))

    async def begin_visit(
        self,
        visit: Visit,
        now: datetime,
        record: Record,
        *,
        link_generation: int | None = None,
        answered: Answered | None = None,
        first: Sequence[Mail] = (),
    ) -> Share | Reason:
        """Count an opening, keep *visit* and spend the code, or say why not."""
        return await self._writer.write(
            lambda tx: openings.begin(tx, visit, now, record, link_generation, answered, first)
        )

    async def begin_attempt(
        self, share_id: str, link_generation: int, most: int, now: datetime, lock: Record, mails: Sequence[Mail] = ()
    ) -> Share | Reason:
        """Take up an attempt to answer, or say why not."""
        locking = Locking(lock, mails)
        return await self._writer.write(
            lambda tx: openings.begin_attempt(tx, share_id, link_generation, most, now, locking)
        )

    async def fail_attempt(
        self,
        share_id: str,
        link_generation: int,
        most: int,
        now: datetime,
        refusal: Record,
        lock: Record,
        mails: Sequence[Mail] = (),
    ) -> Share | None:
        """Record a wrong answer, and lock the share with the last."""
        locking = Locking(lock, mails)
        return await self._writer.write(
            lambda tx: openings.fail_attempt(tx, share_id, link_generation, most, now, refusal, locking)
        )

    async def prepare_visit(self, visit: Visit, record: Record) -> None:
        """Keep a visit that nobody has redeemed yet."""
        await self._writer.write(lambda tx: visits.prepare(tx, visit, record))

    async def redeem_visit(
        self, code_digest: bytes, digest: bytes, now: datetime, ends_at: datetime, record: Record
    ) -> Visit | None:
        """Begin a prepared visit, once."""
        return await self._writer.write(lambda tx: visits.redeem(tx, code_digest, digest, now, ends_at, record))

    async def seen(self, visits: Mapping[str, datetime]) -> None:
        """Move ``seen_at`` of these visits forward."""
        if visits:
            await self._writer.write(lambda tx: move_seen(tx, visits))

    async def end_visit(self, visit_id: str, now: datetime, record: Record) -> None:
        """End a visit; the first end stands, and a second leaves no record."""
        await self._writer.write(lambda tx: visits.end(tx, visit_id, now, record))

    # -- limits

    async def take(self, buckets: Sequence[Bucket], now: datetime) -> Mapping[str, timedelta]:
        """Take one from each of *buckets*, or none of any; a sure refusal takes no turn of the writers."""
        levels = await self._readers.snapshot(lambda tx: limits.look(tx, buckets, now))
        if missing := limits.waits(each for each in levels if not each.doubted):
            return missing
        return await self._writer.write(lambda tx: limits.take(tx, buckets, now))

    async def left(self, buckets: Sequence[Bucket], now: datetime) -> Mapping[str, timedelta]:
        """As :meth:`take`, without taking."""
        return limits.waits(await self._readers.snapshot(lambda tx: limits.look(tx, buckets, now)))

    # -- codes

    async def add_code(
        self, code: MailCode, mail: Mail, buckets: Sequence[Bucket], record: Record
    ) -> Mapping[str, timedelta]:
        """Keep *code* and *mail*, replacing the share's codes before, unless *buckets* refuse."""
        return await self._writer.write(lambda tx: codes.add(tx, code, mail, buckets, record))

    async def code(self, share_id: str) -> MailCode | None:
        """The newest code of the share, spent ones left out."""
        return await self._readers.read(lambda tx: codes.newest(tx, share_id))

    # -- mails

    async def mails(self, share_id: str) -> Sequence[Mail]:
        """The mails about a share, oldest first."""
        return await self._readers.read(lambda tx: mails.of_share(tx, share_id))

    async def failed_mails(self, limit: int = 100) -> Sequence[Mail]:
        """The mails that could not be sent, newest first."""
        return await self._readers.read(lambda tx: mails.that_failed(tx, limit))

    async def mail_standing(self, now: datetime) -> MailStanding:
        """How mail stands at *now*: how much waits, and how many links need it."""
        return await self._readers.snapshot(lambda tx: mails.standing(tx, now))

    async def claim_mails(self, now: datetime, until: datetime, limit: int) -> Sequence[Mail]:
        """Mails that are due at *now*, the longest due first, for whoever asks alone until *until*."""
        if not await self._readers.read(lambda tx: mails.any_due(tx, now)):
            return []
        return await self._writer.write(lambda tx: mails.claim(tx, now, until, limit))

    async def settle_mail(self, mail: Mail, record: Record | None = None) -> None:
        """Keep what became of a claimed mail."""
        await self._writer.write(lambda tx: mails.settle(tx, mail, record))

    # -- keys

    async def key(self, key_id: str) -> ApiKey | None:
        """The key as it is now."""
        return await self._readers.read(lambda tx: keys.one(tx, key_id))

    async def keys(self) -> Sequence[ApiKey]:
        """All keys, oldest first."""
        return await self._readers.read(keys.every)

    async def add_key(self, key: ApiKey, record: Record) -> None:
        """Keep a new *key*."""
        await self._writer.write(lambda tx: keys.add(tx, key, record))

    async def revoke_key(self, key_id: str, now: datetime, record: Record) -> ApiKey | None:
        """End a key and the visits it made; the first end stands, and a second leaves no record."""
        return await self._writer.write(lambda tx: keys.revoke(tx, key_id, now, record))

    # -- the Explorer's roles

    async def role_book(self) -> RoleBook | None:
        """The roles in force; None while nobody has changed them."""
        return await self._readers.read(role_books.newest)

    async def role_books(self, limit: int = 100) -> Sequence[RoleBook]:
        """The last *limit* versions of the roles, newest first."""
        return await self._readers.read(lambda tx: role_books.some(tx, limit))

    async def change_roles(self, document: str, record: Record) -> RoleBook:
        """Put *document* in force as the next version."""
        return await self._writer.write(lambda tx: role_books.add(tx, document, record))

    # -- generation

    async def generation(self) -> int:
        """The generation now, read from the database."""
        return await self._readers.read(generation)

    def generations(self) -> AsyncIterator[int]:
        """Confirm the generation again and again, at least every 0.5 s; raises StoreFailed when that cannot be."""
        return self._backend.generations()

    async def close(self) -> None:
        """Write what is queued, finish what is being read, and let go."""
        await self._writer.close()
        await self._readers.close()
