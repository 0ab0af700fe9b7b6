"""SQLite, for one machine: any number of processes over one file, in WAL mode, every commit flushed to the disk."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import text

from keyhole.errors import StoreFailed
from keyhole.store.backend import Connection, Session, failure
from keyhole.store.generation import generation
from keyhole.store.sql import Cursor, DialectName, Statement, Transaction

_PATIENCE = 2.0
"""Seconds that anything waits for a lock."""

_POLL = 0.1
_DATA_VERSION = Statement(text("PRAGMA data_version"))
_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA journal_size_limit=67108864",  # verifying keeps the journal from being reused: let it shrink again
)


class SqliteConnection(sqlite3.Connection):
    """A connection that knows which file it opened."""

    file: tuple[int, int] = (0, 0)


class Sqlite:
    """A database in a file, and ``<file>.lock`` beside it, which writers hold while they write."""

    dialect: DialectName = "sqlite"
    begin_write = "BEGIN IMMEDIATE"
    begin_read = "BEGIN"
    errors = (sqlite3.Error,)
    refusals = (sqlite3.IntegrityError, sqlite3.DataError)
    readers = 2

    def __init__(self, path: Path, patience: float = _PATIENCE) -> None:
        """Use the database at *path*, waiting at most *patience* seconds for others."""
        self._path = path
        self._patience = patience
        self._wakers: set[Callable[[], None]] = set()

    def connect(self) -> SqliteConnection:
        """A connection to the existing file: what was lost is not made anew, empty."""
        found = self._file()
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=rw",
            uri=True,
            timeout=self._patience,
            isolation_level=None,
            check_same_thread=False,
            factory=SqliteConnection,
        )
        connection.file = found
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _file(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            raise sqlite3.OperationalError("the database file is not there") from None
        return found.st_dev, found.st_ino

    def usable(self, connection: Connection) -> bool:
        """Whether the file that *connection* opened is still the one at the path."""
        try:
            return cast("SqliteConnection", connection).file == self._file()
        except sqlite3.Error:
            return False

    def roll_back(self, connection: Connection) -> None:
        """Undo the open transaction; some errors have done so already."""
        if cast("SqliteConnection", connection).in_transaction:
            connection.cursor().execute("ROLLBACK")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The lock file: SQLite's own waiting starves writers for seconds when several processes write."""
        file = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock(file)
            yield
        finally:
            os.close(file)

    def _lock(self, file: int) -> None:
        until = time.monotonic() + self._patience
        pause = 0.0001
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StoreFailed("another process does not let go of the database") from None
                time.sleep(pause)
                pause = min(pause * 1.5, 0.001)

    def pipeline(self, connection: Connection) -> AbstractContextManager[Any]:  # noqa: ARG002 - as PostgreSQL's
        """Nothing to wait for: the database is in this process."""
        return nullcontext()

    def announce(self, cursor: Cursor) -> None:
        """Others look at ``data_version``."""

    def wake(self) -> None:
        """Let this process's iterators look at once."""
        for waker in tuple(self._wakers):
            waker()

    async def generations(self) -> AsyncIterator[int]:
        """Look every 100 ms, and at once when this process has changed something."""
        loop, moved = asyncio.get_running_loop(), asyncio.Event()
        watch = _Watch(self)
        thread = ThreadPoolExecutor(1, thread_name_prefix="keyhole-generation")

        def waker() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(moved.set)

        self._wakers.add(waker)
        try:
            while True:
                yield await loop.run_in_executor(thread, watch.look)
                await _either(moved, _POLL)
        finally:
            self._wakers.discard(waker)
            thread.submit(watch.close)
            thread.shutdown(wait=False)


async def _either(moved: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await moved.wait()
    except TimeoutError:
        return
    moved.clear()


class _Watch:
    """The generation, read only when ``data_version`` has moved (it moves with every commit of another connection)."""

    def __init__(self, backend: Sqlite) -> None:
        self._session = Session(backend)
        self._connection: Connection | None = None
        self._version = -1
        self._generation = 0

    def look(self) -> int:
        try:
            return self._look()
        except sqlite3.Error as error:
            self._session.drop()
            raise failure(error) from None

    def _look(self) -> int:
        connection = self._session.connection()
        if connection is not self._connection:
            self._connection, self._version = connection, -1
        tx = Transaction(connection.cursor(), "sqlite")
        version = tx.rows(_DATA_VERSION)[0][0]
        if version != self._version:
            self._version, self._generation = version, generation(tx)
        return self._generation

    def close(self) -> None:
        self._session.drop()
