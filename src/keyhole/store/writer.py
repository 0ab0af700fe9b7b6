"""One thread per process writes, in groups: what waits together is committed together.

Each group takes the head of the chain first, so all writers of all processes and nodes take turns there: their
transactions never interleave, and none waits for another while holding rows. The digests are computed last, for the
whole group, and the group's rows, its new head and its changes become durable in one commit.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from keyhole.access.decision import Record
from keyhole.errors import StoreFailed
from keyhole.store import trail
from keyhole.store.backend import Backend, Session, failure
from keyhole.store.chain import SALT_BYTES, Draft, Head, Signing, draft, extend
from keyhole.store.generation import move
from keyhole.store.heads import Heads
from keyhole.store.sql import Cursor, DialectName, Transaction

T = TypeVar("T")

_MOST_IN_GROUP = 512
_MOST_WAITING = 20_000


class Change(Transaction):
    """A transaction that writes. Its records are put at the end of the chain when its group is complete."""

    __slots__ = ("drafts", "moved")

    def __init__(self, cursor: Cursor, dialect: DialectName) -> None:
        """Write on *cursor*, which a transaction was begun on."""
        super().__init__(cursor, dialect)
        self.drafts: list[Draft] = []
        self.moved = False

    def append(self, records: Iterable[Record]) -> None:
        """Put *records* on the trail."""
        self.drafts.extend([draft(record, _salt) for record in records])

    def changed(self, record: Record) -> None:
        """Put *record* on the trail; what decisions rest on has changed."""
        self.append((record,))
        self.moved = True

    def undo(self, drafts: int, *, moved: bool) -> None:
        """Forget what came after."""
        del self.drafts[drafts:]
        self.moved = moved


def _salt() -> bytes:
    return os.urandom(SALT_BYTES)


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """Something to write, and who waits for it. ``appends``: it only adds to the trail, and runs no statement."""

    work: Callable[[Change], T]
    future: asyncio.Future[T]
    appends: bool


Outcome = tuple[Job[Any], Any, Exception | None]


class Writer:
    """The thread, and the queue in front of it."""

    def __init__(self, backend: Backend, signing: Callable[[], Signing], heads: Heads) -> None:
        """Write to *backend*; the thread starts with the first job, so that a process may fork before it.

        *signing* is asked for each group, in the thread: the keys may change meanwhile.
        """
        self._backend = backend
        self._signing = signing
        self._heads = heads
        self._session = Session(backend)
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def write(self, work: Callable[[Change], T], *, appends: bool = False) -> T:
        """Return what *work* returns once it is durable.

        Its own error undoes it and nothing else. It is done even when nobody waits for it any more.
        """
        if self._closed:
            raise StoreFailed("the store is closed")
        if self._queue.qsize() >= _MOST_WAITING:
            raise StoreFailed("too much waits to be written")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="keyhole-writer", daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(Job(work, future, appends))
        return await future

    async def close(self) -> None:
        """Write what is queued, then end the thread."""
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            jobs = [first, *self._waiting(_MOST_IN_GROUP - 1)]
            _settle(self._outcomes(jobs))
        self._session.drop()

    def _waiting(self, most: int) -> list[Job[Any]]:
        """Up to *most* jobs that wait by now; the end of the queue is left in it."""
        jobs: list[Job[Any]] = []
        while len(jobs) < most and not self._queue.empty():
            job = self._queue.get()
            if job is None:
                self._queue.put(None)
                break
            jobs.append(job)
        return jobs

    def _outcomes(self, jobs: Sequence[Job[Any]]) -> Sequence[Outcome]:
        try:
            return self._group(jobs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the waiting are told and the thread goes on
            self._session.roll_back()
            # Whoever queued meanwhile would wait as long for the same: a lost database answers at once, to all.
            return [(job, None, failure(error)) for job in (*jobs, *self._waiting(_MOST_WAITING))]

    def _group(self, jobs: Sequence[Job[Any]]) -> Sequence[Outcome]:
        with self._backend.turn(), self._heads.opened():
            change, start = self._begin()
            outcomes = [self._do(job, change) for job in jobs]
            end = self._commit(change, start)
            self._heads.advance(start, end)
        if change.moved:
            self._backend.wake()
        return outcomes

    def _begin(self) -> tuple[Change, Head]:
        """A transaction that holds the head. A connection that was lost while idle is made anew, once."""
        reused = self._session.connected
        try:
            return self._try_to_begin()
        except self._backend.errors:
            if not reused or self._session.connected:
                raise
            return self._try_to_begin()

    def _try_to_begin(self) -> tuple[Change, Head]:
        connection = self._session.connection()
        cursor = connection.cursor()
        change = Change(cursor, self._backend.dialect)
        with self._backend.pipeline(connection):
            change.run(self._backend.begin_write)
            return change, trail.take_head(change)

    def _do(self, job: Job[Any], change: Change) -> Outcome:
        drafts, moved = len(change.drafts), change.moved
        try:
            return job, job.work(change) if job.appends else self._do_apart(job, change), None
        except self._backend.refusals as error:
            outcome: Exception = failure(error)
        except self._backend.errors:
            raise  # the database failed, not this job: the group fails
        except Exception as error:  # noqa: BLE001 - a job's own error is its own
            outcome = error
        change.undo(drafts, moved=moved)
        return job, None, outcome

    def _do_apart(self, job: Job[T], change: Change) -> T:
        """Run *job* so that it can fail without the others."""
        change.run("SAVEPOINT job")
        try:
            result = job.work(change)
        except BaseException:
            change.run("ROLLBACK TO SAVEPOINT job")
            raise
        change.run("RELEASE SAVEPOINT job")
        return result

    def _commit(self, change: Change, start: Head) -> Head:
        rows = list(extend(start, change.drafts, self._signing()))
        with self._backend.pipeline(self._session.connection()):
            if rows:
                trail.append(change, rows)
            if change.moved:
                move(change)
                self._backend.announce(change.cursor)
            change.run("COMMIT")
        return rows[-1].head if rows else start


def _settle(outcomes: Sequence[Outcome]) -> None:
    """Tell those who wait, in their own loops, one call for each loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome[0].future.get_loop(), []).append(outcome)
    for loop, some in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_tell, some)


def _tell(outcomes: Sequence[Outcome]) -> None:
    for job, result, error in outcomes:
        if job.future.done():
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)
