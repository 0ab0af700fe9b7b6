"""Record, then release (rule 6 of the design): what is written before an answer leaves, and what is counted after.

* The first access of a subject to a study is durable before its first byte leaves.
* Every image and byte after that is counted and written at most :data:`FLUSH` seconds late.
* While the trail cannot be written, nothing is released.
* Refusals are summed up, bounded, and off the release path: a flood of them stops nobody.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from keyhole.access.decision import Event, Record
from keyhole.errors import StoreFailed
from keyhole.gateway.ports import Trail

FLUSH = 3.0
"""Seconds between two writings of counts; with the writing itself they are at most 5 s late."""

MOST_REFUSALS = 200
"""Different refusals kept between two writings; what exceeds them is summed up by reason."""

MOST_OF_ONE = 20
"""Different studies among the refusals of one subject between two writings."""

_MOST_FIRSTS = 20_000

Name = tuple[str | None, ...]


def _name(record: Record) -> Name:
    about = tuple(map(record.detail.get, ("about", "asked", "through")))
    return (record.event, record.subject, record.archive, record.study, record.action, record.reason, *about)


def _first(record: Record, name: Name) -> Name:
    """What first accesses are told apart by: that a visit is suddenly used from elsewhere is worth a row of its own."""
    return (*name, record.personal.get("address"))


@dataclass(slots=True)
class _Count:
    """What was sent of accesses of one name, since it was written last."""

    access: Record
    images: int = 0
    bytes: int = 0
    times: int = 0

    def add(self, images: int, size: int, times: int) -> None:
        self.images += images
        self.bytes += size
        self.times += times

    def record(self, now: datetime) -> Record:
        return dataclasses.replace(
            self.access,
            at=now,
            event=Event.COUNT,
            personal={},
            images=self.images,
            bytes=self.bytes,
            times=self.times,
        )


class Repeated:
    """An access that will be had again and again, with the names that it goes by worked out once."""

    __slots__ = ("access", "first", "name")

    def __init__(self, access: Record) -> None:
        """Of what *access* says, whenever it was."""
        self.access = access
        self.name = _name(access)
        self.first = _first(access, self.name)


class Ledger:
    """The trail as the gateway writes it. One per process."""

    def __init__(self, trail: Trail, now: Callable[[], datetime]) -> None:
        """Write to *trail*; *now* is the clock."""
        self._trail = trail
        self._now = now
        self._firsts: dict[Name, asyncio.Future[None]] = {}
        self._counts: dict[Name, _Count] = {}
        self._refusals: dict[tuple[Name, str], Record] = {}
        self._flushing = asyncio.Lock()
        self._behind = False
        self._recovering: asyncio.Future[None] | None = None

    async def release(self, access: Record) -> None:
        """Return when *access* may happen: its first occurrence is durable, and the trail can be written.

        Raises :class:`keyhole.errors.StoreFailed` otherwise. Later occurrences return at once.
        """
        if self._behind:
            await self._recover()
        name = _first(access, _name(access))
        first = self._firsts.get(name)
        if first is None:
            first = self._firsts[name] = asyncio.ensure_future(self._trail.append([access]))
            first.add_done_callback(lambda done: self._written(name, done))
            self._make_room()
        # Shielded: a reader who leaves must not undo what others of the same visit are waiting for.
        await asyncio.shield(first)

    def _written(self, name: Name, done: asyncio.Future[None]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._firsts.pop(name, None)

    def _make_room(self) -> None:
        # The oldest are forgotten; should they come again, they are simply written again.
        while len(self._firsts) > _MOST_FIRSTS:
            del self._firsts[next(iter(self._firsts))]

    def count(self, access: Record, images: int, size: int) -> None:
        """Add what was sent of an access: *images* and *size* bytes."""
        self._sum(access).add(images, size, 1)

    def again(self, repeated: Repeated) -> bool:
        """Count one more of an access that was released before; False when it has to be released (again) first."""
        first = self._firsts.get(repeated.first)
        if self._behind or first is None or not first.done():
            return False
        self._sum(repeated.access, repeated.name).times += 1
        return True

    def _sum(self, access: Record, name: Name | None = None) -> _Count:
        name = name or _name(access)
        count = self._counts.get(name)
        if count is None:
            count = self._counts[name] = _Count(access)
        return count

    def refuse(self, refusal: Record) -> None:
        """Note a refusal; it is on the trail a few seconds later."""
        key = (_name(refusal), refusal.personal.get("address", ""))
        if key not in self._refusals:
            refusal, key = self._bounded(refusal, key)
        so_far = self._refusals.get(key)
        self._refusals[key] = (
            refusal if so_far is None else dataclasses.replace(so_far, times=so_far.times + refusal.times)
        )

    def _bounded(self, refusal: Record, key: tuple[Name, str]) -> tuple[Record, tuple[Name, str]]:
        """*refusal* as it may still be kept: what is too much of one subject, or of all, is summed up by reason.

        Without the first bound a visitor could fill the trail with the UIDs of studies that they make up.
        """
        subject = refusal.subject
        if len(self._refusals) >= MOST_REFUSALS:
            subject = "others"
        elif sum(kept.subject == subject for kept in self._refusals.values()) < MOST_OF_ONE or refusal.study is None:
            return refusal, key
        summed = Record(at=refusal.at, event=refusal.event, subject=subject, reason=refusal.reason, times=refusal.times)
        return summed, (_name(summed), "")

    async def write(self, record: Record) -> None:
        """Return when *record* is durable; raise StoreFailed otherwise."""
        await self._trail.append([record])

    async def flush(self) -> None:
        """Write what was counted and refused until now; raise StoreFailed, and keep it, when that fails."""
        async with self._flushing:
            counts, self._counts = self._counts, {}
            refusals, self._refusals = self._refusals, {}
            records = [count.record(self._now()) for count in counts.values()]
            records.extend(refusals.values())
            try:
                # Also with nothing to write after a failure: it is the proof that the trail can be written again.
                if records or self._behind:
                    await self._trail.append(records or [self._recovered()])
            except StoreFailed:
                self._behind = True
                self._put_back(counts, refusals)
                raise
            self._behind = False

    def _recovered(self) -> Record:
        return Record(at=self._now(), event=Event.FAILURE, subject="keyhole", detail={"what": "trail written again"})

    def _put_back(self, counts: dict[Name, _Count], refusals: dict[tuple[Name, str], Record]) -> None:
        for count in counts.values():
            self._sum(count.access).add(count.images, count.bytes, count.times)
        for refusal in refusals.values():
            self.refuse(refusal)

    async def _recover(self) -> None:
        """Flush once for all who wait for it."""
        if self._recovering is None:
            self._recovering = asyncio.ensure_future(self.flush())
            self._recovering.add_done_callback(self._tried)
        await asyncio.shield(self._recovering)

    def _tried(self, tried: asyncio.Future[None]) -> None:
        self._recovering = None
        if not tried.cancelled():
            tried.exception()  # every waiter has its own copy; without waiters nobody needs it

    async def run(self) -> None:
        """Write every :data:`FLUSH` seconds, for ever. What fails is tried again, and holds up releases until then."""
        while True:
            await asyncio.sleep(FLUSH)
            try:
                await self.flush()
            except StoreFailed:
                continue
