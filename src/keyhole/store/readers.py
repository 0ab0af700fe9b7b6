"""A few threads that read, each on a connection of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from keyhole.errors import StoreFailed
from keyhole.store.backend import Backend, Session, failure
from keyhole.store.sql import Transaction

T = TypeVar("T")
Work = Callable[[Transaction], T]

_MOST_WAITING = 10_000


class Readers:
    """Read transactions, run in threads."""

    def __init__(self, backend: Backend) -> None:
        """Read from *backend*; threads start and connect when needed."""
        self._backend = backend
        self._threads = ThreadPoolExecutor(backend.readers, thread_name_prefix="keyhole-reader")
        self._own = threading.local()
        self._sessions: list[Session] = []
        self._waiting = 0
        self._closed = False

    async def read(self, work: Work[T]) -> T:
        """What *work*, which runs one statement, returns."""
        return await self._apart(lambda: self._run(work))

    async def snapshot(self, work: Work[T]) -> T:
        """What *work* returns, all of whose statements see the same moment."""
        return await self._apart(lambda: self._run(lambda tx: self._in_snapshot(tx, work)))

    async def _apart(self, call: Callable[[], T]) -> T:
        if self._closed:
            raise StoreFailed("the store is closed")
        if self._waiting >= _MOST_WAITING:
            raise StoreFailed("too much waits to be read")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self._waiting -= 1

    def _session(self) -> Session:
        session: Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = Session(self._backend)
            self._sessions.append(session)
        return session

    def _run(self, work: Work[T]) -> T:
        session = self._session()
        reused = session.connected
        try:
            return self._try(session, work)
        except self._backend.errors as error:
            lost = reused and not session.connected
            session.drop()
            if not lost:
                raise failure(error) from None
        try:  # the connection was lost while idle: reading again does no harm
            return self._try(session, work)
        except self._backend.errors as error:
            session.drop()
            raise failure(error) from None

    def _try(self, session: Session, work: Work[T]) -> T:
        return work(Transaction(session.connection().cursor(), self._backend.dialect))

    def _in_snapshot(self, tx: Transaction, work: Work[T]) -> T:
        tx.run(self._backend.begin_read)
        try:
            return work(tx)
        finally:
            tx.run("ROLLBACK")

    async def close(self) -> None:
        """Finish what is being read and let go."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        for session in self._sessions:
            session.drop()
